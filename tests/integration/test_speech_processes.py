"""The processes that local speech runs in end when their parent does, however it ends."""

import asyncio
import signal
import sys

import psutil
import pytest

PARENT = """
import asyncio, time
from voice.connectors import local_stt, local_tts
from voice.connectors.pool import SpeechPool

async def main():
    pools = [SpeechPool("local", 1, module.load) for module in (local_stt, local_tts)]
    for pool in pools:
        await pool.run(time.monotonic)
    print(*[process for pool in pools for process in pool._executor._processes], flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_it_leaves_no_process_behind(number: int) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert parent.stdout is not None
    children = [psutil.Process(int(pid)) for pid in (await parent.stdout.readline()).split()]
    assert len(children) == 2
    parent.send_signal(number)
    await parent.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=10)
    for process in alive:
        process.kill()
    assert not alive

"""Call a running service, as a customer would: `python -m tests.fakes.caller --say "do not disturb"`.

What is said is a real recording where one is installed that says just that (`--list` shows them), else a machine
speaks. The service must know the carrier's token: `make run` makes one, and it is read from there.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from . import clips
from .carrier import Carrier
from .line import CLEAN, Line
from .live import Live, money, summary
from .person import Person
from .recordings import recordings
from .report import Report
from .timer import Timer

NUMBER = "+15005550006"
USUAL = ("do not disturb", "goodbye")
BY_MACHINE = ("what is your name", "call waiting")  # what the local recogniser understands of a machine


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="python -m tests.fakes.caller", description=__doc__)
    add = arguments.add_argument
    add(
        "--url",
        default=f"http://127.0.0.1:{os.environ.get('PORT', '8080')}",
        help="where the service listens",
    )
    add(
        "--public-url",
        default=os.environ.get("PUBLIC_BASE_URL", ""),
        help="its PUBLIC_BASE_URL, if it is another",
    )
    add("--to", default=NUMBER, help="the number to dial (default: the demo's)")
    add("--from", dest="caller", default="+15005550001")
    add("--say", action="append", default=[], metavar="TEXT", help="say this, then listen; may be repeated")
    add(
        "--file",
        action="append",
        default=[],
        metavar="WAV",
        help="play this recording instead; may be repeated",
    )
    add("--fake-speech", action="store_true", help="speak so that simulated recognisers understand")
    add("--interrupt-after", type=float, metavar="MS", help="talk over each answer after so much of it")
    add("--calls", type=int, default=1, metavar="N", help="so many callers at once")
    add("--real-line", action="store_true", help="30-80 ms each way, jitter, an echo at -25 dB, a noisy room")
    add("--token", default=os.environ.get("TWILIO_AUTH_TOKEN", ""), help="the carrier's auth token")
    add("--api-key", default=os.environ.get("MESH_API_KEY", ""), help="to read the call afterwards")
    add("--data-dir", type=Path, default=Path(os.environ.get("MESH_DATA_DIR", "var")), help="of `make run`")
    add("--list", action="store_true", help="show the recordings that are installed, and stop")
    return arguments


async def main(options: argparse.Namespace) -> int:
    token = options.token or kept(options.data_dir / "twilio_auth_token")
    key = options.api_key or kept(options.data_dir / "api_key")
    if not token:
        print(
            f"No TWILIO_AUTH_TOKEN, and none in {options.data_dir}: is `make run` running?", file=sys.stderr
        )
        return 2
    public = options.public_url or options.url.replace("127.0.0.1", "localhost")
    carrier, timer = Carrier(options.url, token, public_url=public), Timer()
    try:
        if options.calls == 1:
            return await one_call(carrier, timer, options, key)
        return await many_calls(carrier, timer, options)
    except httpx2.TransportError as error:
        print(f"{options.url} does not answer ({error}). Is the service running?", file=sys.stderr)
        return 2
    finally:
        timer.close()
        await carrier.aclose()


async def one_call(carrier: Carrier, timer: Timer, options: argparse.Namespace, key: str) -> int:
    live = Live(carrier, key)
    person = Person(
        carrier, timer, to=options.to, caller=options.caller, line=line(options), watch=live.happens
    )
    live.dials(options.to, options.url)
    following = asyncio.create_task(live.follow(person.report.call_sid)) if key else None
    report = await person.call(lambda caller: talk(caller, options))
    if report.refused:
        print(f"Not connected: {report.refused}")
    detail: dict[str, Any] | None = None
    if following is not None:
        detail = await live.finish(report.call_sid, following)
    for text in summary(report, detail, timer):
        print(text)
    return 0 if report.latencies_ms and not report.refused else 1


async def many_calls(carrier: Carrier, timer: Timer, options: argparse.Namespace) -> int:
    async def one(number: int) -> Report:
        await asyncio.sleep(number * 2 / options.calls)
        person = Person(
            carrier, timer, to=options.to, caller=f"+1500557{number:04}", line=line(options), seed=number
        )
        return await person.call(lambda caller: talk(caller, options))

    began = time.monotonic()
    reports = await asyncio.gather(*(one(number) for number in range(options.calls)))
    latencies = sorted(value for report in reports for value in report.latencies_ms)
    refused = [report.refused for report in reports if report.refused]
    print(f"{len(reports)} calls in {time.monotonic() - began:.1f} s, {len(refused)} refused")
    if refused:
        print(f"  the first refusal: {refused[0]}")
    if latencies:
        middle, late = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.95)]
        print(f"  {len(latencies)} turns at our edge: p50 {money(middle)}, p95 {money(late)} ms")
    print(f"  the simulator's clock: {timer.lateness}")
    return 0 if latencies and not refused else 1


async def talk(caller: Person, options: argparse.Namespace) -> None:
    """Hear the greeting, say everything, listen to every answer."""
    spoken = clips.stamped if options.fake_speech else clips.said
    said = [spoken(text) for text in options.say] + [clips.from_file(path) for path in options.file]
    await caller.greeted()
    for clip in said or [spoken(text) for text in usual()]:
        exchange = await caller.say(clip)
        try:
            await caller.answered(exchange, 12)
        except TimeoutError:
            print(
                f"         no answer to {clip.text!r} in 12 s: it was not understood, or is not to be answered"
            )
            continue
        if options.interrupt_after is not None:
            await caller.interrupt(spoken("stop"), after_ms=options.interrupt_after)
        await caller.listen(900)


def usual() -> tuple[str, ...]:
    """What is said when nothing is asked for: a real person's words where they are installed."""
    return USUAL if all(text in recordings() for text in USUAL) else BY_MACHINE


def line(options: argparse.Namespace) -> Line:
    return Line(delay_ms=(30, 80), echo_db=-25, echo_ms=200, noise_db=-50) if options.real_line else CLEAN


def kept(path: Path) -> str:
    """What the first start wrote down, empty when it did not."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    chosen = parser().parse_args()
    if chosen.list:
        for words, path in sorted(recordings().items()):
            print(f"{words:60} {path}")
        sys.exit(0 if recordings() else 1)
    sys.exit(asyncio.run(main(chosen)))

"""`python -m bench.poster URL NETWORK RATE SECONDS`: posts tasks on an open loop and prints each latency in ms.

A process of its own, so that the client that keeps the service busy does not delay what is measured.
"""

import asyncio
import json
import sys
import time

from .engine import Client


async def main(url: str, network: str, rate: float, seconds: float) -> None:
    client = Client(url)
    client.network = network
    taken: list[float] = []

    async def one() -> None:
        began = time.perf_counter()
        await client.post(process=False)
        taken.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        began = due = time.perf_counter()
        while due < began + seconds:
            group.create_task(one())
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
    print(json.dumps(taken))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))

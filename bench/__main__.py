"""`make bench`: every table of docs/performance.md, measured on this machine now."""

import asyncio
import os
import platform
import time

import uvloop

from . import chain, engine, voice, voice_stages, workflows


def main() -> None:
    print(
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {os.cpu_count()} cores, {platform.platform()}, ",
        end="",
    )
    print(f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start")
    asyncio.run(engine.main())
    asyncio.run(workflows.main())
    asyncio.run(chain.main())
    uvloop.run(voice.main())
    uvloop.run(voice_stages.main())


main()

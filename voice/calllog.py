"""Writing calls down behind their backs: calls queue what has happened, one thread a process commits it in batches.

The frame path never waits for PostgreSQL. While it is away records are kept and tried again; what is still
not written when the process ends goes to a file that the next one reads. Model calls come here, too, so
the ledger row of a call is on its way when its request is (docs/decisions/0008).
"""

import asyncio
import atexit
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from django.conf import settings

from voice import metrics
from voice.calllog_store import BatchStore
from voice.phone_log import PhoneLog
from voice.records import Kind, Record

log = structlog.get_logger(__name__)

MOST_RECORDS: Final = 50_000  # kept while the database is away; about 1 kB each
BATCH: Final = 500
LINGER: Final = 0.05  # seconds in which a batch gathers
URGENT: Final = 0.002  # when it holds a model call that is being sent
PATIENCE: Final = (0.1, 0.2, 0.5, 1.0, 2.0)  # seconds between tries


class CallWriter:
    """One a process. `start` and `aclose` on the event loop; everything else from any thread, at once.

    Beyond `most` records events are dropped, loudly and counted, and the call's log says how many; turns,
    summaries and the ledger only at twice that.
    """

    def __init__(self, *, most: int = MOST_RECORDS, leftovers: Path | None = None) -> None:
        self._most = most
        self._leftovers = leftovers or Path(settings.DATA_DIR) / "voice"
        self._queue: deque[Record | threading.Event] = deque()
        self._batch: list[Record] = []  # what the thread is writing
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._store = BatchStore(self._give_up)
        self._lost: dict[str, int] = {}
        self._complained = 0.0

    async def start(self) -> None:
        """Begin to write; first what a process before this one could not."""
        await asyncio.to_thread(self._adopt)
        self._thread = threading.Thread(target=self._run, name="call-log", daemon=True)
        self._thread.start()
        atexit.register(self._finish, 5.0)  # of a process that ends without closing us

    async def aclose(self, timeout: float = 10.0) -> None:
        """Write what there is, for `timeout` seconds at most; the rest is kept in a file."""
        await asyncio.to_thread(self._finish, timeout)

    async def flush(self, timeout: float = 5.0) -> bool:
        """Wait until what is queued now has been written; tell whether it was."""
        written = threading.Event()
        self._queue.append(written)
        self._wake.set()
        self._urgent.set()
        return await asyncio.to_thread(written.wait, timeout)

    def open(self, call_id: str, *, redact: Callable[[], bool] = lambda: False) -> PhoneLog:
        """Return the log of one call. `redact` is asked for each record whether personal data is kept."""
        return PhoneLog(self, call_id, redact)

    @property
    def backlog(self) -> int:
        """Records that are not written yet."""
        return len(self._queue)

    def put(self, kind: Kind, row: dict[str, Any], *, urgent: bool = False) -> None:
        """Queue a record; `row` is one of `calllog_sql`'s. Drops it when there are far too many."""
        waiting = len(self._queue)
        if waiting >= self._most and (kind == "event" or waiting >= 2 * self._most):
            self._drop(kind, row)
            return
        if self._lost and kind == "event" and (missing := self._lost.pop(row["call"], 0)):
            self._queue.append(("event", {**row, "type": "log.lost", "payload": {"events": missing}}))
        self._queue.append((kind, row))
        if urgent:
            self._urgent.set()
        if not self._wake.is_set():
            self._wake.set()

    def _finish(self, timeout: float) -> None:
        atexit.unregister(self._finish)
        self._closing.set()
        self._wake.set()
        self._urgent.set()
        if self._thread is not None:
            self._thread.join(timeout)
        self._thread = None
        self._keep_leftovers()

    # --- the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        batch = self._batch
        marks: list[threading.Event] = []
        tries = 0
        while True:
            if not batch and not marks:
                self._wake.wait()
                if not self._closing.is_set():
                    self._urgent.wait(LINGER)
                    time.sleep(URGENT)
                self._wake.clear()
                self._urgent.clear()
                self._gather(batch, marks)
            try:
                self._store.write(batch)
                tries = 0
            except Exception as error:  # whatever it is: a thread that died would lose all that comes
                self._complain(error)
                self._store.give_back()
                if self._closing.is_set() and tries >= len(PATIENCE):
                    return
                time.sleep(PATIENCE[min(tries, len(PATIENCE) - 1)])
                tries += 1
                continue
            for mark in marks:
                mark.set()
            marks = []
            if self._queue:
                self._wake.set()
                self._urgent.set()
            else:
                self._store.give_back()
                if self._closing.is_set():
                    return

    def _gather(self, batch: list[Record], marks: list[threading.Event]) -> None:
        while self._queue and len(batch) < BATCH:
            item = self._queue.popleft()
            if isinstance(item, threading.Event):
                marks.append(item)
            else:
                batch.append(item)

    def _complain(self, error: Exception) -> None:
        metrics.log_failed()
        now = time.monotonic()
        if now - self._complained >= 5:
            self._complained = now
            what = f"{type(error).__name__}: {error}"[:200]
            log.error("calls cannot be written down now", error=what, waiting=len(self._queue))

    def _give_up(self, record: Record, error: Exception) -> None:
        metrics.log_dropped(record[0])
        log.error("a call record cannot be stored", kind=record[0], error=str(error)[:300])

    def _drop(self, kind: Kind, row: dict[str, Any]) -> None:
        metrics.log_dropped(kind)
        if kind == "event":
            self._lost[row["call"]] = self._lost.get(row["call"], 0) + 1
        now = time.monotonic()
        if now - self._complained >= 5:
            self._complained = now
            log.error("the call log is full: records are lost", kind=kind, waiting=len(self._queue))

    # --- what could not be written -----------------------------------------------------------------------

    def _keep_leftovers(self) -> None:
        waiting = [item for item in self._queue if not isinstance(item, threading.Event)]
        records = [*self._batch, *waiting]  # what hangs in the database, too: rather twice than never
        if not records:
            return
        self._leftovers.mkdir(parents=True, exist_ok=True)
        path = self._leftovers / f"unwritten-{os.getpid()}-{time.time_ns()}.jsonl"
        path.touch(mode=0o600)
        path.write_bytes(b"".join(orjson.dumps(record, default=str) + b"\n" for record in records))
        log.error("call records were not written and are kept", path=str(path), records=len(records))

    def _adopt(self) -> None:
        """Take over the files of processes before this one; renaming makes each of them one process's."""
        for path in sorted(self._leftovers.glob("unwritten-*.jsonl")):
            ours = path.with_suffix(f".{os.getpid()}")
            with contextlib.suppress(FileNotFoundError):
                path.rename(ours)
                lines = ours.read_bytes().splitlines()
                self._queue.extend((kind, row) for kind, row in map(orjson.loads, lines))
                ours.unlink()
                self._wake.set()
                log.warning("call records of an earlier process are written now", records=len(lines))

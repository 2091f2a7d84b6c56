"""Questions about server processes: does it answer, and does an old one still live?"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LEFTOVER_SECONDS = 10


def postgres_answers(url: str) -> bool:
    """Whether the server takes connections and has that database."""
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def valkey_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def end_leftover(pid_file: Path, folder: Path, how: signal.Signals) -> None:
    """Wait for, then end, a server that outlived its owner, and remove its pid file.

    A pid alone proves nothing after a restart of the machine or container: only a process that works
    in `folder` is ours.
    """
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    for signal_number in (0, how, signal.SIGQUIT, signal.SIGKILL):  # it may be ending already
        if not _works_in(pid, folder):
            break
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            break
        _wait_until_gone(pid, folder)
    pid_file.unlink(missing_ok=True)


def _wait_until_gone(pid: int, folder: Path) -> None:
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while _works_in(pid, folder) and time.monotonic() < deadline:
        time.sleep(0.05)


def _works_in(pid: int, folder: Path) -> bool:
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == folder
        except OSError:
            return False
    found = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True)
    return Path(found.stdout.strip()).name in {"postgres", "valkey-server", "redis-server"}

"""Where the embedded servers may live, and as whom they run.

As an ordinary user: under the data directory, as that user. As root PostgreSQL refuses to run, so
both servers get a system account. Its world is kept small: only its own two folders change hands,
and no parent folder is ever opened up. When the account cannot reach the data directory (a checkout
below /root), the folders lie under /var/lib and the data directory holds links to them.
"""

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ACCOUNT_NAME = "ai-mesh"
SYSTEM_HOME = Path("/var/lib/ai-mesh-network")
SOCKET_NAME = ".s.PGSQL.5432"  # the longest socket name in use
SOCKET_PATH_LIMIT = 103  # bytes; Linux allows 107, macOS 103


class EmbeddedError(Exception):
    """An embedded server cannot run here; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The system account of the servers when we are root."""

    name: str
    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int]:
        return self.uid, self.gid

    def can_enter(self, path: Path) -> bool:
        """Asks the kernel, which knows groups, access lists and mounts."""
        check = subprocess.run(["test", "-x", path], user=self.uid, group=self.gid, extra_groups=[], cwd="/")
        return check.returncode == 0


@dataclass(frozen=True)
class Home:
    """The two folders of one instance, with links resolved, and the account that owns them."""

    pg: Path
    run: Path
    account: Account | None

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory; it exists only when complete."""
        return self.pg / "cluster"


def resolve_home(data_dir: Path) -> tuple[Path, Path]:
    """The (pg, run) folders as they are now; a link stands where they had to move."""
    return (data_dir / "pg").resolve(), (data_dir / "run").resolve()


def prepare_home(data_dir: Path, report: Callable[[str], None]) -> Home:
    """Make the folders of an instance, moving what has to move, and say so."""
    data_dir.mkdir(parents=True, exist_ok=True)
    account = _account_for(data_dir)
    base = data_dir
    if account and not account.can_enter(data_dir):
        digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
        base = SYSTEM_HOME / digest
        base.mkdir(mode=0o755, parents=True, exist_ok=True)
        report(f"The account {account.name} cannot reach {data_dir}: the database lies in {base}.")
    pg = _private_folder(data_dir / "pg", base / "pg", account)
    run = _private_folder(data_dir / "run", _plain(data_dir / "run", base / "run"), account)
    return Home(pg, run, account)


def reachable_program(program: Path, parts: list[Path], account: Account | None) -> Path:
    """`program`, or a copy of it (with `parts`, relative to their common folder) that the account can run."""
    if account is None or account.can_enter(program):
        return program
    root = Path(os.path.commonpath([part.parent for part in parts]))
    stamp = hashlib.sha256(f"{parts[0]} {parts[0].stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = SYSTEM_HOME / "programs" / f"{parts[0].name}-{stamp}"
    if not copy.exists():
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=copy.parent))
        for part in parts:
            shutil.copytree(part, draft / part.relative_to(root), symlinks=True)
        draft.chmod(0o755)
        draft.rename(copy)  # a copy that was cut short is never taken for a whole one
    return copy / program.relative_to(root)


def _account_for(data_dir: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    pg = (data_dir / "pg").resolve()
    if pg.exists() and pg.stat().st_uid != 0:  # made earlier, perhaps by an ordinary user: keep its owner
        entry = pwd.getpwuid(pg.stat().st_uid)
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in (ACCOUNT_NAME, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            entry_made = name == ACCOUNT_NAME and _add_account()
            if not entry_made:
                continue
            entry = pwd.getpwnam(name)
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError("PostgreSQL refuses to run as root and no account could be made: set DATABASE_URL.")


def _add_account() -> bool:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        subprocess.run([*command, "--shell", "/usr/sbin/nologin", ACCOUNT_NAME], capture_output=True)
    except FileNotFoundError:
        return False
    try:
        pwd.getpwnam(ACCOUNT_NAME)  # the answer, also when a second start added it a moment earlier
    except KeyError:
        return False
    return True


def _private_folder(link: Path, place: Path, account: Account | None) -> Path:
    """Make `place` (0700, of the account) and, where it lies elsewhere, `link` to it."""
    if link != place:
        if (link / "cluster").exists() and not link.is_symlink():
            raise EmbeddedError(f"{link} holds a database that its account can no longer reach.")
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.symlink_to(place)
    place.mkdir(mode=0o700, exist_ok=True)
    owner = account.uid if account else os.geteuid()
    if account and place.stat().st_uid == 0:
        os.chown(place, *account.ids)
    if place.stat().st_uid != owner:
        raise EmbeddedError(f"{place} belongs to another user: run as that user, or set MESH_DATA_DIR.")
    place.chmod(0o700)
    return place


def _plain(link: Path, place: Path) -> Path:
    """`place`, or a private folder with a plain name where a socket address could not spell `place`."""
    if _fits_address(place):
        return place
    if link.is_symlink() and link.resolve().is_dir() and _fits_address(link.resolve()):
        return link.resolve()
    return Path(tempfile.mkdtemp(prefix="mesh-", dir="/tmp"))  # TMPDIR may be long as well


def _fits_address(folder: Path) -> bool:
    """Sockets have short paths, and a comma in a PostgreSQL host separates hosts."""
    path = str(folder / SOCKET_NAME)
    plain = re.fullmatch(r"[\w./-]+", path, re.ASCII)
    return plain is not None and len(path) <= SOCKET_PATH_LIMIT

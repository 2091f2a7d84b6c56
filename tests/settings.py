"""The real settings, pointed at servers of the tests' own.

`DATABASE_URL` and `REDIS_URL` are used when set. Otherwise they name embedded servers in a temporary
folder, which `tests/conftest.py` starts only if a collected test needs them: addresses are known before
the servers run, because Django wants its settings first. Processes that tests start inherit all of it, but for the
workers of pytest-xdist: each has a folder and embedded servers of its own; of servers that were named each has a
database of its own, of PostgreSQL by pytest-django, of Redis by its number.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from meshsite.embedded import EmbeddedServers

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")


def own_database(url: str, worker: str) -> str:
    """The same server, for `gw0`, `gw1`, … another database each: they must not take each other's hints."""
    parts = urlsplit(url)
    if not worker.startswith("gw") or parts.scheme not in ("redis", "rediss"):
        return url
    return parts._replace(path=f"/{int(parts.path.strip('/') or 0) + int(worker[2:]) + 1}").geturl()


if os.environ.get("MESH_TEST_WORKER") != WORKER:
    folder = Path(tempfile.mkdtemp(prefix="mesh-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "static").mkdir()  # WhiteNoise warns without
    folder.chmod(0o711)  # the servers' own account passes through when we are root
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_AUTH_TOKEN", "_BASE_URL", "_DSN")):
            del os.environ[name]  # no test reaches a vendor with a developer's key
    own = EmbeddedServers(folder)
    addresses = {"DATABASE_URL": own.database_url, "REDIS_URL": own.redis_url}
    inherited = os.environ.get("MESH_TEST_EMBEDDED", "").split()  # from the process that started this worker
    embedded = [name for name in addresses if name in inherited or not os.environ.get(name)]
    os.environ |= {
        "MESH_TEST_WORKER": WORKER,
        "MESH_TEST_DIR": str(folder),
        "MESH_DATA_DIR": str(folder),
        "MESH_ENV_FILE": os.devnull,
        "MESH_TEST_EMBEDDED": " ".join(embedded),
        **{name: addresses[name] for name in embedded},
    }
    if "REDIS_URL" not in embedded:
        os.environ["REDIS_URL"] = own_database(os.environ["REDIS_URL"], WORKER)

from meshsite.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # slow ones cost a test 0.2 s each

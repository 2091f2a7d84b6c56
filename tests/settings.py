"""The real settings, pointed at servers of the tests' own.

`DATABASE_URL` and `REDIS_URL` are used when set. Otherwise they name embedded servers in a temporary
folder, which `tests/conftest.py` starts only if a collected test needs them: addresses are known before
the servers run, because Django wants its settings first. Processes that tests start inherit all of it.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from meshsite.embedded import EmbeddedServers

if "MESH_TEST_DIR" not in os.environ:
    folder = Path(tempfile.mkdtemp(prefix="mesh-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "static").mkdir()  # WhiteNoise warns without
    folder.chmod(0o711)  # the servers' own account passes through when we are root
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_AUTH_TOKEN", "_BASE_URL", "_DSN")):
            del os.environ[name]  # no test reaches a vendor with a developer's key
    os.environ |= {
        "MESH_TEST_DIR": str(folder),
        "MESH_DATA_DIR": str(folder),
        "MESH_ENV_FILE": os.devnull,
        "MESH_TEST_EMBEDDED": " ".join(n for n in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(n)),
        "DATABASE_URL": os.environ.get("DATABASE_URL") or EmbeddedServers(folder).database_url,
        "REDIS_URL": os.environ.get("REDIS_URL") or EmbeddedServers(folder).redis_url,
    }

from meshsite.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # slow ones cost a test 0.2 s each

"""Settings of the tests: those of the product, in a data directory of this worker's own."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
_home = f"TESTS_OF_FORESTALL_HOME_{_worker}"  # a process that a test starts inherits its worker's
if _home not in os.environ:
    os.environ[_home] = tempfile.mkdtemp(prefix="forestall-tests-")
    atexit.register(shutil.rmtree, os.environ[_home], ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("FORESTALL_")]:
    del os.environ[_name]
os.environ["FORESTALL_DATA"] = os.environ[_home]

from forestall.kernel.datadir import DataDir  # noqa: E402

DataDir(Path(os.environ["FORESTALL_DATA"])).create()

from forestall.web.settings import *  # noqa: E402, F403

"""Settings of the tests: those of the product, in a data directory of this run's own."""

import os
import tempfile
from pathlib import Path

if "TESTS_OF_FORESTALL_HOME" not in os.environ:  # helpers that tests start inherit it
    os.environ["TESTS_OF_FORESTALL_HOME"] = tempfile.mkdtemp(prefix="forestall-tests-")
for _name in [name for name in os.environ if name.startswith("FORESTALL_")]:
    del os.environ[_name]
os.environ["FORESTALL_DATA"] = os.environ["TESTS_OF_FORESTALL_HOME"]

from forestall.kernel.datadir import DataDir  # noqa: E402

DataDir(Path(os.environ["FORESTALL_DATA"])).create()

from forestall.web.settings import *  # noqa: E402, F403

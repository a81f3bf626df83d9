"""Settings that every notebook kernel under test inherits, so they must stand before the first one starts."""

import os
from contextlib import nullcontext

import pytest
from filelock import FileLock

os.environ.setdefault("TUTORIAL_PROFILE", "test")
os.environ.setdefault("TUTORIAL_STILL", "ends")  # nbval sees no error behind a slider
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `utils.machine.start` has it
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a warning of the debugger that kernels load


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Let kernels of nbval start one at a time: each is told free ports, which one beside it could take before it."""
    starts = getattr(item.parent, "kernel", item) is None
    with FileLock(item.config.cache.mkdir("kernels") / "lock") if starts else nullcontext():
        return (yield)

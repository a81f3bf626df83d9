"""Settings that every notebook kernel under test inherits, so they must stand before the first one starts."""

import os

os.environ.setdefault("TUTORIAL_PROFILE", "test")
os.environ.setdefault("TUTORIAL_STILL", "ends")  # nbval sees no error behind a slider
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `utils.machine.start` has it
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # a warning of the debugger that kernels load

"""How much memory a process had at most, and how much of it the bare import of TensorFlow takes."""

import functools
import subprocess
import sys
from pathlib import Path

BARE = f"import keras, tensorflow; from {__name__} import peak_memory; print(peak_memory())"


def peak_memory():
    """The largest resident memory this process had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there can be the parent's
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


@functools.cache
def peak_of_the_bare_import():
    """The same of another process, which does nothing else than to import keras and tensorflow."""
    return float(subprocess.check_output([sys.executable, "-c", BARE]))

"""Python in a process of its own, also one whose disk is too small."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Settings of `subprocess.Popen` for a process that is to hear Ctrl+C also where tests run in a shell's background.
HEEDS_CTRL_C = {"preexec_fn": partial(signal.signal, signal.SIGINT, signal.SIG_DFL)} if sys.platform != "win32" else {}


def start_python(code, **settings):
    """A fresh Python that finds `utils` and runs this code; settings are those of `subprocess.Popen`."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **HEEDS_CTRL_C | pipes | settings)


def finish(process, returncode=0):
    """What a process has printed; it has to end in time, with this code and without a word on the error stream."""
    try:
        printed, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (process.returncode, errors) == (returncode, ""), printed
    return printed


def run_python(code, returncode=0, **settings):
    return finish(start_python(code, **settings), returncode)


@contextmanager
def limited_disk(folder, size):
    """Make a folder that holds `size` bytes: a small tmpfs or, where none can be mounted, a limit on the size of files.

    Yields settings for `start_python` and `subprocess`, under which the limit holds.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        import resource

        yield {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))}
        return
    try:
        yield {}
    finally:
        subprocess.run(["umount", str(folder)], check=True)

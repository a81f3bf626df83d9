"""Running Python in a process of its own, also one whose disk is too small."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_python(code, **settings):
    """Run code in a fresh Python that finds `utils`.

    Args:
        code: the program.
        settings: for `subprocess.run`.

    Returns:
        The finished process with its `returncode`, and `stdout` and `stderr` as text.
    """
    settings.setdefault("timeout", 120)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, **settings)


@contextmanager
def limited_disk(folder, size):
    """A folder that holds `size` bytes: a small tmpfs or, where that cannot be mounted, a limit on the size of files.

    Args:
        folder: path of a folder that does not exist yet.
        size: bytes.

    Yields:
        Settings for `run_python` under which the limit holds.
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


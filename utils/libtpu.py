"""Lets TensorFlow be imported where its support for TPUs would abort the process or wait. Imports no TensorFlow.

The package `tensorflow-tpu` opens the library libtpu as soon as TensorFlow is imported. A libtpu that lacks a function
ends the process there, without an exception. Where there is no TPU, libtpu asks the servers of Google Cloud about it
for more than four minutes. Both were seen with tensorflow-tpu 2.20.0; where no library is found, it does without.
"""

import functools
import importlib.util
import mmap
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("tensorflow-tpu==2.20.0", "libtpu<0.0.30")
# What tensorflow-tpu 2.20.0 needs and newer versions of libtpu lack: the first was missing in 0.0.32.1 (0.0.29 has it),
# the second in 0.0.43.2, the third in 0.0.45. There are 212 such names; these are the ones whose absence was seen.
NEEDED = (
    b"TpuExecutable_FreeMaybeOwningDeviceMemoryArray",
    b"TpuCompile_CompileAndBuild",
    b"ConfigureDistributedTpuOp_DoWork",
)
_GOOGLE = "0x1ae0"  # the maker of a device on the PCI bus


@functools.cache
def guard():
    """Keep TensorFlow from opening libtpu where that would do harm; call it before TensorFlow is imported.

    Returns:
        Why a TPU cannot be used, or an empty string where one may be tried.
    """
    library = _library()
    problem = _lack(library) if _may_have_tpu() else "this machine has none"
    if problem and library:
        os.environ["TPU_LIBRARY_PATH"] = "no libtpu"  # a name that no file has
    return problem


def _may_have_tpu():
    """Whether anything here looks like a TPU: better one try too many than a TPU overlooked."""
    makers = [path.read_text().strip() for path in Path("/sys/bus/pci/devices").glob("*/vendor")]
    files = [*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]
    named = any(os.environ.get(name) for name in ("TPU_NAME", "TPU_ACCELERATOR_TYPE"))
    return _GOOGLE in makers or bool(files) or named


def _library():
    """The file of libtpu, or None."""
    if os.environ.get("TPU_LIBRARY_PATH"):
        return Path(os.environ["TPU_LIBRARY_PATH"])
    package = importlib.util.find_spec("libtpu")
    return Path(package.origin).with_name("libtpu.so") if package else None


def _lack(library):
    """What a library lacks, in words; an empty string if it lacks nothing or is not there to be looked at."""
    if library is None or not library.is_file() or not library.stat().st_size:
        return ""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        missing = [name.decode() for name in NEEDED if content.find(name) < 0]
    if not missing:
        return ""
    try:
        found = f"libtpu {version('libtpu')}"
    except PackageNotFoundError:
        found = "the libtpu here"
    wanted = " ".join(f'"{package}"' for package in PACKAGES)
    return f"{found} lacks {missing[0]}, without which TensorFlow would abort: pip install {wanted}"

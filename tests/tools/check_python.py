"""Say in one sentence why TensorFlow cannot be installed for this Python, or nothing. Runs on any Python 3."""

import importlib.util
import platform
import struct
import sys
import sysconfig

OLDEST, NEWEST = (3, 11), (3, 13)
SYSTEMS = ("Linux x86_64", "Linux aarch64", "macOS arm64", "Windows AMD64")


def this_python():
    """The arguments of `problem` for the Python that runs this."""
    free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED")
    system = "macOS" if platform.system() == "Darwin" else platform.system()
    musl = "musl" in (sysconfig.get_config_var("SOABI") or "")
    return {
        "version": sys.version_info[:3],
        "implementation": platform.python_implementation() + (" without GIL" if free_threaded else ""),
        "bits": 8 * struct.calcsize("P"),
        "system": f"{system} {platform.machine()}" + (" with musl" if musl else ""),
        "can_make_venv": importlib.util.find_spec("ensurepip") is not None,
    }


def problem(version, implementation, bits, system, can_make_venv):
    """One sentence on what is wrong with such a Python, or an empty string."""
    number = ".".join(str(part) for part in version)
    if not (OLDEST <= tuple(version[:2]) <= NEWEST and implementation == "CPython" and bits == 64):
        return (
            f"Expected 64-bit CPython 3.11, 3.12 or 3.13, for which TensorFlow can be installed, and found {bits}-bit "
            f"{implementation} {number}: install Python 3.12 and name it, as in `make test PYTHON=python3.12`."
        )
    if system not in SYSTEMS:
        return (
            f"Expected one of the systems TensorFlow has packages for ({', '.join(SYSTEMS)}) and found {system}: "
            "open the notebooks in Colab, or use another machine."
        )
    if not can_make_venv:
        return (
            f"Expected a Python that can make virtual environments, and found {number} without ensurepip: "
            f"install it (on Debian and Ubuntu `sudo apt install python{version[0]}.{version[1]}-venv`) and try again."
        )
    return ""


if __name__ == "__main__":
    sys.exit(problem(**this_python()) or None)

"""Install what the notebooks need into the folder .venv here, once, and open JupyterLab on the first notebook.

Linux, macOS: python3 start.py      Windows: py start.py
With --install-only it stops before JupyterLab; other options, such as --no-browser, are passed on to JupyterLab.
"""

import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
IMAGES = ("cifar-10-python.tar.gz", "cifar-10-batches-py")


def this_python():
    """Version and system for which wheels are made, as in "Python 3.12 on Linux x86_64"."""
    system = "macOS" if platform.system() == "Darwin" else platform.system()
    return f"Python {sys.version_info[0]}.{sys.version_info[1]} on {system} {platform.machine()}"


def problem(folder):
    """One sentence on why nothing can be installed from `folder` by this Python, or an empty string."""
    if not (folder / "requirements.txt").exists():
        return f"Expected requirements.txt in {folder} and found none: unpack the whole zip, and start from there."
    note = folder / "wheels" / "MADE_FOR.txt"
    made_for = note.read_text(encoding="utf-8").strip() if note.exists() else this_python()
    if made_for == this_python():
        return ""
    return (
        f"Expected {made_for}, for which the folder wheels was made, and found {this_python()}: start this file with "
        "that Python, or delete the folder wheels and start it where there is a network."
    )


def python_of(folder):
    """The Python of the environment in `folder`."""
    return folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(folder):
    """Make `folder/.venv` and install into it, from the wheels if there are any; returns its Python.

    An installation that broke off, or that was copied from a machine with its Python elsewhere, is begun anew; a
    finished one is used as it is.
    """
    place, python = folder / ".venv", python_of(folder)
    finished = place / ".installed"
    if finished.exists() and python.exists():
        return python
    print("Installing into the folder .venv, once: about 3 GB, some minutes ...", flush=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    if (folder / "wheels").is_dir():
        command += ["--no-index", "--find-links", str(folder / "wheels")]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([*command, "-r", str(folder / "requirements.txt")], check=True)
    except subprocess.CalledProcessError as error:
        what = "a virtual environment" if "venv" in error.cmd else "all packages"
        shutil.rmtree(place, ignore_errors=True)
        sys.exit(
            f"Expected to install {what} and could not, for the reason above; 3 GB are needed, and "
            f"{shutil.disk_usage(folder).free / 1e9:.1f} GB are free: ask your teacher, then start again."
        )
    except KeyboardInterrupt:
        sys.exit("\nStopped while installing: start again, and it begins anew.")
    finished.touch()
    return python


def point_to_images(folder, settings):
    """Let CIFAR10_DIR name the images that lie in `folder`, unless it is set already."""
    here = [folder / name for name in IMAGES if (folder / name).exists()]
    if here:
        settings.setdefault("CIFAR10_DIR", str(here[0]))


def main():
    found = problem(HERE)
    if found:
        sys.exit(found)
    python = install(HERE)
    if "--install-only" in sys.argv[1:]:
        return 0
    point_to_images(HERE, os.environ)
    first = sorted((HERE / "notebooks").glob("0*.ipynb"))[0].name
    settings = [f"--LabApp.default_url=/lab/tree/notebooks/{first}", "--LabApp.news_url=None"]
    lab = [str(python), "-m", "jupyterlab", *settings, *sys.argv[1:]]
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl+C is for JupyterLab, which asks before it stops
    return subprocess.call(lab, cwd=HERE)


if __name__ == "__main__":
    sys.exit(main())

"""Write one zip with all that a class without network needs, and prove that it runs.

The zip is unpacked in an empty folder, with an empty home and no network; everything is installed from its wheels
alone, a notebook is run from there, and JupyterLab is started. Only then does it get its name.

python -m tests.tools.classroom                   with wheels for this system and this Python
python -m tests.tools.classroom --no-wheels       small and quick; proven with the packages of this environment
python -m tests.tools.classroom --with-solutions  for the teacher; without them nobody reads a solution before its hint
"""

import argparse
import errno
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from tests.tools import classroom_start, sync

ASK_JUPYTERLAB = Path(__file__).with_name("ask_jupyterlab.py")
NAME = "image-classification"
PARTS = (
    "README.md",
    "TEACHING.md",
    "colab_badges.md",
    "requirements.txt",
    "notebooks/[0-9]*.ipynb",
    "notebooks/*.md",
    "notebooks/*.py",
    "notebooks/images/*",
    "utils/*.py",
    "utils/*.mplstyle",
    "utils/*.toml",
    "models/*",
    "models/runs/*",
    "tests/benchmarks/RESULTS.md",
)
SOLUTIONS = "notebooks/solutions/*"
PACKED = {".whl", ".png", ".h5", ".npz", ".jpg"}  # compressed already

START_HERE = """\
Image classification with TensorFlow: the notebooks of this class
=================================================================

1. Unpack the whole zip, to a folder on this computer's own disk; it takes about 5 GB with all that gets installed.

2. The images. If your teacher gave you the file cifar-10-python.tar.gz, or the folder cifar-10-batches-py, copy it
   into this folder, beside this text; if it lies on a share, set the environment variable CIFAR10_DIR to its path
   instead. It is not in the zip because CIFAR-10 has no licence that would allow passing it on. With a network and
   without the file the first notebook downloads it (170 MB). With neither, drawings take the place of the images,
   and a red box says so.

3. Start, in a terminal that is in this folder. {python}

       Linux, macOS:   python3 start.py
       Windows:        py start.py

   The first start installs, which takes some minutes, {source}. Every start
   opens JupyterLab on the first notebook, in the browser. If no browser opens, copy the address that the terminal
   shows, the one that begins with http://localhost, into one.

4. Stop by File > Shut Down in JupyterLab, or by Ctrl+C in the terminal, answered with y. What you changed in a
   notebook stays only if you saved it.

Without start.py, the same by hand (leave CIFAR10_DIR out if the file is not here). Linux, macOS:

       python3 -m venv .venv
       .venv/bin/python -m pip install {options}-r requirements.txt
       CIFAR10_DIR=cifar-10-python.tar.gz .venv/bin/python -m jupyterlab

   Windows (PowerShell):

       py -m venv .venv
       .venv\\Scripts\\python -m pip install {options}-r requirements.txt
       $env:CIFAR10_DIR = "cifar-10-python.tar.gz"; .venv\\Scripts\\python -m jupyterlab

README.md says more about the series; its `make` commands need the whole repository, which is not in this zip.
"""

# Runs another program after switching on the loopback interface, through which Jupyter talks to its kernels.
WITH_LOOPBACK = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS: up
os.execvp(sys.argv[1], sys.argv[1:])
"""
ALONE = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", WITH_LOOPBACK]
# Nothing is sent: for UDP, connecting only looks for a way to the address, one that is reserved for documentation.
FIND_A_WAY_OUT = """
import socket, sys
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
except OSError:
    sys.exit(0)
sys.exit("there is a way out")
"""
PLACES = {"home": ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"), "temporary": ("TMPDIR", "TMP", "TEMP")}
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


class ClassroomError(Exception):
    """What was expected, what was found and what to do, in one sentence."""


def contents(root, with_solutions=False):
    """The files of the project that belong into the zip, by their name in it."""
    patterns = (*PARTS, SOLUTIONS) if with_solutions else PARTS
    paths = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    files = {path.relative_to(root).as_posix(): path for path in paths if not path.name.startswith((".", "cifar-10"))}
    return files | {"start.py": Path(classroom_start.__file__)}


def start_here(with_wheels):
    """The text that learners read first."""
    made_for = classroom_start.this_python()
    return START_HERE.format(
        python=f"It needs {made_for}." if with_wheels else "It needs Python 3.11, 3.12 or 3.13.",
        source="and needs no network" if with_wheels else "and needs a network",
        options="--no-index --find-links wheels " if with_wheels else "",
    )


def fetch_wheels(root, folder):
    """Bring the wheels of all requirements into `folder`, in the versions that are installed and tested here.

    What an earlier call fetched is used again if it suffices.

    Raises:
        ClassroomError: if they cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=folder.parent) as new:
        constraints, fetched = Path(new, "constraints.txt"), Path(new, "wheels")
        installed = {(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()}
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in sorted(installed)))
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1"]
        command += ["--only-binary", ":all:", "-r", root / "requirements.txt", "-c", constraints, "-d", fetched]
        earlier = ["--no-index", "--find-links", folder]
        done = subprocess.run([*command, *earlier], capture_output=True, text=True) if folder.is_dir() else None
        if done is None or done.returncode:
            print("wheels: fetching them from the package index, about 0.8 GB, some minutes ...", flush=True)
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ClassroomError(why_no_wheels(done.stderr, folder))
        (fetched / "MADE_FOR.txt").write_text(classroom_start.this_python() + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(fetched, folder)


def why_no_wheels(said, folder):
    """One sentence from what pip said on stderr."""
    if "No space left" in said or "Errno 28" in said:
        return no_room(folder)
    broken = ("NewConnectionError", "ProxyError", "NameResolutionError", "ConnectTimeout", "Connection refused")
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = "no network" if any(word in said for word in broken) else (errors or ["pip gave no reason"])[-1]
    return (
        f"Expected to fetch the wheels from the package index and could not ({reason}): connect this machine to the "
        "network and try again, or leave them out with --no-wheels."
    )


def no_room(folder):
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    return (
        f"Expected room for the zip, its wheels and what is installed to prove it, about 6 GB with wheels, and found "
        f"{free / 1e9:.1f} GB free in {folder}: free some space, or name another place with --output."
    )


def write_zip(files, path):
    """Write a zip of these files, by their name in it; texts are `bytes`, all others are paths."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for name, file in sorted(files.items()):
            packing = zipfile.ZIP_STORED if Path(name).suffix in PACKED else None
            if isinstance(file, bytes):
                archive.writestr(f"{NAME}/{name}", file)
            else:
                archive.write(file, f"{NAME}/{name}", packing)


def isolation():
    """What to put before a command to run it without network, settings for it, and a sentence on how sure that is."""
    try:
        probe = subprocess.run([*ALONE, sys.executable, "-c", FIND_A_WAY_OUT], capture_output=True, text=True)
        reason = (probe.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        if not probe.returncode:
            return ALONE, {}, "no network (unshare: nothing outside of this machine can be reached)"
    except FileNotFoundError:
        reason = "there is no such program here"
    proxies = {name: NOWHERE for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy")}
    proxies["no_proxy"] = "localhost,127.0.0.1"
    return [], proxies, (
        "NOT cut off from the network, since unshare does not work here "
        f"({reason}); only a proxy that does not exist stands in the way, which a program may ignore"
    )


class Room:
    """An empty folder with the unpacked zip, an empty home, and no network: where the proof takes place."""

    def __init__(self, archive, work):
        self.prefix, proxies, self.network = isolation()
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(work)
        self.folder = work / NAME
        kept = ("PATH", "SYSTEMROOT", "LANG", "LD_LIBRARY_PATH", "CIFAR10_SOURCE", "OMP_NUM_THREADS")
        self.settings = {name: os.environ[name] for name in kept if name in os.environ} | proxies
        for name, variables in PLACES.items():
            (work / name).mkdir()
            self.settings |= dict.fromkeys(variables, str(work / name))
        self.settings |= {"TUTORIAL_PROFILE": "test", "TF_CPP_MIN_LOG_LEVEL": "2", "PIP_CONFIG_FILE": os.devnull}
        if os.environ.get("CIFAR10_DIR"):
            self.settings["CIFAR10_DIR"] = os.path.abspath(os.environ["CIFAR10_DIR"])

    def run(self, *command):
        """Run a program in the unpacked folder; returns the last line of what it said.

        Raises:
            ClassroomError: if it fails.
        """
        said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run([*self.prefix, *map(str, command)], cwd=self.folder, env=self.settings, **said)
        if done.returncode:
            print(done.stdout)
            called = " ".join(Path(str(part)).name for part in command)
            raise ClassroomError(
                f"Expected `{called}` to work in the unpacked zip, found the errors above: mend them and try again."
            )
        return "".join(done.stdout.strip().splitlines()[-1:])

    def run_notebook(self, python, name):
        """Run a notebook in the test profile; returns nbval's count of its cells."""
        options = ["-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=1200"]
        return self.run(python, "-m", "pytest", *options, f"notebooks/{name}")

    def open_lab(self, python, name):
        """Start JupyterLab, as a learner does where there are wheels, and ask for a notebook; returns its kernels."""
        start = ["-m", "jupyterlab"] if python == sys.executable else ["start.py"]
        return self.run(python, ASK_JUPYTERLAB, name, *start)


def prove(archive, notebook):
    """Unpack the zip in an empty place without network, install, run a notebook, open it, and say how it went."""
    with tempfile.TemporaryDirectory(prefix="classroom-") as work:
        room, python, start = Room(archive, Path(work)), sys.executable, time.monotonic()
        print(f"proof: unpacked in an empty folder, with an empty home; {room.network}", flush=True)
        if (room.folder / "wheels").is_dir():  # as a learner installs
            room.run(python, "start.py", "--install-only")
            python = classroom_start.python_of(room.folder)
            minutes = (time.monotonic() - start) / 60
            size = sum(path.lstat().st_size for path in (room.folder / ".venv").rglob("*") if not path.is_dir())
            print(f"proof: installed from its wheels alone in {minutes:.1f} minutes, {size / 1e9:.1f} GB", flush=True)
        else:
            print("proof: no wheels in the zip, so with the packages that are installed here", flush=True)
        counted = room.run_notebook(python, notebook)
        images = room.settings.get("CIFAR10_DIR") and "the images of CIFAR10_DIR" or "drawn images, as without network"
        print(f"proof: {notebook}, profile test, {images}: {counted}", flush=True)
        print(f"proof: JupyterLab starts and offers the kernel {room.open_lab(python, notebook)}")


def make(root, target, with_wheels, with_solutions, notebook):
    """Write the zip, prove it with a notebook (None: not at all), and give it its name.

    Raises:
        ClassroomError: if the wheels, the room on the disk or the proof is missing; `target` is then as it was.
    """
    files, made_for = contents(root, with_solutions), ""
    unfinished = target.with_name(target.name + ".new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if with_wheels:
            wheels = target.parent / "wheels"
            fetch_wheels(root, wheels)
            files |= {f"wheels/{path.name}": path for path in wheels.iterdir()}
            sizes = [path.stat().st_size for path in wheels.glob("*.whl")]
            made_for = f"; {len(sizes)} wheels of {sum(sizes) / 1e6:,.0f} MB for {classroom_start.this_python()}"
        write_zip(files | {"START_HERE.txt": start_here(with_wheels).encode()}, unfinished)
        print(f"zip: {len(files) + 1} files, {unfinished.stat().st_size / 1e6:,.0f} MB{made_for}", flush=True)
        if notebook:
            prove(unfinished, notebook)
        os.replace(unfinished, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG):
            raise ClassroomError(no_room(target.parent)) from error
        raise ClassroomError(f"Expected to write {target}, found: {error}; name another place by --output.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"zip: {os.path.relpath(target)}, {'with' if with_solutions else 'without'} solutions")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-wheels", action="store_true", help="leave out the packages; installing needs a network")
    parser.add_argument("--with-solutions", action="store_true", help="put the solutions of the exercises in")
    parser.add_argument("--no-proof", action="store_true", help="do not unpack the zip and run a notebook from it")
    parser.add_argument("--notebook", default="01", metavar="NN", help="number of the notebook that is run as proof")
    parser.add_argument("--output", type=Path, help="where the zip goes (default: classroom/classroom.zip)")
    parser.add_argument("--root", type=Path, default=sync.PROJECT, help="folder of the project")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    target = (options.output or root / "classroom" / "classroom.zip").resolve()
    chosen = [path.name for path in sync.notebook_paths(root) if path.name[:2] == options.notebook]
    if not chosen:
        sys.exit(f"Expected the number of a notebook, such as 01, found {options.notebook}: take one of notebooks/.")
    try:
        make(root, target, not options.no_wheels, options.with_solutions, None if options.no_proof else chosen[0])
    except ClassroomError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

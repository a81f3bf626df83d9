"""Write one zip with all that a class without network needs, and prove that it runs.

The zip is unpacked in an empty folder, with an empty home and no network; everything is installed from its wheels
alone, a notebook is run from there, and JupyterLab is started. Only then does it get its name.

python -m tests.tools.classroom                   with wheels for this system and this Python
python -m tests.tools.classroom --no-wheels       small and quick; proven with the packages of this environment
python -m tests.tools.classroom --with-solutions  for the teacher: solutions and TEACHING.md, in a zip of another name
"""

import argparse
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
    *("README.md", "colab_badges.md", "requirements.txt", "tests/benchmarks/RESULTS.md"),
    *("notebooks/[0-9]*.ipynb", "notebooks/deeper/*.ipynb", "notebooks/*.md", "notebooks/*.py", "notebooks/*.html"),
    "notebooks/images/*",
    *("utils/*.py", "utils/*.mplstyle", "utils/*.toml", "models/*", "models/runs/*"),
)
FOR_THE_TEACHER = ("notebooks/solutions/*", "TEACHING.md")

START_HERE = """\
Image classification with TensorFlow: the notebooks of this class
=================================================================

1. Unpack the whole zip, to a folder on this computer's own disk; it takes about 5 GB with all that gets installed.

2. The images. If your teacher gave you the file cifar-10-python.tar.gz, or the folder cifar-10-batches-py, copy it
   into this folder, beside this text; if it lies on a share, set the environment variable CIFAR10_DIR to its path
   instead. It is not in the zip because CIFAR-10 has no licence that would allow passing it on. With a network and
   without the file the first notebook downloads it (170 MB). With neither, drawings take the place of the images,
   and a red box says so.

3. Start, in a terminal that is in this folder. It needs {python}.

       Linux, macOS:   python3 start.py
       Windows:        py start.py

   The first start installs, which takes some minutes and needs {network}. Every start
   opens JupyterLab on the first notebook, in the browser. If no browser opens, copy the address that the terminal
   shows, the one that begins with http://localhost, into one. Its warnings there (of a kernel that is running over
   TCP, of a notebook that is not trusted) mean no harm here; when it offers news, say no.

4. Stop by File > Shut Down in JupyterLab, or by Ctrl+C in the terminal, answered with y. What you changed in a
   notebook stays only if you saved it.

README.md says more about the series; its `make` commands need the whole repository, which is not in this zip.
Solutions come from your teacher: links to them lead nowhere here.
"""

# Runs another program after switching on the loopback interface, through which Jupyter talks to its kernels.
WITH_LOOPBACK = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS: up
os.execvp(sys.argv[1], sys.argv[1:])
"""
ALONE = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", WITH_LOOPBACK]
PLACES = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TMPDIR", "TMP", "TEMP")
NOWHERE = "http://127.0.0.1:9"  # nothing listens there
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"), NOWHERE)


def contents(root, with_solutions=False):
    """The files of the project that belong into the zip, by their name in it."""
    patterns = (*PARTS, *FOR_THE_TEACHER) if with_solutions else PARTS
    paths = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    files = {path.relative_to(root).as_posix(): path for path in paths if not path.name.startswith((".", "cifar-10"))}
    return files | {"start.py": Path(classroom_start.__file__)}


def fetch_wheels(root, folder):
    """Bring the wheels of all requirements into `folder`, in the versions that are installed and tested here.

    What an earlier call fetched is used again if it suffices. Leaves with one sentence where they cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=folder.parent) as new:
        constraints, fetched = Path(new, "constraints.txt"), Path(new, "wheels")
        installed = {f"{package.name}=={package.version}\n" for package in importlib.metadata.distributions()}
        constraints.write_text("".join(sorted(installed)), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1"]
        command += ["--only-binary", ":all:", "-r", root / "requirements.txt", "-c", constraints, "-d", fetched]
        earlier = ["--no-index", "--find-links", folder]
        if not folder.is_dir() or subprocess.run([*command, *earlier], capture_output=True).returncode:
            print("wheels: fetching them from the package index, about 0.8 GB, some minutes ...", flush=True)
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(why_no_wheels(done.stderr))
        (fetched / "MADE_FOR.txt").write_text(classroom_start.this_python() + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(fetched, folder)


def why_no_wheels(said):
    """One sentence from what pip said: its last line, except without network, when that line blames the packages."""
    signs = ("NewConnectionError", "ProxyError", "NameResolutionError", "ConnectTimeout", "Connection refused")
    reason = "no network" if any(sign in said for sign in signs) else said.strip().split("\n")[-1]
    return (
        f"Expected to fetch the wheels from the package index and could not ({reason}): connect this machine to the "
        "network, with 6 GB free, and try again, or leave them out with --no-wheels."
    )


def isolation():
    """What to put before a command to run it without network, and a sentence on how sure that is."""
    if shutil.which(ALONE[0]) and subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0:
        return ALONE, "no network (unshare: nothing outside of this machine can be reached)"
    return [], (
        f"NOT cut off from the network, since {ALONE[0]} does not work here; "
        "only a proxy that does not exist stands in the way, which a program may ignore"
    )


class Room:
    """An empty folder with the unpacked zip, an empty home, and no network: where the proof takes place."""

    def __init__(self, archive, work):
        self.prefix, self.network = isolation()
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(work)
        self.folder, home = work / NAME, work / "home"
        home.mkdir()
        kept = ("PATH", "SYSTEMROOT", "LANG", "LD_LIBRARY_PATH", "CIFAR10_SOURCE", "OMP_NUM_THREADS")
        self.settings = {name: os.environ[name] for name in kept if name in os.environ}
        self.settings |= dict.fromkeys(PLACES, str(home)) | PROXIES | {"no_proxy": "localhost,127.0.0.1"}
        self.settings |= {"TUTORIAL_PROFILE": "test", "TF_CPP_MIN_LOG_LEVEL": "2", "PIP_CONFIG_FILE": os.devnull}
        if os.environ.get("CIFAR10_DIR"):
            self.settings["CIFAR10_DIR"] = os.path.abspath(os.environ["CIFAR10_DIR"])

    def run(self, *command):
        """Run a program in the unpacked folder; returns the last line of what it said, or leaves where it fails."""
        said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run([*self.prefix, *map(str, command)], cwd=self.folder, env=self.settings, **said)
        if done.returncode:
            print(done.stdout)
            called = " ".join(Path(str(part)).name for part in command)
            sys.exit(
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


def prove(archive):
    """Unpack the zip in an empty place without network, install, run a notebook, open it, and say how it went."""
    with tempfile.TemporaryDirectory(prefix="classroom-") as work:
        room, python, start = Room(archive, Path(work)), sys.executable, time.monotonic()
        print(f"proof: unpacked in an empty folder, with an empty home; {room.network}", flush=True)
        if (room.folder / "wheels").is_dir():  # as a learner installs
            room.run(python, "start.py", "--install-only")
            python = classroom_start.python_of(room.folder)
            minutes = (time.monotonic() - start) / 60
            print(f"proof: installed from its wheels alone in {minutes:.1f} minutes", flush=True)
        else:
            print("proof: no wheels in the zip, so with the packages that are installed here", flush=True)
        notebook = sync.notebook_paths(room.folder)[0].name
        counted = room.run_notebook(python, notebook)
        images = "the images of CIFAR10_DIR" if "CIFAR10_DIR" in room.settings else "drawn images, as without network"
        print(f"proof: {notebook}, profile test, {images}: {counted}", flush=True)
        print(f"proof: JupyterLab starts and offers the kernel {room.open_lab(python, notebook)}")


def make(root, target, with_wheels, with_solutions, with_proof):
    """Write the zip, prove it and give it its name, or leave with one sentence, and `target` as it was."""
    files = contents(root, with_solutions)
    unfinished = target.with_name(target.name + ".new")
    needs = {"python": "Python 3.11, 3.12 or 3.13", "network": "a network"}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if with_wheels:
            wheels = target.parent / "wheels"
            fetch_wheels(root, wheels)
            files |= {f"wheels/{path.name}": path for path in wheels.iterdir()}
            needs = {"python": classroom_start.this_python(), "network": "no network"}
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            first = zipfile.ZipInfo(f"{NAME}/START_HERE.txt", time.localtime()[:6])
            first.external_attr = 0o644 << 16  # readable by others than who unpacks it
            archive.writestr(first, START_HERE.format(**needs))
            for name, path in sorted(files.items()):
                packing = zipfile.ZIP_STORED if name.startswith("wheels/") else None
                archive.write(path, f"{NAME}/{name}", packing)
        size = unfinished.stat().st_size / 1e6
        print(f"zip: {len(files) + 1} files, {size:,.0f} MB, for {needs['python']}", flush=True)
        if with_proof:
            prove(unfinished)
        os.replace(unfinished, target)
    except OSError as error:
        sys.exit(
            f"Expected to write {target}, for which with wheels and proof about 6 GB must be free, found: {error}; "
            "free some space, or name another place by --output."
        )
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"zip: {os.path.relpath(target)}, {'with' if with_solutions else 'without'} solutions")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-wheels", action="store_true", help="leave out the packages; installing needs a network")
    parser.add_argument("--with-solutions", action="store_true", help="for the teacher: solutions and TEACHING.md too")
    parser.add_argument("--no-proof", action="store_true", help="do not unpack the zip and run a notebook from it")
    parser.add_argument("--output", type=Path, help="name of the zip, instead of classroom/classroom.zip")
    options = parser.parse_args(arguments)
    name = "classroom-with-solutions.zip" if options.with_solutions else "classroom.zip"
    target = (options.output or sync.PROJECT / "classroom" / name).resolve()
    make(sync.PROJECT, target, not options.no_wheels, options.with_solutions, not options.no_proof)


if __name__ == "__main__":
    main()

"""How long a reader waits: for a cell of a notebook, for all core notebooks, and from Python's start to an answer."""

import os
import subprocess
import sys
import time
from pathlib import Path

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager

from tests.tools import parts, sync

ANSWER = """
import utils.photos
from notebooks import gallery
from utils.networks import load_published
print(utils.photos.classify(load_published(), gallery.path("cat"))["class"][0])
"""


def first_answer_ours(run):
    """Notebook 01 up to the first classes that it names."""
    return waited("01", run, cell="ask")


def first_epoch_ours(run):
    """Notebook 02 up to the end of the first epoch that it trains."""
    return waited("02", run, cell="fit", printed="val_loss")


def lesson_ours(run):
    """All core notebooks, each in a kernel of its own."""
    numbers = [entry.number for entry in parts.core_of(sync.read_entries(sync.PROJECT))]
    minutes = {f"min in {number}": waited(number, run)["value"] / 60 for number in numbers[: 1 if run.quick else None]}
    return {"value": sum(minutes.values()), "facts": minutes}


def waited(number, run, cell=None, printed=""):
    """Seconds from opening the kernel of a core notebook until a cell has ended or printed this, or else all have."""
    entry = next(entry for entry in sync.read_entries(sync.PROJECT) if entry.is_core and entry.number == number)
    cells = [code for code in parts.read_notebook(entry.path).cells if code.cell_type == "code"]
    ends, start = [], time.perf_counter()

    def watch(message):
        if printed and printed in message["content"].get("text", ""):
            ends.append(time.perf_counter())

    manager = KernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    profile = {"TUTORIAL_PROFILE": "test" if run.quick else "class", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    manager.start_kernel(cwd=str(entry.path.parent), env=os.environ | profile)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=300)
        for code in cells:
            answer = client.execute_interactive(code.source, output_hook=watch, allow_stdin=False)["content"]
            if answer["status"] != "ok":
                raise RuntimeError(f"cell {code.id} of {entry.path.name}: {answer['ename']}: {answer['evalue']}")
            if ends or code.id == cell:
                break
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return {"value": (ends or [time.perf_counter()])[0] - start, "facts": {}}


def photo_ours(run):
    """From Python's start to the class of a picture: with Python's files in memory, and with none of them there."""
    environment = [] if run.quick else [Path(sys.prefix)]
    forget_files(sync.PROJECT / "utils", sync.PROJECT / "models", *environment)
    cold = seconds_to_an_answer()
    return {"value": cold if run.quick else seconds_to_an_answer(), "facts": {"seconds with no file in memory": cold}}


def seconds_to_an_answer():
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", ANSWER], cwd=sync.PROJECT, stdout=sys.stderr, check=True)
    return time.perf_counter() - start


def forget_files(*folders):
    """Let the system drop what it keeps of these files in memory, as after a start of the machine (Linux only)."""
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

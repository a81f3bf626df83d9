"""Run the whole series in order and write executed notebooks and browsable pages to build/.

A notebook that fails does not stop the others. With --publish, the full profile is used and the outputs of the
notebooks that ran without an error are saved in notebooks/. With --record-minutes, only minutes are saved: those of the
class profile are what TEACHING.md plans a lesson with, and it says which limit is missed.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbconvert.preprocessors import ClearOutputPreprocessor, CoalesceStreamsPreprocessor

from tests.tools import form, pages, parts, sync

LOAD_IMAGES = """
import json, sys
from utils import data, machine
try:
    profile = machine.choose_profile()
    images = data.load_cifar10()
    facts = {"profile": profile.name, "source": images.source, "stand_in": images.is_stand_in}
    facts |= {"accelerator": machine.find_accelerator(), "machine": machine.describe_machine()}
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
with open(sys.argv[1], "w") as file:
    json.dump(facts, file)
"""


@dataclass
class Result:
    """How the run of one notebook went; `minutes` is None until it is over."""

    entry: parts.Entry
    status: str = "not run"
    failed: bool = False
    minutes: float | None = None
    slowest: tuple = ("", 0)  # id of the cell, and its seconds


class Progress:
    """Says which cell runs, one line a cell, and times them."""

    def __init__(self, label, notebook):
        self.label = label
        self.cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
        self.begun, self.stopped = [("", time.monotonic())], False

    @property
    def minutes(self):
        return (time.monotonic() - self.begun[0][1]) / 60

    @property
    def place(self):
        return f"cell {len(self.begun) - 1} of {self.cells}"

    @property
    def slowest(self):
        """The id of the cell that took longest, and its seconds."""
        spans = pairwise([*self.begun[1:], ("", time.monotonic())])
        return max(((cell, end - begin) for (cell, begin), (_, end) in spans), key=itemgetter(1), default=("", 0))

    def next_cell(self, cell, cell_index):
        if self.stopped:
            raise InterruptedError
        self.begun.append((cell.id, time.monotonic()))
        print(f"{self.label}, {self.place}, {self.minutes:.1f} minutes", flush=True)


def load_images(root):
    """Load the images in another process, so that every notebook finds them cached; returns what is said of them."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "facts.json"
        if subprocess.run([sys.executable, "-c", LOAD_IMAGES, str(answer)], cwd=root).returncode:
            sys.exit("The images could not be loaded, for the reason above; no notebook was run.")
        return json.loads(answer.read_text(encoding="utf-8"))


def execute(notebook, folder, progress):
    """Run all cells of `notebook` in place, with this Python as its kernel, until one fails.

    nbclient works in a thread, because in the main one it would catch Ctrl-C itself and go on with the next notebook.
    """
    manager = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=None,
        startup_timeout=300,
        iopub_timeout=60,  # what a busy machine may need to deliver a large figure
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=progress.next_cell,
    )
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(asyncio.run, client.async_execute(cleanup_kc=True))
        try:
            while not work.done():
                wait([work], timeout=1)
        except KeyboardInterrupt:
            progress.stopped = True
            if manager.provisioner and manager.provisioner.process:
                manager.provisioner.process.kill()
            raise
    work.result()


def run_notebook(result, label, build, facts):
    """Run one notebook, write it and its page to `build`, and note in `result` how it went; returns the notebook."""
    path = result.entry.path
    clear = ClearOutputPreprocessor(remove_metadata_fields={"collapsed", "execution", "scrolled"})
    notebook, _ = clear.preprocess(parts.read_notebook(path), {})
    progress = Progress(label, notebook)
    try:
        execute(notebook, path.parent, progress)
        result.status = "finished"
    except Exception as error:
        name, text = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
        result.status = f"failed in {progress.place} (id `{progress.begun[-1][0]}`): {name}: {text}"[:2000]
        result.failed = True
    result.minutes, result.slowest = progress.minutes, progress.slowest
    print(f"{label}, {result.minutes:.1f} minutes: {result.status}", flush=True)
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
    notebook.metadata = parts.metadata(notebook.metadata.tutorial)
    (build / path.name).write_text(sync.notebook_text(notebook), encoding="utf-8")
    pages.write_page(notebook, path.stem, path.parent, build, pages.stand_in_notice(facts))
    return notebook


def count_cores():
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def save(result, notebook, facts, with_outputs):
    """Save in notebooks/ what a run without error gave: the outputs if wanted, and the minutes, if on two CPU cores."""
    path = result.entry.path
    saved = parts.read_notebook(path)
    if [cell.source for cell in saved.cells] != [cell.source for cell in notebook.cells]:
        result.status, result.failed = "not saved, because its file was changed while it ran: publish it again", True
        return
    if with_outputs:
        saved.cells = notebook.cells
        if found := form.check_executed(saved) + form.check_outputs(saved):
            result.status, result.failed = f"saved, but the tests will refuse it: {'; '.join(found)}", True
    cores, timed = count_cores(), "minutes" in saved.metadata.tutorial  # solutions are not
    if timed and cores == 2 and not facts["accelerator"]:
        saved.metadata.tutorial.minutes[facts["profile"]] = round(result.minutes, 1)
        if facts["profile"] == "class":
            saved.metadata.tutorial.slowest = {
                "cell": result.slowest[0],
                "seconds": round(result.slowest[1]),
                "measured_on": f"{facts['machine']}; {facts['source']}",
            }
    elif timed:
        found = f"{cores} and {facts['accelerator'] or 'none'}"
        print(f"Minutes not recorded: expected 2 CPU cores and no accelerator, found {found}.")
    sync.write_file(path, sync.notebook_text(saved))


def prepare(options, root):
    """Choose the notebooks and load the images, or leave with one sentence where the run makes no sense."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    os.environ["TUTORIAL_STILL"] = "start"  # a slider on a page moves nothing
    if options.publish:
        os.environ["TUTORIAL_PROFILE"] = "full"
        sync.write(root)
    entries = sync.read_entries(root)
    entries += sync.solutions_entries(entries)
    results = [Result(entry) for entry in entries if entry.path.name.startswith(options.only or "")]
    if not results:
        sys.exit(f"Expected the beginning of a name, such as 01, found {options.only}: choose one from notebooks/.")
    notebooks = {result.entry.path: parts.read_notebook(result.entry.path) for result in results if options.publish}
    found = [f"{p.name}: {text}" for p, nb in notebooks.items() for check in form.BEFORE_A_RUN for text in check(nb)]
    if found:
        sys.exit(f"Nothing was run, since the tests would refuse {'; '.join(found)}.")
    facts = load_images(root)
    print(f"Images: {facts['source']}. Profile: {facts['profile']}.", flush=True)
    if (options.publish or options.record_minutes) and facts["stand_in"]:
        sys.exit("Expected real CIFAR-10 images to publish with, found the stand-in: set CIFAR10_DIR or go online.")
    if options.record_minutes and facts["profile"] not in ("class", "full"):
        sys.exit(f"Expected the profile class or full to time, found {facts['profile']}: set TUTORIAL_PROFILE.")
    return results, facts


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publish", action="store_true", help="save outputs and minutes of a full run in notebooks/")
    parser.add_argument("--record-minutes", action="store_true", help="save only the minutes, of this profile")
    parser.add_argument("--only", metavar="NN", help="run only the notebooks whose names begin so, as in 02 or 02_g")
    parser.add_argument("--root", type=Path, default=sync.PROJECT, help="folder of the project")
    options = parser.parse_args(arguments)
    root, saving = options.root.resolve(), options.publish or options.record_minutes
    try:
        results, facts = prepare(options, root)
    except ValueError as error:
        sys.exit(str(error))
    build = root / "build"
    if not options.only:
        shutil.rmtree(build, ignore_errors=True)
    build.mkdir(exist_ok=True)
    pages.write_texts(root / "notebooks", build)
    pages.write_index(results, facts, build)
    try:
        for number, result in enumerate(results, 1):
            label = f"notebook {number} of {len(results)}, {result.entry.path.stem}"
            notebook = run_notebook(result, label, build, facts)
            if saving and not result.failed:
                save(result, notebook, facts, with_outputs=options.publish)
            pages.write_index(results, facts, build)
    except KeyboardInterrupt:
        print("\nInterrupted; what was finished is kept.")
    if saving:
        sync.write(root)
    print(f"\nImages: {facts['source']}. Profile: {facts['profile']}. Pages: {os.path.relpath(build / 'index.html')}")
    for result in results:
        print(f"{result.entry.path.name}: {result.status}")
    if facts["stand_in"]:
        print("WARNING: the images of this run are NOT CIFAR-10, and no accuracy in it says anything about CIFAR-10.")
    return 0 if all(result.status == "finished" for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

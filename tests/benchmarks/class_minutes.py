"""How long the notebooks take in the class profile, on this machine.

Runs them one after another, each in a process of its own, and says in words whether a lesson has to wait too long. What
it measured of the whole series on two CPU cores is saved beside this file; TEACHING.md quotes it after `make sync`.

.venv/bin/python -m tests.benchmarks.class_minutes            all notebooks
.venv/bin/python -m tests.benchmarks.class_minutes --only 01  one of them, only printed
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.tools import parts, run, sync

PROJECT = Path(__file__).resolve().parents[2]
SAVED = Path(__file__).with_suffix(".json")
LONGEST_CELL, LONGEST_NOTEBOOK, ALL_NOTEBOOKS = 60, 6, 25  # seconds, minutes, minutes


@dataclass(frozen=True)
class Measurement:
    """One notebook: its name, its minutes, and its slowest cell with the seconds that this took."""

    name: str
    minutes: float
    cell: str
    seconds: float


class Stopwatch(run.Progress):
    """Also notes when each cell begins."""

    def __init__(self, label, notebook):
        super().__init__(label, notebook)
        self.begun = []

    def next_cell(self, cell, cell_index):
        super().next_cell(cell, cell_index)
        self.begun.append((cell.id, time.monotonic()))


def measure(path, label):
    """Run a notebook in a fresh kernel and say how long it and its slowest cell took.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    notebook = parts.read_notebook(path)
    watch = Stopwatch(label, notebook)
    run.execute(notebook, path.parent, watch)
    ends = [begin for _, begin in watch.begun[1:]] + [time.monotonic()]
    seconds = {cell: end - begin for (cell, begin), end in zip(watch.begun, ends, strict=True)}
    slowest = max(seconds, key=seconds.get)
    return Measurement(path.stem, watch.minutes, slowest, seconds[slowest])


def missed(measurements):
    """One sentence for each limit that is not kept; the sum counts only where the whole series was run."""
    found = [
        f"Cell `{m.cell}` of {m.name} took {m.seconds:.0f} s, more than the {LONGEST_CELL} s a class should wait."
        for m in measurements
        if m.seconds > LONGEST_CELL
    ]
    found += [
        f"{m.name} took {m.minutes:.1f} minutes, more than {LONGEST_NOTEBOOK}."
        for m in measurements
        if m.minutes > LONGEST_NOTEBOOK
    ]
    together = sum(m.minutes for m in measurements)
    if together > ALL_NOTEBOOKS:
        found.append(f"All together took {together:.1f} minutes, more than {ALL_NOTEBOOKS}.")
    return found


def record(measurements, facts):
    """What is saved, and quoted in TEACHING.md."""
    return {
        "notebooks": {
            m.name: {"minutes": round(m.minutes, 1), "slowest_cell": m.cell, "seconds": round(m.seconds)}
            for m in measurements
        },
        "minutes_together": round(sum(m.minutes for m in measurements), 1),
        "limits_missed": missed(measurements),
        "machine": machine(),
        "data_source": facts["source"],
        "command": "python -m tests.benchmarks.class_minutes",
    }


def machine():
    """The line in which the notebooks name processor, memory and versions."""
    from utils import machine

    return machine.describe_machine()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NN", help="number of the one notebook to run")
    options = parser.parse_args(arguments)
    os.environ["TUTORIAL_PROFILE"] = "class"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    paths = [path for path in sync.notebook_paths(PROJECT) if options.only in (None, path.name[:2])]
    if not paths:
        sys.exit(f"Expected the number of a notebook, such as 01, found {options.only}: choose one from notebooks/.")
    facts = run.load_images(PROJECT)
    measurements = [measure(path, path.stem) for path in paths]
    print(f"\n{machine()}\nProfile class, {facts['source']}")
    for m in measurements:
        print(f"{m.name:30} {m.minutes:5.1f} minutes   slowest cell {m.cell}, {m.seconds:.0f} s")
    print(f"{'together':30} {sum(m.minutes for m in measurements):5.1f} minutes")
    print(*missed(measurements) or ["Every limit is kept."], sep="\n")
    if options.only:
        print("Not saved: only a part of the series was run.")
    elif facts["stand_in"]:
        print("Not saved: the images are drawings, with which notebook 05 does other work; set CIFAR10_DIR.")
    elif run.count_cores() != 2 or facts["accelerator"]:
        print(f"Not saved: expected two CPU cores and no accelerator, found {run.count_cores()} cores.")
    else:
        sync.write_file(SAVED, json.dumps(record(measurements, facts), indent=2, ensure_ascii=False) + "\n")
        print(f"Saved in {os.path.relpath(SAVED)}; `make sync` brings it to TEACHING.md.")
    return 1 if missed(measurements) else 0


if __name__ == "__main__":
    sys.exit(main())

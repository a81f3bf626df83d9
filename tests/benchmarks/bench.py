"""Measure this series side by side with recipes of published articles; `make bench` and `make bench ONLY=load` call it.

The results are saved row by row in results.json, from which RESULTS.md and a part of README.md are written. A row that
cannot run does not stop the others. No result makes it fail.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.rows import ROWS
from tests.tools import sync

PROJECT = Path(__file__).resolve().parents[2]
# What would make the measured code do something else than it does for a reader on this machine.
IGNORED = ("CIFAR10_SOURCE", "KERAS_BACKEND")


class CannotRun(Exception):
    """A measurement that failed, with the reason."""


def measure(side, folder, quick=False):
    """The answer of one function of `sides.py`, in a process of its own.

    Raises:
        CannotRun: if that process fails.
    """
    settings = {key: value for key, value in os.environ.items() if key not in IGNORED}
    settings = {"TF_CPP_MIN_LOG_LEVEL": "2"} | settings
    command = [sys.executable, "-m", "tests.benchmarks.sides", side, str(folder), "--started", repr(time.time())]
    command += ["--quick"] if quick else []
    done = subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise CannotRun(f"{side}: exit status {done.returncode}: {done.stderr.strip()[-500:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise CannotRun(f"{side}: {answer['error']}")
    return answer


def measure_row(row, quick=False):
    """Measure both sides of a row in turn: a dict with "ours", "theirs" (None without a peer) and "n"."""
    sides = ("ours", "theirs") if row.peer else ("ours",)
    answers = {side: [] for side in sides}
    repeats = 1 if quick else row.repeats
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(1, repeats + 1):
            for side in sides:
                answer = measure(f"{row.name}_{side}", folder, quick)
                answers[side].append(answer)
                value = f"{report.number(answer['value'])} {row.unit}"
                print(f"{row.name}, {side}, {repeat} of {repeats}: {value}", flush=True)
    return {"theirs": None, "n": repeats} | {side: combine(answers[side]) for side in sides}


def combine(answers):
    """One side of a row: all values, and the median of each fact."""
    facts = {name: statistics.median(answer["facts"][name] for answer in answers) for name in answers[0]["facts"]}
    combined = {"values": [answer["value"] for answer in answers], "facts": facts}
    return combined | ({"reached": all(a["reached"] for a in answers)} if "reached" in answers[0] else {})


def save(root, name, result):
    """Put the result of one row among the saved ones, and write the pages that show them."""
    path = root / "tests" / "benchmarks" / "results.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results[name] = result
    sync.write_file(path, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    sync.write(root)


def main(arguments=None):
    names = ", ".join(row.name for row in ROWS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help=f"one row: {names}")
    parser.add_argument("--quick", action="store_true", help="few images, once: only to see whether it runs; not saved")
    options = parser.parse_args(arguments)
    chosen = [row for row in ROWS if options.only in (None, row.name)]
    if not chosen:
        sys.exit(f"ONLY={options.only}: expected one of {names}.")
    if not os.environ.get("CIFAR10_DIR"):
        sys.exit(
            "Expected CIFAR10_DIR to name the folder cifar-10-batches-py or the archive, found it unset: set it, as in "
            "`CIFAR10_DIR=/data/cifar-10-python.tar.gz make bench`."
        )
    command = f"make bench ONLY={options.only}" if options.only else "make bench"
    results, failures = {}, []
    try:
        place = measure("machine", PROJECT)
        print(f"{place['machine']}; images: {place['data']}.", flush=True)
        for row in chosen:
            try:
                made = {"date": time.strftime("%Y-%m-%d"), "command": command}
                results[row.name] = measure_row(row, options.quick) | place | made
                if not options.quick:
                    save(PROJECT, row.name, results[row.name])
            except CannotRun as failure:
                failures.append(str(failure))
                print(failure, flush=True)
    except CannotRun as failure:
        failures.append(str(failure))
    except KeyboardInterrupt:
        failures.append("Interrupted." if options.quick else "Interrupted; the rows that were finished are saved.")
    if results:
        print(f"\n{report.table(results)}\n\n{report.NOTE}")
        if options.quick:
            print("A quick run: these numbers mean nothing and were not saved.")
    print(*(f"Could not run: {failure}" for failure in failures), sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

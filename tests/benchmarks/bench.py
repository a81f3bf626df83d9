"""Measure this series side by side with recipes of published articles; `make bench` and `make bench ONLY=load` call it.

The results are saved row by row in results.json, from which RESULTS.md and a part of README.md are written. A row that
cannot run, or beside which the machine did other work, is not saved and does not stop the others. No result makes it
fail.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import psutil

from tests.benchmarks import report
from tests.benchmarks.rows import ROWS
from tests.tools import sync

# What would make the measured code do something else than it does for a reader on this machine.
IGNORED = ("CIFAR10_SOURCE", "KERAS_BACKEND")
MOST_OTHER_WORK = 0.03  # of the time of all cores, with which a row is still saved


def measure(side, folder, quick=False):
    """The answer of one function of `sides.py`, in a process of its own; CalledProcessError if that fails."""
    settings = {"TF_CPP_MIN_LOG_LEVEL": "2"} | os.environ
    if side.endswith("_ours"):
        settings.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `utils.machine.start` has it
    settings = {key: value for key, value in settings.items() if key not in IGNORED}
    command = [sys.executable, "-m", "tests.benchmarks.sides", side, str(folder), "--started", repr(time.time())]
    command += ["--quick"] if quick else []
    done = subprocess.run(command, cwd=sync.PROJECT, env=settings, capture_output=True, encoding="utf-8")
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def measure_row(row, quick=False):
    """Measure both sides of a row in turn: a dict with "ours", "theirs" (None without a peer) and "n"."""
    answers = {side: [] for side in (("ours", "theirs") if row.peer else ("ours",))}
    repeats = 1 if quick else row.repeats
    start, before = time.time(), other_seconds()
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(1, repeats + 1):
            for side in answers:
                answers[side].append(measure(f"{row.name}_{side}", folder, quick))
                value = f"{report.number(answers[side][-1]['value'])} {row.unit}"
                print(f"{row.name}, {side}, {repeat} of {repeats}: {value}", flush=True)
    others = (other_seconds() - before) / (psutil.cpu_count() * (time.time() - start))
    sides = {side: combine(answers[side]) for side in answers}
    return {"theirs": None, "n": repeats, "others": round(others, 3)} | sides


def other_seconds():
    """How long all cores worked until now for others than this process and its children, or were not given to us."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0) - sum(psutil.Process().cpu_times()[:4])


def combine(answers):
    """One side of a row: all values, and the median of each fact."""
    facts = {name: statistics.median(answer["facts"][name] for answer in answers) for name in answers[0]["facts"]}
    combined = {"values": [answer["value"] for answer in answers], "facts": facts}
    return combined | ({"reached": all(a["reached"] for a in answers)} if "reached" in answers[0] else {})


def save(root, name, result):
    """Put the result of one row among the saved ones, and write the pages that show them."""
    results = sync.read_benchmarks(root) | {name: result}
    sync.write_file(root / sync.BENCHMARKS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
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
    try:
        place = measure("machine", sync.PROJECT)
    except subprocess.CalledProcessError:
        sys.exit("Nothing was measured, for the reason above.")
    print(f"{place['machine']}; images: {place['data']}.", flush=True)
    results, failed = {}, []
    for row in chosen:
        made = {"date": time.strftime("%Y-%m-%d"), "command": command}
        try:
            results[row.name] = measure_row(row, options.quick) | place | made
        except subprocess.CalledProcessError as error:
            failed.append(f"{row.name} (exit status {error.returncode})")
            continue
        if not options.quick and results[row.name]["others"] > MOST_OTHER_WORK:
            failed.append(f"{row.name} (other work took {results.pop(row.name)['others']:.0%} of the cores)")
        elif not options.quick:
            save(sync.PROJECT, row.name, results[row.name])
    if results:
        print(f"\n{report.table(results)}\n\n{report.NOTE}")
    if options.quick:
        print("A quick run: these numbers mean nothing and were not saved.")
    if failed:
        sys.exit(f"Could not run, for the reasons above: {', '.join(failed)}.")


if __name__ == "__main__":
    main()

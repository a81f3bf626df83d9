"""The cache gives back what was kept, whole or not at all, whatever happens to the process or the disk."""

import subprocess
import sys

import numpy as np
import pytest

from tests.limited_disk import ROOT, limited_disk, run_python
from utils.data import cache_folder, exclusive, open_arrays, open_or_build

LAYOUT = {"images": ((1000, 3), np.uint8), "labels": ((1000,), np.int32)}
BUILD = """
import os, signal, sys
import numpy as np
from utils.data import open_arrays, open_or_build

LAYOUT = {"images": ((1000, 3), np.uint8), "labels": ((1000,), np.int32)}

def build():
    print("built", flush=True)
    return {"images": np.ones((1000, 3), np.uint8), "labels": np.arange(1000, dtype=np.int32)}, "made in a test"

"""


def files_in(folder):
    """Names of files below the folder but for locks, with the folder each lies in."""
    return sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("**/*.[nt]*"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    """Builds the arrays and counts how often it was asked to."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        arrays = {"images": np.full((1000, 3), self.count, np.uint8), "labels": np.arange(1000, dtype=np.int32)}
        return arrays, f"build {self.count}"


def test_the_variable_moves_the_cache_and_the_home_sign_is_understood(monkeypatch, folder):
    assert cache_folder() == folder
    monkeypatch.setenv("TUTORIAL_CACHE", "~/elsewhere")
    assert cache_folder().is_absolute() and cache_folder().name == "elsewhere"
    monkeypatch.delenv("TUTORIAL_CACHE")
    assert "cifar10-tutorial" in cache_folder().parts


def test_what_was_built_once_is_opened_read_only_from_then_on(capfd):
    build = Builder()
    assert open_arrays("name", "state", LAYOUT) is None
    for _ in range(2):
        arrays, source = open_or_build("name", "state", LAYOUT, build)
        assert source == "build 1" and arrays["images"].max() == 1
        assert not any(array.flags.writeable for array in arrays.values())
    assert open_arrays("name", "state", LAYOUT)[1] == "build 1"
    assert build.count == 1
    assert capfd.readouterr() == ("", "")


def test_another_state_is_built_anew_and_the_old_one_removed(folder):
    build = Builder()
    open_or_build("name", "old", LAYOUT, build)
    open_or_build("name-of-others", "old", LAYOUT, build)
    assert open_or_build("name", "new", LAYOUT, build)[1] == "build 3"
    assert open_arrays("name", "old", LAYOUT) is None
    assert open_arrays("name-of-others", "old", LAYOUT)[1] == "build 2"
    assert len(files_in(folder)) == 2 * 3


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "other-shape", "other-type", "no-source"])
def test_a_damaged_cache_is_built_anew(damage, folder):
    build = Builder()
    open_or_build("name", "state", LAYOUT, build)
    (labels,) = folder.glob("*/*/labels.npy")
    if damage == "truncated":
        labels.write_bytes(labels.read_bytes()[:-1])
    elif damage == "empty":
        labels.write_bytes(b"")
    elif damage == "missing":
        labels.unlink()
    elif damage == "other-shape":
        np.save(labels, np.arange(999, dtype=np.int32))
    elif damage == "other-type":
        np.save(labels, np.arange(1000, dtype=np.int64))
    else:
        labels.with_name("source.txt").write_text("")
    assert open_arrays("name", "state", LAYOUT) is None
    arrays, source = open_or_build("name", "state", LAYOUT, build)
    assert source == "build 2" and arrays["labels"].tolist() == list(range(1000))
    assert open_arrays("name", "state", LAYOUT)[1] == "build 2"


@pytest.mark.parametrize("moment", ["labels.npy", "source.txt"])
def test_a_writer_killed_while_it_writes_leaves_nothing_to_be_read(moment, folder):
    dying = f"""{BUILD}
def kill_at(event, arguments):
    if event == "open" and {moment!r} in str(arguments[0]) and "w" in str(arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at)
open_or_build("name", "state", LAYOUT, build)
"""
    assert run_python(dying).returncode == -9
    assert any(name.startswith("unfinished/") for name in files_in(folder)), "it has to be killed while writing"
    assert open_arrays("name", "state", LAYOUT) is None
    assert open_or_build("name", "state", LAYOUT, Builder())[1] == "build 1"
    assert len(files_in(folder)) == 3, "what the killed writer left must go"


def test_of_two_processes_at_once_one_builds_and_both_have_the_arrays(tmp_path):
    code = f"""{BUILD}
print("ready", flush=True)
input()
print(open_or_build("name", "state", LAYOUT, build)[1])
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    with exclusive(cache_folder_made() / "name.lock"):  # neither can build before both were told to start
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
    printed = [process.communicate(timeout=60) for process in both]
    assert sorted(out for out, _ in printed) == ["built\nmade in a test\n", "made in a test\n"], printed
    assert [errors for _, errors in printed] == ["", ""]


def cache_folder_made():
    cache_folder().mkdir(parents=True, exist_ok=True)
    return cache_folder()


def test_whoever_waits_for_another_process_says_so(capfd):
    lock = cache_folder_made() / "name.lock"
    code = f"""
from utils.data import exclusive
with exclusive({str(lock)!r}, patience=0.1):
    print("mine")
"""
    with exclusive(lock):
        waiting = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE)
        first_line = waiting.stdout.readline()
    assert first_line == f"Waiting for another process that is getting the images into {cache_folder()}.\n"
    assert waiting.communicate(timeout=60)[0] == "mine\n"


def test_a_file_in_the_place_of_the_folder_costs_only_the_cache(folder, capfd):
    folder.write_text("not a folder")
    build = Builder()
    for count in (1, 2):
        arrays, source = open_or_build("name", "state", LAYOUT, build)
        assert source == f"build {count}" and not any(array.flags.writeable for array in arrays.values())
        printed = capfd.readouterr()
        assert printed.out == f"Not cached in {folder} (File exists), so every load reads the images anew.\n"
        assert printed.err == ""


def test_a_full_disk_costs_only_the_cache_and_leaves_nothing_on_it(folder):
    code = f"""{BUILD}
arrays, source = open_or_build("name", "state", LAYOUT, build)
print(source, arrays["labels"].sum(), arrays["labels"].flags.writeable)
"""
    with limited_disk(folder, 4096) as limit:
        finished = run_python(code, **limit)
        assert files_in(folder) == []
    built, reason, result = finished.stdout.splitlines()
    assert (built, result) == ("built", "made in a test 499500 False")
    assert reason.startswith(f"Not cached in {folder} (") and finished.stderr == ""


def test_an_error_of_the_builder_is_passed_on_and_nothing_is_kept(folder):
    def fail():
        raise ValueError("no images")

    with pytest.raises(ValueError, match="^no images$"):
        open_or_build("name", "state", LAYOUT, fail)
    assert files_in(folder) == []

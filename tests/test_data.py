"""CIFAR-10 arrives whole, says what it is, and comes from where it should; the stand-in never passes for it."""

import codecs
import hashlib
import io
import itertools
import os
import pickle
import shutil
import tarfile
from types import SimpleNamespace
from unittest.mock import Mock

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import utils.drawings
from tests.fake_cifar10 import TRUTH, fake_archive, fake_folder, linked_folder, numbers_of, pixels_of, python2_pickle
from tests.limited_disk import ROOT, finish, limited_disk, run_python, start_python
from tests.mirror_server import MirrorServer
from utils import download
from utils.data import OFFICIAL, STAND_IN, UNVERIFIED, load_cifar10, open_arrays, open_or_build, read_batches, subset
from utils.download import BATCH_NAMES, cache_folder, exclusive

PIXELS, LABELS = pixels_of(np.arange(10_000)), TRUTH[:10_000].tolist()  # of the first batch file
WHOLE = {"train": 45_000, "validation": 5_000, "test": 10_000}
DEAD_MIRROR = "http://127.0.0.1:9/cifar-10-python.tar.gz"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No images, no network, and a cache of its own; all of it is removed at once since it is large."""
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    monkeypatch.delenv("CIFAR10_SOURCE", raising=False)
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(download, "MIRRORS", (DEAD_MIRROR,))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def from_folder(monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(fake_folder()))


@pytest.fixture
def fake_is_official(monkeypatch):
    """The fake archive's hashes count as CIFAR-10's."""
    monkeypatch.setattr(download, "CIFAR10_SHA256", hashlib.sha256(fake_archive().read_bytes()).hexdigest())
    for name in BATCH_NAMES:
        monkeypatch.setitem(download.OFFICIAL_MD5, name, hashlib.md5((fake_folder() / name).read_bytes()).hexdigest())


@pytest.fixture
def quick_drawing(monkeypatch):
    """Numbered stand-in images, since drawing 60,000 takes a minute; the drawing has its own tests."""

    def draw(n, seed):
        return pixels_of(np.arange(n)).reshape(n, 3, 32, 32).transpose(0, 2, 3, 1), np.arange(n, dtype=np.int32) % 10

    monkeypatch.setattr(utils.drawings, "draw_cifar10_like", draw)


def numbers_in(data, sizes):
    """Which of all images each split has, as far as it keeps what holds for the whole as for a subset."""
    numbers = {}
    for split, size in sizes.items():
        images, labels = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        assert (images.shape, images.dtype) == ((size, 32, 32, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((size,), np.int32)
        assert not images.flags.writeable and not labels.flags.writeable
        assert np.bincount(labels).tolist() == [size // 10] * 10
        numbers[split] = numbers_of(images)
        assert np.array_equal(labels, TRUTH[numbers[split]]), "every image keeps its label"
        assert np.all(np.diff(numbers[split]) > 0), "the official order is kept, no image comes twice"
    return numbers


def files_in(folder):
    """Names of files below the folder but for locks, with the folder each lies in."""
    files = (path for path in folder.glob("**/*") if path.is_file() and path.suffix != ".lock")
    return sorted(f"{path.parent.name}/{path.name}" for path in files)


# The images


def test_a_folder_is_split_by_class_in_the_official_order_and_then_kept(from_folder, capfd):
    for data in (load_cifar10(), load_cifar10()):
        numbers = numbers_in(data, WHOLE)
        everything = np.sort(np.concatenate(list(numbers.values())))
        assert np.array_equal(everything, np.arange(60_000)), "no image twice, none lost"
        assert np.array_equal(numbers["test"], np.arange(50_000, 60_000)), "validation is never the test set"
        assert repr(data) == (
            "Cifar10(45,000 training, 5,000 validation, 10,000 test images; source: CIFAR-10 layout, unverified)"
        )
        assert not data.is_stand_in
    assert capfd.readouterr() == ("", "")


def test_the_split_never_changes(quick_drawing):
    """A changed split would make every published number wrong, so its fingerprint is written down here."""
    numbers = numbers_of(load_cifar10("synthetic").x_validation).astype("<u2")
    fingerprint = hashlib.sha256(numbers.tobytes()).hexdigest()
    assert fingerprint == "c1d2d2db39571781343f827842ff10dc96dfa8ee7ac5eb6bba68ec66e780d934"


def test_a_repeated_load_reads_no_batch_file_and_takes_little_memory(from_folder):
    load_cifar10()
    run_python("""
import sys, psutil
from utils.data import load_cifar10
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
before = psutil.Process().memory_info().rss
data = load_cifar10()
assert psutil.Process().memory_info().rss - before < 50e6, "a load must not read the pixels"
assert data.x_train[0].shape == (32, 32, 3)
assert any(path.endswith("images") for path in opened), "the hook has to see what is opened"
assert not any("batch" in path for path in opened), opened
assert "tensorflow" not in sys.modules
""")


def test_a_subset_has_equally_many_of_each_class_and_is_part_of_every_larger_one(from_folder):
    data = load_cifar10()

    def chosen(train):
        sizes = {"train": train, "validation": 5_000, "test": 2_000}
        smaller = subset(data, SimpleNamespace(**sizes))
        assert smaller.x_validation is data.x_validation, "what is asked for whole is not copied"
        assert smaller.source == data.source
        return set(numbers_in(smaller, sizes)["train"])

    assert chosen(500) == chosen(500) < chosen(1_200)
    for wanted in (10_010, 15, 0, -10):
        with pytest.raises(ValueError, match=f"^test={wanted:,}: expected a multiple of ten from 10 to 10,000"):
            subset(data, SimpleNamespace(**WHOLE | {"test": wanted}))


# Where they come from


def test_auto_takes_the_first_of_five_sources(fake_is_official, quick_drawing, monkeypatch, tmp_path, cache):
    assert load_cifar10().source == STAND_IN == "synthetic stand-in, not CIFAR-10"
    with MirrorServer(fake_archive().read_bytes()) as server:
        monkeypatch.setattr(download, "MIRRORS", (server.url("404"), server.url("good")))
        assert numbers_in(load_cifar10(), WHOLE) and load_cifar10().source == "CIFAR-10, official archive"
        assert server.requests == [("404", 0), ("good", 0)], "the second load has to come from the cache"
        shutil.rmtree(cache / "cifar10-official")
        assert load_cifar10("local").source == OFFICIAL, "the archive is still there"
        for name, left_by_another in (
            ("keras/datasets/cifar-10-batches-py.tar.gz", fake_archive()),
            ("keras/datasets/cifar-10-batches-py-target_archive", fake_archive()),
            ("here/data/cifar-10-batches-py", fake_folder()),
        ):
            shutil.rmtree(cache)
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(left_by_another)
            assert load_cifar10().source == OFFICIAL
            (tmp_path / name).unlink()
        assert load_cifar10("download").source == OFFICIAL, "it is in the cache like a download"
        assert len(server.requests) == 2, "what is here has to come before the mirrors"
    copied = {"data_batch_1": pickle.dumps({"data": PIXELS, "labels": LABELS}), "SOURCE.txt": b"a folder"}
    monkeypatch.setenv("CIFAR10_DIR", str(linked_folder(tmp_path / "folder", **copied)))
    assert load_cifar10().source == "a folder"


def test_what_is_not_official_is_left_alone_and_neither_local_nor_download_falls_back(tmp_path, monkeypatch):
    place = tmp_path / "keras/datasets/cifar-10-batches-py.tar.gz"
    place.parent.mkdir(parents=True)
    place.symlink_to(fake_archive())
    with pytest.raises(FileNotFoundError, match='^source="local": expected CIFAR-10 .*set CIFAR10_DIR to a folder'):
        load_cifar10("local")
    monkeypatch.setenv("CIFAR10_DIR", str(fake_folder()))
    with pytest.raises(download.DownloadError, match="Connection refused"):
        load_cifar10("download")


def test_a_changed_folder_is_read_again_and_its_note_says_what_it_is(monkeypatch, tmp_path):
    folder = linked_folder(tmp_path / "folder")
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    for note, source in (("From a colleague\nmore\n", "From a colleague"), ("Drawn", "Drawn"), (OFFICIAL, UNVERIFIED)):
        (folder / "SOURCE.txt").write_text(note)
        assert load_cifar10().source == source


def test_a_relative_folder_and_its_parent_are_understood_from_the_folder_of_the_notebooks(monkeypatch):
    inside = fake_folder().parent / "parent-of-fake" / "cifar-10-batches-py"
    inside.parent.mkdir(exist_ok=True)
    inside.symlink_to(fake_folder())
    try:
        monkeypatch.setenv("CIFAR10_DIR", os.path.relpath(inside.parent, ROOT))
        assert load_cifar10("local").source == UNVERIFIED
    finally:
        shutil.rmtree(inside.parent)


def test_a_folder_that_holds_the_archive_is_understood(monkeypatch, tmp_path):
    (tmp_path / download.ARCHIVE_NAME).symlink_to(fake_archive())
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path))
    assert load_cifar10("local").source == UNVERIFIED


def archive(path, content):
    path.write_bytes(content)
    return path


BOMB = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
BOMB.size = 10**13
SKEWED = python2_pickle(PIXELS, [0 if label == 1 else label for label in LABELS])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: path, "archive cifar-10-python.tar.gz, found nothing there"),
        (lambda path: path.parent, "missing: data_batch_1, .*, data_batch_5, test_batch"),
        (lambda path: linked_folder(path, data_batch_3=None), "test_batch; missing: data_batch_3"),
        (lambda path: linked_folder(path, data_batch_1=b"damaged"), "batch in data_batch_1, found something else"),
        (lambda path: linked_folder(path, data_batch_1=SKEWED), "5,000 training images of each class, found .5"),
        (lambda path: archive(path, b"<html>Log in</html>"), "cifar-10-python.tar.gz, found another kind of file"),
        (lambda path: archive(path, fake_archive().read_bytes()[:100_000]), "whole archive, found only its beginning"),
        (lambda path: archive(path, BOMB.tobuf(tarfile.GNU_FORMAT)), "six files of 31 MB in the archive, found 200"),
    ],
    ids="nothing empty five-batches damaged skewed html truncated bomb".split(),
)
def test_a_wrong_cifar10_dir_is_an_error_that_says_what_to_do(make, message, monkeypatch, tmp_path, cache):
    path = make(tmp_path / "given")
    monkeypatch.setenv("CIFAR10_DIR", str(path))
    with pytest.raises(ValueError, match=f"^CIFAR10_DIR={path}: expected .*{message}.* or unset CIFAR10_DIR"):
        load_cifar10()
    assert files_in(cache) == []


def test_an_unknown_source_is_refused(monkeypatch):
    with pytest.raises(ValueError, match='^source="web": expected one of auto, local, download, synthetic'):
        load_cifar10("web")
    monkeypatch.setenv("CIFAR10_SOURCE", "web")
    with pytest.raises(ValueError, match="^CIFAR10_SOURCE=web: expected one of"):
        load_cifar10()


def test_without_images_and_network_the_stand_in_warns_at_every_load(quick_drawing, capfd):
    for _ in range(2):
        data = load_cifar10()
        assert data.is_stand_in and [len(getattr(data, f"x_{split}")) for split in WHOLE] == [*WHOLE.values()]
        printed = capfd.readouterr()
        assert "WARNING: These images are NOT CIFAR-10." in printed.out
        assert f"{DEAD_MIRROR}: Connection refused" in printed.out
        assert "environment variable CIFAR10_DIR" in printed.out and printed.err == ""


def test_a_notebook_shows_the_warning_as_a_box_with_a_plain_text(quick_drawing, monkeypatch):
    monkeypatch.setenv("CIFAR10_SOURCE", "synthetic")
    load_cifar10()
    cell = nbformat.v4.new_code_cell("from utils.data import load_cifar10\ndata = load_cifar10()")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(ROOT)}}).execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data", "nothing else is printed, least of all on stderr"
    assert "<b>These images are NOT CIFAR-10.</b>" in output.data["text/html"]
    for text in output.data.values():
        assert "NOT CIFAR-10" in text and "CIFAR10_SOURCE=synthetic" in text and "CIFAR10_DIR" in text


def test_figures_are_marked_while_the_stand_in_is_in_use(quick_drawing, from_folder):
    plt.switch_backend("Agg")
    for source, mark in (("synthetic", STAND_IN), ("auto", "")):
        load_cifar10(source)
        assert plt.figure().get_supylabel().replace("\n", " ") == mark
    plt.close("all")


# Batch files


class Pickled:
    """Pickles into a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def test_batches_pickled_anew_by_python_3_are_read_too(tmp_path):
    anew = {}
    for protocol, name in enumerate(BATCH_NAMES):
        numbers = np.arange(protocol * 10_000, (protocol + 1) * 10_000)
        key, its_labels = (str, TRUTH[numbers]) if protocol % 2 else (str.encode, TRUTH[numbers].tolist())
        pixels = pixels_of(numbers)
        for columns in (slice(1, 1_024), slice(1_026, 2_048), slice(2_081, None)):
            pixels[:, columns] = 7  # zeros would be six times as long in protocol 0
        batch = {key("data"): pixels, key("labels"): its_labels, key("batch_label"): b"some text"}
        anew[name] = pickle.dumps(batch, protocol=protocol)
    images, labels, _ = read_batches(linked_folder(tmp_path / "anew", **anew))
    assert np.array_equal(numbers_of(images), np.arange(60_000))
    assert np.array_equal(labels, TRUTH)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_malicious_batch_does_not_run(protocol, tmp_path):
    proof = tmp_path / "the-code-ran"
    hostile = pickle.dumps({b"data": Pickled(open, str(proof), "w"), b"labels": LABELS}, protocol=protocol)
    with pytest.raises(ValueError, match=r"batch in data_batch_1, .*asks for \w+\.open, which is not part of an array"):
        read_batches(linked_folder(tmp_path / "hostile", data_batch_1=hostile))
    assert not proof.exists()
    pickle.loads(hostile)
    assert proof.exists(), "the trap has to work on an ordinary reader, or this test shows nothing"


@pytest.mark.parametrize(
    "content, found",
    [
        (b"", "something else .*exhausted"),
        (python2_pickle(PIXELS, LABELS)[:-1000], "something else .*remain"),
        (b"<html>", "something else"),
        (pickle.dumps([1, 2, 3]), "something else"),
        (pickle.dumps({b"data": PIXELS}), "something else .KeyError: b'labels'"),
        (pickle.dumps({b"data": b"abc", b"labels": LABELS}), "something else .TypeError"),
        (pickle.dumps(Pickled(codecs.encode, "text", "rot13"), protocol=2), "something else"),
        (python2_pickle(PIXELS[:100], LABELS[:100]), r"uint8 \(100, 3072\)"),
        (pickle.dumps({b"data": PIXELS.astype(np.int16), b"labels": LABELS}), r"int16 \(10000, 3072\)"),
        (python2_pickle(PIXELS, LABELS[:-1]), r"\(9999,\) from 0 to 9"),
        (pickle.dumps({b"data": PIXELS, b"labels": [0.5] * 10_000}), "something else .*than whole numbers"),
        (python2_pickle(PIXELS, [10, *LABELS[1:]]), r"\(10000,\) from 0 to 10"),
        (pickle.dumps({b"data": PIXELS, b"labels": [-1, *LABELS[1:]]}), r"\(10000,\) from -1 to 9"),
    ],
    ids="empty cut html list no-labels bytes codec few int16 label-missing float label-10 label-negative".split(),
)
def test_a_damaged_batch_is_named_with_what_was_expected_and_found(content, found, tmp_path):
    with pytest.raises(ValueError, match=f"^expected .* in data_batch_1, found {found}") as failure:
        read_batches(linked_folder(tmp_path / "damaged", data_batch_1=content))
    assert "\n" not in str(failure.value)


def test_an_archive_writes_nothing_to_disk_wherever_its_members_point(tmp_path):
    hostile = tmp_path / "in" / "archive.tar"
    hostile.parent.mkdir()
    with tarfile.open(hostile, "w") as tar:
        for name in ("../escaped", "/tmp/../escaped", "../data_batch_1"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(ValueError, match="data_batch_1"):
        read_batches(hostile)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["archive.tar"]


# The cache

BUILD = """
import os, signal
import numpy as np
from utils.data import open_or_build

def build():
    print("built")
    return np.ones((1000, 32, 32, 3), np.uint8), np.arange(1000, dtype=np.int32) % 10, "made in a test"

"""


def builder():
    """Builds small arrays whose source says how often it was asked to."""
    count = itertools.count(1)
    labels = np.arange(1000, dtype=np.int32) % 10
    return lambda: (np.ones((1000, 32, 32, 3), np.uint8), labels, f"build {next(count)}")


def test_the_variable_moves_the_cache_and_the_home_sign_is_understood(monkeypatch, cache):
    assert cache_folder() == cache
    monkeypatch.setenv("TUTORIAL_CACHE", "~/elsewhere")
    assert cache_folder().is_absolute() and cache_folder().name == "elsewhere"
    monkeypatch.delenv("TUTORIAL_CACHE")
    assert "cifar10-tutorial" in cache_folder().parts


def test_what_was_built_is_opened_until_its_state_changes_and_then_removed(cache):
    build = builder()
    wanted = [("name", "old"), ("name", "old"), ("name-of-others", "old"), ("name", "new")]
    sources = [open_or_build(name, state, build)[2] for name, state in wanted]
    assert sources == ["build 1", "build 1", "build 2", "build 3"]
    assert open_arrays("name", "old") is None
    assert open_arrays("name-of-others", "old")[2] == "build 2"
    assert len(files_in(cache)) == 2 * 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
        lambda file: file.write_bytes(file.read_bytes()[:-4]),
        lambda file: file.write_bytes(bytes(8_000)),
        lambda file: file.write_bytes(file.read_bytes()[:-4] + b"\x0a\0\0\0"),
        lambda file: file.write_bytes(file.read_bytes()[:-1] + b"\xff"),
        lambda file: file.with_name("source.txt").write_text(""),
        lambda file: file.with_name("source.txt").write_bytes(b"build \xff"),
        lambda file: file.with_name("source.txt").write_text("build\n1"),
        lambda file: file.with_name("source.txt").write_text("build\0 1"),
    ],
    ids="truncated empty missing one-less twice-as-long label-10 label-negative "
    "no-source undecodable two-lines unprintable".split(),
)
def test_a_damaged_cache_is_built_anew(damage, cache):
    build = builder()
    open_or_build("name", "state", build)
    damage(next(cache.glob("*/*/labels")))
    assert open_arrays("name", "state") is None
    _, labels, source = open_or_build("name", "state", build)
    assert source == "build 2" and labels.tolist() == [*range(10)] * 100
    assert open_arrays("name", "state")[2] == "build 2"


def test_images_that_are_not_found_are_looked_for_once(capfd):
    build = Mock(side_effect=FileNotFoundError("none on this machine"))
    with pytest.raises(FileNotFoundError, match="none on this machine"):
        open_or_build("name", "state", build)
    assert build.call_count == 1 and capfd.readouterr().out == ""


@pytest.mark.parametrize("moment", ["labels", "source.txt"])
def test_a_writer_killed_while_it_writes_leaves_nothing_to_be_read(moment, cache):
    dying = f"""{BUILD}
import sys
def kill_at(event, arguments):
    if event == "open" and {moment!r} in str(arguments[0]) and "w" in str(arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at)
open_or_build("name", "state", build)
"""
    run_python(dying, returncode=-9)
    assert any(name.startswith("unfinished/") for name in files_in(cache)), "it has to be killed while writing"
    assert open_arrays("name", "state") is None
    assert open_or_build("name", "state", builder())[2] == "build 1"
    assert len(files_in(cache)) == 3, "what the killed writer left must go"


def test_of_processes_at_once_one_builds_all_have_the_arrays_and_whoever_waits_says_so(cache):
    code = f"""{BUILD}
print(open_or_build("name", "state", build)[2])
"""
    cache.mkdir()
    waiting = f"Waiting for another process that is getting the images into {cache}.\n"
    with exclusive(cache / "name.lock"):
        both = [start_python(code) for _ in range(2)]
        assert [process.stdout.readline() for process in both] == [waiting] * 2
    assert sorted(finish(process) for process in both) == ["built\nmade in a test\n", "made in a test\n"]


@pytest.mark.parametrize("place", ["a file", "/sys/no-disk-to-write-on"])
def test_where_nothing_can_be_written_only_the_cache_is_lacking(place, from_folder, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / place))
    (tmp_path / "a file").touch()
    for _ in range(2):
        numbers_in(load_cifar10(), WHOLE)
        out, err = capfd.readouterr()
        assert out.startswith(f"Not cached in {tmp_path / place} (") and out.count("\n") == 1 and err == ""
        assert out.endswith("), so every load reads the images anew.\n")


def test_a_full_disk_costs_only_the_cache_and_leaves_nothing_on_it(from_folder, cache):
    with limited_disk(cache, 20_000_000) as limit:
        printed = run_python("from utils.data import load_cifar10\nprint(load_cifar10())", **limit)
        assert files_in(cache) == []
    assert printed.startswith(f"Not cached in {cache} (")
    assert printed.endswith("source: CIFAR-10 layout, unverified)\n")

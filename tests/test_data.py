"""CIFAR-10 arrives whole, says what it is, and comes from where it should; the stand-in never passes for it.

Batch files are read without running what a stranger put into them; the cache gives back what was kept, whole or
not at all.
"""

import codecs
import hashlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import utils.drawings
from tests.fake_cifar10 import (
    fake_archive,
    fake_folder,
    labels_of_all,
    linked_folder,
    numbers_of,
    pixels_of,
    python2_pickle,
)
from tests.limited_disk import ROOT, limited_disk, run_python
from tests.mirror_server import MirrorServer
from utils import download
from utils.data import CLASS_NAMES, STAND_IN, Cifar10, load_cifar10, open_arrays, open_or_build, subset
from utils.download import BATCH_NAMES, OFFICIAL, UNVERIFIED, cache_folder, exclusive, read_batches

SPLITS = ("train", "validation", "test")
DEAD_MIRROR = "http://127.0.0.1:9/cifar-10-python.tar.gz"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No images, no network, and a cache of its own; all of it is removed at once since it is large."""
    for name in ("CIFAR10_DIR", "CIFAR10_SOURCE", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(download, "MIRRORS", (DEAD_MIRROR,))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    shutil.rmtree(tmp_path)


@pytest.fixture
def fake_is_official(monkeypatch):
    """The fake archive's hashes count as CIFAR-10's."""
    monkeypatch.setattr(download, "CIFAR10_SHA256", hashlib.sha256(fake_archive().read_bytes()).hexdigest())
    for name, md5 in fake_md5().items():
        monkeypatch.setitem(download.OFFICIAL_MD5, name, md5)


@pytest.fixture
def quick_drawing(monkeypatch):
    """Black stand-in images, since drawing 60,000 takes a minute; the drawing has its own tests."""

    def draw(n, seed):
        return np.zeros((n, 32, 32, 3), np.uint8), np.arange(n, dtype=np.int32) % 10

    monkeypatch.setattr(utils.drawings, "draw_cifar10_like", draw)


def fake_md5():
    return {name: hashlib.md5((fake_folder() / name).read_bytes()).hexdigest() for name in download.BATCH_NAMES}


def digest_of(data):
    arrays = (getattr(data, f"{axis}_{split}") for axis in "xy" for split in SPLITS)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def small_data(*sizes):
    """A Cifar10 in which every image is one number."""
    arrays = {}
    for split, size in zip(SPLITS, sizes, strict=True):
        arrays[f"x_{split}"] = np.arange(size, dtype=np.uint8).reshape(size, 1, 1, 1)
        arrays[f"y_{split}"] = np.random.default_rng(size).permutation(np.arange(size) % 10).astype(np.int32)
    for array in arrays.values():
        array.setflags(write=False)
    return Cifar10(**arrays, source="a test")


def test_a_folder_is_split_by_class_in_the_official_order_and_then_kept(monkeypatch, capfd):
    monkeypatch.setenv("CIFAR10_DIR", str(fake_folder()))
    data = load_cifar10()
    labels, numbers = labels_of_all(), {split: numbers_of(getattr(data, f"x_{split}")) for split in SPLITS}
    for split, size in zip(SPLITS, (45_000, 5_000, 10_000), strict=True):
        images, its_labels = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        assert (images.shape, images.dtype) == ((size, 32, 32, 3), np.uint8)
        assert (its_labels.shape, its_labels.dtype) == ((size,), np.int32)
        assert not images.flags.writeable and not its_labels.flags.writeable
        assert np.bincount(its_labels).tolist() == [size // 10] * 10
        assert np.array_equal(its_labels, labels[numbers[split]]), "every image keeps its label"
        assert np.all(np.diff(numbers[split]) > 0), "the official order is kept"
    everything = np.sort(np.concatenate(list(numbers.values())))
    assert np.array_equal(everything, np.arange(60_000)), "no image twice, none lost"
    assert np.array_equal(numbers["test"], np.arange(50_000, 60_000)), "validation is never the test set"
    assert data.source == "CIFAR-10 layout, unverified" and not data.is_stand_in
    assert repr(data) == (
        "Cifar10(45,000 training, 5,000 validation, 10,000 test images; source: CIFAR-10 layout, unverified)"
    )
    assert digest_of(load_cifar10()) == digest_of(data)
    assert capfd.readouterr() == ("", "")


def test_another_process_makes_the_same_split_from_the_archive(monkeypatch, tmp_path):
    monkeypatch.setenv("CIFAR10_DIR", str(fake_folder()))
    here = load_cifar10()
    finished = run_python(
        "import hashlib; from utils.data import load_cifar10; data = load_cifar10()\n"
        "print(hashlib.sha256(data.x_validation.tobytes()).hexdigest(), data.source)",
        env=os.environ | {"CIFAR10_DIR": str(fake_archive()), "TUTORIAL_CACHE": str(tmp_path / "cache" / "other")},
    )
    assert finished.stdout == f"{hashlib.sha256(here.x_validation.tobytes()).hexdigest()} {here.source}\n", finished


def test_the_split_never_changes(monkeypatch):
    """A changed split would make every published number wrong, so its fingerprint is written down here."""
    monkeypatch.setenv("CIFAR10_SOURCE", "synthetic")
    labels = np.tile(np.arange(10, dtype=np.int32), 6_000)

    def draw(n, seed):
        return pixels_of(np.arange(n)).reshape(n, 3, 32, 32).transpose(0, 2, 3, 1), labels[:n]

    monkeypatch.setattr(utils.drawings, "draw_cifar10_like", draw)
    numbers = numbers_of(load_cifar10().x_validation).astype("<u2")
    fingerprint = hashlib.sha256(numbers.tobytes()).hexdigest()
    assert fingerprint == "c1d2d2db39571781343f827842ff10dc96dfa8ee7ac5eb6bba68ec66e780d934"


def test_a_repeated_load_reads_no_batch_file_and_takes_little_memory(monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(fake_folder()))
    load_cifar10()
    finished = run_python("""
import sys, psutil
from utils.data import load_cifar10
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
before = psutil.Process().memory_info().rss
data = load_cifar10()
assert psutil.Process().memory_info().rss - before < 50e6, "a load must not read the pixels"
assert data.x_train[0].shape == (32, 32, 3)
assert any("images.npy" in path for path in opened), "the hook has to see what is opened"
assert not any("batch" in path for path in opened), opened
assert "tensorflow" not in sys.modules
""")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_a_changed_folder_is_read_again(monkeypatch, tmp_path):
    folder = linked_folder(tmp_path / "folder", **{"SOURCE.txt": b"Copied from a colleague\n"})
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    assert load_cifar10().source == "Copied from a colleague"
    (folder / "SOURCE.txt").write_text("Copied from another colleague\n")
    assert load_cifar10().source == "Copied from another colleague"


def test_a_relative_folder_and_its_parent_are_understood_from_the_folder_of_the_notebooks(monkeypatch):
    inside = fake_folder().parent / "parent-of-fake" / "cifar-10-batches-py"
    inside.parent.mkdir(exist_ok=True)
    inside.symlink_to(fake_folder())
    try:
        monkeypatch.setenv("CIFAR10_DIR", os.path.relpath(inside.parent, ROOT))
        assert load_cifar10("local").source == "CIFAR-10 layout, unverified"
    finally:
        shutil.rmtree(inside.parent)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: folder, "archive cifar-10-python.tar.gz, found nothing there"),
        (lambda folder: [folder.mkdir(), folder][1], "data_batch_5, test_batch are missing"),
        (lambda folder: linked_folder(folder, data_batch_3=None), "test_batch; data_batch_3 is missing"),
        (lambda folder: linked_folder(folder, data_batch_1=b"damaged"), "batch in data_batch_1, found something else"),
    ],
    ids=["nothing", "empty", "five-batches", "damaged"],
)
def test_a_wrong_cifar10_dir_is_an_error_that_says_what_to_do(make, message, monkeypatch, tmp_path):
    folder = make(tmp_path / "folder")
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    with pytest.raises(ValueError, match=message) as failure:
        load_cifar10()
    assert str(failure.value).startswith(f"CIFAR10_DIR={folder}: expected ")
    assert str(failure.value).endswith("or unset CIFAR10_DIR to download.")


def test_an_unknown_source_is_refused(monkeypatch):
    with pytest.raises(ValueError, match='^source="web": expected one of auto, local, download, synthetic'):
        load_cifar10("web")
    monkeypatch.setenv("CIFAR10_SOURCE", "web")
    with pytest.raises(ValueError, match="^CIFAR10_SOURCE=web: expected one of"):
        load_cifar10()


@pytest.mark.parametrize(
    "place", ["keras/datasets/cifar-10-batches-py-target_archive", "here/data/cifar-10-batches-py"]
)
def test_what_keras_or_torchvision_left_here_is_used_if_it_is_official(place, tmp_path, fake_is_official):
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).symlink_to(fake_folder() if place.endswith("py") else fake_archive())
    assert load_cifar10("local").source == "CIFAR-10, official archive"
    (tmp_path / place).unlink()
    assert load_cifar10("download").source == "CIFAR-10, official archive", "it is in the cache like a download"


def test_what_is_not_official_is_left_alone_and_local_never_falls_back(tmp_path):
    place = tmp_path / "keras" / "datasets" / "cifar-10-batches-py.tar.gz"
    place.parent.mkdir(parents=True)
    place.symlink_to(fake_archive())
    with pytest.raises(FileNotFoundError, match="^source=\"local\": expected CIFAR-10 .*set CIFAR10_DIR to a folder"):
        load_cifar10("local")


def test_two_loaders_at_once_make_one_download(tmp_path):
    with MirrorServer(fake_archive().read_bytes()) as server:
        code = f"""
from utils import data, download
download.MIRRORS = ({server.url("404")!r}, {server.url("slow-800")!r})
download.CIFAR10_SHA256 = {hashlib.sha256(server.content).hexdigest()!r}
download.OFFICIAL_MD5.update({fake_md5()!r})
from utils.data import load_cifar10
data = load_cifar10("download")
print(len(data.x_train), data.source)
"""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        both = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, **pipes) for _ in range(2)]
        for process in both:
            printed, errors = process.communicate(timeout=120)
            assert (process.returncode, errors) == (0, "")
            assert printed.endswith("45000 CIFAR-10, official archive\n")
        assert [seen.mirror for seen in server.downloads()] == ["404", "slow-800"]


def test_download_never_falls_back(monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(fake_folder()))
    with pytest.raises(download.DownloadError, match="Connection refused"):
        load_cifar10("download")


def test_without_images_and_network_the_stand_in_warns_at_every_load(quick_drawing, capfd):
    for _ in range(2):
        data = load_cifar10()
        assert data.source == STAND_IN == "synthetic stand-in, not CIFAR-10" and data.is_stand_in
        assert [len(getattr(data, f"x_{split}")) for split in SPLITS] == [45_000, 5_000, 10_000]
        printed = capfd.readouterr()
        assert "WARNING: These images are NOT CIFAR-10." in printed.out
        assert f"{DEAD_MIRROR}: Connection refused" in printed.out
        assert "environment variable CIFAR10_DIR" in printed.out and printed.err == ""


def test_a_notebook_shows_the_warning_as_a_box_with_a_plain_text(quick_drawing, monkeypatch, capfd):
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


def test_a_file_in_the_place_of_the_cache_stops_only_the_download(monkeypatch, tmp_path, quick_drawing, capfd):
    (tmp_path / "cache").write_text("not a folder")
    assert load_cifar10("synthetic").is_stand_in
    assert f"Not cached in {tmp_path / 'cache'} (" in capfd.readouterr().out
    with MirrorServer(fake_archive().read_bytes()) as server:
        monkeypatch.setattr(download, "MIRRORS", (server.url("good"),))
        with pytest.raises(download.DownloadError, match="cache: expected a folder with room"):
            load_cifar10("download")


def test_a_full_disk_does_not_stop_a_folder_from_being_read(tmp_path):
    with limited_disk(tmp_path / "disk", 20_000_000) as limit:
        finished = run_python(
            "from utils.data import load_cifar10; print(load_cifar10())",
            env=os.environ | {"CIFAR10_DIR": str(fake_folder()), "TUTORIAL_CACHE": str(tmp_path / "disk")},
            **limit,
        )
    assert finished.stdout.startswith(f"Not cached in {tmp_path / 'disk'} ("), finished
    assert finished.stdout.endswith("source: CIFAR-10 layout, unverified)\n") and finished.stderr == ""


def test_a_subset_has_equally_many_of_each_class_in_the_original_order():
    data = small_data(100, 50, 100)
    chosen = subset(data, SimpleNamespace(train=40, validation=50, test=20))
    assert [len(getattr(chosen, f"x_{split}")) for split in SPLITS] == [40, 50, 20]
    for split in SPLITS:
        images, labels = getattr(chosen, f"x_{split}").ravel(), getattr(chosen, f"y_{split}")
        assert np.bincount(labels).tolist() == [len(labels) // 10] * 10
        assert np.all(np.diff(images.astype(int)) > 0), "in the original order, none twice"
        assert np.array_equal(labels, getattr(data, f"y_{split}")[images]), "every image keeps its label"
        assert not getattr(chosen, f"x_{split}").flags.writeable
    assert chosen.x_validation is data.x_validation, "what is asked for whole is not copied"
    assert chosen.source == "a test"


def test_a_subset_is_the_same_each_time_and_part_of_every_larger_one():
    data = small_data(200, 100, 100)
    small, again, large = (
        set(subset(data, SimpleNamespace(train=size, validation=100, test=100)).x_train.ravel().tolist())
        for size in (50, 50, 120)
    )
    assert small == again and small < large


@pytest.mark.parametrize("wanted", [110, 15, 0, -10])
def test_a_subset_that_cannot_be_is_one_sentence(wanted):
    with pytest.raises(ValueError, match=f"^test={wanted}: expected a multiple of ten from 10 to 100, so that"):
        subset(small_data(100, 100, 100), SimpleNamespace(train=100, validation=100, test=wanted))


def test_the_class_names_are_in_the_official_order():
    assert CLASS_NAMES == (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip


@pytest.mark.parametrize("draw", ["plt.plot([1, 2])", "pd.Series([1]).plot()", "sns.heatmap([[1]])", "matrix.plot()"])
def test_figures_of_every_library_are_marked_while_the_stand_in_is_in_use(draw, quick_drawing, monkeypatch):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import pandas as pd
    import seaborn as sns
    from sklearn.metrics import ConfusionMatrixDisplay

    names = {"plt": plt, "pd": pd, "sns": sns, "matrix": ConfusionMatrixDisplay(np.eye(2))}
    marks = []
    for source, folder in (("synthetic", None), ("auto", fake_folder())):
        if folder:
            monkeypatch.setenv("CIFAR10_DIR", str(folder))
        load_cifar10(source)
        plt.close("all")
        eval(draw, names)
        marks.append(plt.gcf().get_supylabel())
    assert [mark.replace("\n", " ") for mark in marks] == [STAND_IN, ""]


# Batch files

NUMBERS = np.arange(10_000)
PIXELS, LABELS = pixels_of(NUMBERS), labels_of_all()[:10_000].tolist()


class Trap:
    """Pickles into a call that creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("place", [fake_folder, fake_archive])
@pytest.mark.filterwarnings("error")
def test_folder_and_archive_give_all_images_in_the_official_order(place):
    images, labels, source = read_batches(place())
    assert (images.shape, images.dtype) == ((60_000, 32, 32, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((60_000,), np.int32)
    assert np.array_equal(numbers_of(images), np.arange(60_000))
    assert np.array_equal(labels, labels_of_all())
    assert source == UNVERIFIED


def test_planes_of_the_file_become_channels(tmp_path):
    planes = np.zeros((10_000, 3, 32, 32), np.uint8)
    planes[0, 2, 5, 7] = 200
    batch = python2_pickle(planes.reshape(10_000, 3072), LABELS)
    images, _, _ = read_batches(linked_folder(tmp_path / "planes", data_batch_1=batch))
    assert np.argwhere(images[0]).tolist() == [[5, 7, 2]]


def test_batches_pickled_anew_by_python_3_are_read_too(tmp_path):
    labels = labels_of_all()
    anew = {}
    for protocol, name in enumerate(BATCH_NAMES):
        numbers = np.arange(protocol * 10_000, (protocol + 1) * 10_000)
        key, its_labels = (str, labels[numbers]) if protocol % 2 else (str.encode, labels[numbers].tolist())
        batch = {key("data"): pixels_of(numbers), key("labels"): its_labels, key("batch_label"): b"some text"}
        anew[name] = pickle.dumps(batch, protocol=protocol)
    images, read_labels, _ = read_batches(linked_folder(tmp_path / "anew", **anew))
    assert np.array_equal(numbers_of(images), np.arange(60_000))
    assert np.array_equal(read_labels, labels)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_malicious_batch_does_not_run(protocol, tmp_path):
    proof = tmp_path / "the-code-ran"
    hostile = pickle.dumps({b"data": Trap(proof), b"labels": LABELS}, protocol=protocol)
    with pytest.raises(ValueError, match=r"batch in data_batch_1, .*asks for \w+\.open, which is not part of an array"):
        read_batches(linked_folder(tmp_path / "hostile", data_batch_1=hostile))
    assert not proof.exists()
    pickle.loads(hostile)
    assert proof.exists(), "the trap has to work on an ordinary reader, or this test shows nothing"


def test_text_codecs_that_run_code_are_refused(tmp_path):
    class OtherCodec:
        def __reduce__(self):
            return codecs.encode, ("text", "rot13")

    batch = pickle.dumps({b"data": OtherCodec(), b"labels": LABELS}, protocol=2)
    with pytest.raises(ValueError, match="asks for the text encoding 'rot13'"):
        read_batches(linked_folder(tmp_path / "codec", data_batch_1=batch))


@pytest.mark.parametrize(
    "content, found",
    [
        (b"", "something else .EOFError"),
        (python2_pickle(PIXELS, LABELS)[:-1000], "something else .*truncated"),
        (b"<html>", "something else"),
        (pickle.dumps([1, 2, 3]), "something else"),
        (pickle.dumps({b"data": PIXELS}), "something else .KeyError: 'labels'"),
        (pickle.dumps({b"data": b"abc", b"labels": LABELS}), "something else .*'bytes' object"),
        (python2_pickle(PIXELS[:100], LABELS[:100]), r"of shape \(10000, 3072\) in .*, found uint8 \(100, 3072\)"),
        (pickle.dumps({b"data": PIXELS.astype(np.int16), b"labels": LABELS}), "uint8 pixels .* found int16"),
        (python2_pickle(PIXELS, LABELS[:-1]), r"10,000 whole-number labels .* found int64 \(9999,\)"),
        (pickle.dumps({b"data": PIXELS, b"labels": [0.5] * 10_000}), "whole-number labels .* found float64"),
        (python2_pickle(PIXELS, [10, *LABELS[1:]]), "labels from 0 to 9 .* found 0 to 10"),
        (pickle.dumps({b"data": PIXELS, b"labels": [-1, *LABELS[1:]]}), "labels from 0 to 9 .* found -1 to 9"),
    ],
    ids="empty truncated html list no-labels bytes few int16 label-missing float label-10 label-negative".split(),
)
def test_a_damaged_batch_is_named_with_what_was_expected_and_found(content, found, tmp_path):
    with pytest.raises(ValueError, match=f"^expected .*data_batch_1.*{found}|^expected .*{found}") as failure:
        read_batches(linked_folder(tmp_path / "damaged", data_batch_1=content))
    assert "data_batch_1" in str(failure.value) and "\n" not in str(failure.value)


def test_five_batches_are_not_enough(tmp_path):
    with pytest.raises(ValueError, match="data_batch_1 … data_batch_5 and test_batch; data_batch_3 is missing$"):
        read_batches(linked_folder(tmp_path / "five", data_batch_3=None))


def test_classes_of_unequal_size_are_refused(tmp_path):
    skewed = [0 if label == 1 else label for label in LABELS]
    with pytest.raises(ValueError, match="expected 5,000 training images of each class, found .5[0-9]{3}, 4"):
        read_batches(linked_folder(tmp_path / "skewed", data_batch_1=python2_pickle(PIXELS, skewed)))


def test_a_file_that_is_no_archive_is_named_so(tmp_path):
    (tmp_path / "archive.tar.gz").write_bytes(b"<html>Log in</html>")
    with pytest.raises(ValueError, match="^expected .*archive cifar-10-python.tar.gz, found another kind of file$"):
        read_batches(tmp_path / "archive.tar.gz")


def test_a_truncated_archive_is_refused(tmp_path):
    whole = fake_archive().read_bytes()
    (tmp_path / "archive.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="^expected a readable CIFAR-10 folder or archive, found damaged .*ended"):
        read_batches(tmp_path / "archive.tar.gz")


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


def test_a_member_of_absurd_size_is_refused_before_it_is_read(tmp_path):
    bomb = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
    bomb.size = 10**13
    (tmp_path / "bomb.tar").write_bytes(bomb.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ValueError, match="expected about 31 MB in data_batch_1, found 10,000,000,000,000 bytes"):
        read_batches(tmp_path / "bomb.tar")


@pytest.mark.parametrize(
    "note, source",
    [(b"Drawn by hand, 2024\nmore\n", "Drawn by hand, 2024"), (OFFICIAL.encode(), UNVERIFIED)],
    ids=["first-line", "false-claim"],
)
def test_the_note_beside_the_batches_says_what_they_are(note, source, tmp_path):
    assert read_batches(linked_folder(tmp_path / "noted", **{"SOURCE.txt": note}))[2] == source


def test_only_the_official_md5_sums_make_the_official_archive(fake_is_official):
    assert read_batches(fake_folder())[2] == OFFICIAL


# The cache

BUILD = """
import os, signal, sys
import numpy as np
from utils.data import open_arrays, open_or_build

def build():
    print("built", flush=True)
    return np.ones((1000, 3), np.uint8), np.arange(1000, dtype=np.int32), "made in a test"

"""


def files_in(folder):
    """Names of files below the folder but for locks, with the folder each lies in."""
    return sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("**/*.[nt]*"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


class Builder:
    """Builds the arrays and counts how often it was asked to."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        images, labels = np.full((1000, 3), self.count, np.uint8), np.arange(1000, dtype=np.int32)
        return images, labels, f"build {self.count}"


def test_the_variable_moves_the_cache_and_the_home_sign_is_understood(monkeypatch, folder):
    assert cache_folder() == folder
    monkeypatch.setenv("TUTORIAL_CACHE", "~/elsewhere")
    assert cache_folder().is_absolute() and cache_folder().name == "elsewhere"
    monkeypatch.delenv("TUTORIAL_CACHE")
    assert "cifar10-tutorial" in cache_folder().parts


def test_what_was_built_once_is_opened_read_only_from_then_on(capfd):
    build = Builder()
    assert open_arrays("name", "state") is None
    for _ in range(2):
        images, labels, source = open_or_build("name", "state", build)
        assert source == "build 1" and images.max() == 1
        assert not images.flags.writeable and not labels.flags.writeable
    assert open_arrays("name", "state")[2] == "build 1"
    assert build.count == 1
    assert capfd.readouterr() == ("", "")


def test_another_state_is_built_anew_and_the_old_one_removed(folder):
    build = Builder()
    open_or_build("name", "old", build)
    open_or_build("name-of-others", "old", build)
    assert open_or_build("name", "new", build)[2] == "build 3"
    assert open_arrays("name", "old") is None
    assert open_arrays("name-of-others", "old")[2] == "build 2"
    assert len(files_in(folder)) == 2 * 3


@pytest.mark.parametrize("damage", "truncated empty missing header other-shape other-type no-source".split())
def test_a_damaged_cache_is_built_anew(damage, folder):
    build = Builder()
    open_or_build("name", "state", build)
    (labels,) = folder.glob("*/*/labels.npy")
    if damage == "truncated":
        labels.write_bytes(labels.read_bytes()[:-1])
    elif damage == "empty":
        labels.write_bytes(b"")
    elif damage == "header":
        labels.write_bytes(labels.read_bytes().replace(b"'descr'", b"'descr\0"))
    elif damage == "missing":
        labels.unlink()
    elif damage == "other-shape":
        np.save(labels, np.arange(999, dtype=np.int32))
    elif damage == "other-type":
        np.save(labels, np.arange(1000, dtype=np.int64))
    else:
        labels.with_name("source.txt").write_text("")
    assert open_arrays("name", "state") is None
    _, labels, source = open_or_build("name", "state", build)
    assert source == "build 2" and labels.tolist() == list(range(1000))
    assert open_arrays("name", "state")[2] == "build 2"


@pytest.mark.parametrize("moment", ["labels.npy", "source.txt"])
def test_a_writer_killed_while_it_writes_leaves_nothing_to_be_read(moment, folder):
    dying = f"""{BUILD}
def kill_at(event, arguments):
    if event == "open" and {moment!r} in str(arguments[0]) and "w" in str(arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at)
open_or_build("name", "state", build)
"""
    assert run_python(dying).returncode == -9
    assert any(name.startswith("unfinished/") for name in files_in(folder)), "it has to be killed while writing"
    assert open_arrays("name", "state") is None
    assert open_or_build("name", "state", Builder())[2] == "build 1"
    assert len(files_in(folder)) == 3, "what the killed writer left must go"


def test_of_two_processes_at_once_one_builds_and_both_have_the_arrays(tmp_path):
    code = f"""{BUILD}
print("ready", flush=True)
input()
print(open_or_build("name", "state", build)[2])
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
        images, labels, source = open_or_build("name", "state", build)
        assert source == f"build {count}" and not images.flags.writeable and not labels.flags.writeable
        printed = capfd.readouterr()
        assert printed.out == f"Not cached in {folder} (File exists), so every load reads the images anew.\n"
        assert printed.err == ""


def test_a_full_disk_costs_only_the_cache_and_leaves_nothing_on_it(folder):
    code = f"""{BUILD}
_, labels, source = open_or_build("name", "state", build)
print(source, labels.sum(), labels.flags.writeable)
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
        open_or_build("name", "state", fail)
    assert files_in(folder) == []

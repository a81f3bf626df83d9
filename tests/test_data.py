"""CIFAR-10 arrives whole, says what it is, and comes from where it should; the stand-in never passes for it."""

import hashlib
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import utils.drawings
from tests.fake_cifar10 import fake_archive, fake_folder, labels_of_all, linked_folder, numbers_of
from tests.limited_disk import ROOT, limited_disk, run_python
from tests.mirror_server import MirrorServer
from utils import data, download
from utils.data import CLASS_NAMES, STAND_IN, Cifar10, load_cifar10, subset

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
        monkeypatch.setitem(data.OFFICIAL_MD5, name, md5)


@pytest.fixture
def quick_drawing(monkeypatch):
    """Black stand-in images, since drawing 60,000 takes a minute; the drawing has its own tests."""

    def draw(n, seed):
        return np.zeros((n, 32, 32, 3), np.uint8), np.arange(n, dtype=np.int32) % 10

    monkeypatch.setattr(utils.drawings, "draw_cifar10_like", draw)


def fake_md5():
    return {name: hashlib.md5((fake_folder() / name).read_bytes()).hexdigest() for name in data.BATCH_NAMES}


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


def test_the_split_never_changes():
    """A changed split would make every published number wrong, so its fingerprint is written down here."""
    from utils.data import _split

    numbers = np.arange(60_000, dtype=np.uint16)
    arrays, _ = _split(numbers, np.tile(np.arange(10, dtype=np.int32), 6_000), "a test")
    fingerprint = hashlib.sha256(arrays["x_validation"].astype("<u2").tobytes()).hexdigest()
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
assert any("x_train" in path for path in opened), "the hook has to see what is opened"
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
data.OFFICIAL_MD5.update({fake_md5()!r})
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
        assert "environment\nvariable CIFAR10_DIR" in printed.out and printed.err == ""


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

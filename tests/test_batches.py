"""Batch files are read as they are, without running what a stranger may have put into them."""

import codecs
import hashlib
import io
import pickle
import shutil
import tarfile

import numpy as np
import pytest

from tests.fake_cifar10 import (
    fake_archive,
    fake_folder,
    labels_of_all,
    linked_folder,
    numbers_of,
    pixels_of,
    python2_pickle,
)
from utils.data import BATCH_NAMES, OFFICIAL, OFFICIAL_MD5, UNVERIFIED, read_batches

NUMBERS = np.arange(10_000)
PIXELS, LABELS = pixels_of(NUMBERS), labels_of_all()[:10_000].tolist()


@pytest.fixture(autouse=True)
def tidy(tmp_path):
    """Batch files are large: remove them at once."""
    yield
    shutil.rmtree(tmp_path)


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
        (pickle.dumps({b"data": b"abc", b"labels": LABELS}), "pixels .* found bytes"),
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


def test_only_the_official_md5_sums_make_the_official_archive(monkeypatch):
    with pytest.raises(ValueError, match="expected the official CIFAR-10 file, found another md5 sum in data_batch_1"):
        read_batches(fake_folder(), official_only=True)
    for name in BATCH_NAMES:
        monkeypatch.setitem(OFFICIAL_MD5, name, hashlib.md5((fake_folder() / name).read_bytes()).hexdigest())
    assert read_batches(fake_folder(), official_only=True)[2] == OFFICIAL

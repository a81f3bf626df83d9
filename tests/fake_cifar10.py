"""A CIFAR-10 without pictures, in the official layout: every image only says which one it is."""

import atexit
import functools
import shutil
import struct
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from utils.download import BATCH_NAMES

# Labels of the 50,000 training and then the 10,000 test images, shuffled, equally many of each class.
TRUTH = np.concatenate([np.random.default_rng(0).permutation(np.arange(n) % 10) for n in (50_000, 10_000)])


def numbers_of(images):
    """Which of the 60,000 each image is: 0 to 49,999 for training images, then the test images."""
    return images[:, [0, 0, 1], [0, 1, 0], [0, 1, 2]] @ [65_536, 256, 1]


def pixels_of(numbers):
    """uint8 array of shape (n, 3072): black but for one pixel of each colour, which hold the number."""
    pixels = np.zeros((len(numbers), 3, 32, 32), np.uint8)
    pixels[:, 0, 0, 0] = numbers // 65_536
    pixels[:, 1, 0, 1] = numbers // 256 % 256
    pixels[:, 2, 1, 0] = numbers % 256
    return pixels.reshape(-1, 3072)


def python2_pickle(pixels, labels):
    """A batch file as Python 2 wrote it: protocol 2 with byte strings and numpy's old module names."""
    rows, columns = pixels.shape
    label_list = b"U\x06labels](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    array = (
        b"U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        + b"(K\x01(" + b"J" + struct.pack("<i", rows) + b"J" + struct.pack("<i", columns) + b"t"
        + b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", pixels.nbytes) + pixels.tobytes() + b"tb"
    )  # fmt: skip
    return b"\x80\x02}(" + label_list + array + b"u."


@functools.cache
def fake_folder():
    """Path of a folder with the six batch files, made once per process and removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="fake-cifar-10-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for index, name in enumerate(BATCH_NAMES):
        numbers = np.arange(index * 10_000, (index + 1) * 10_000)
        (folder / name).write_bytes(python2_pickle(pixels_of(numbers), TRUTH[numbers].tolist()))
    return folder


@functools.cache
def fake_archive():
    """Path of the archive of that folder, about 1 MB."""
    archive = fake_folder() / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name in BATCH_NAMES:
            tar.add(fake_folder() / name, f"cifar-10-batches-py/{name}")
    return archive


def linked_folder(folder, **replaced):
    """A folder of links to the six batch files, some replaced by bytes, or left out where None is given."""
    folder.mkdir()
    for name in BATCH_NAMES:
        if name not in replaced:
            (folder / name).symlink_to(fake_folder() / name)
    for name, content in replaced.items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder

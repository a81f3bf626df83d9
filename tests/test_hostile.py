"""Whatever strangers' files, kills and slips do: no crash, no endless wait, bounded memory, one clear sentence.

`make test` runs a short, seeded part; all of it, in about an hour: `pytest -m slow -n 0 tests/test_hostile.py`.
"""

import gzip
import io
import json
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from tests.fake_cifar10 import fake_folder, numbers_of, python2_pickle
from tests.limited_disk import ROOT, run_python
from tests.test_pictures import FORMATS, HEIC, bitmap_of_runs, display_p3, encoded, turned
from utils import data, download

SECONDS, GIGABYTE = 30, 1_000_000_000


def amounts(few, many):
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.slow)])


def in_a_limited_process(attack, *arguments):
    """Run an attack of this file where 1 GB more than at its start, or 30 seconds for one input, end the process."""
    if sys.platform != "linux":
        pytest.skip("the limit counts from what /proc says of a process, which Linux alone has")
    code = f"from tests import test_hostile\ntest_hostile.{attack.__name__}(*{arguments})"
    settings = {"cwd": ROOT, "text": True, "capture_output": True, "env": os.environ | {"OPENBLAS_NUM_THREADS": "1"}}
    finished = subprocess.run([sys.executable, "-c", code], **settings)
    assert finished.returncode == 0, finished.stderr[-2_000:]
    return finished.stdout


def limit():
    import resource  # Windows has none

    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIGABYTE, resource.RLIM_INFINITY))


def mutated(content, generator):
    """Bytes with one to four damages: other bytes, a piece cut out, doubled, moved, or replaced by extreme values."""
    content = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(content) + 1)
        end = min(len(content), start + generator.choice((1, 1, 2, 4, 8, 64, len(content))))
        piece, place = content[start:end], generator.randrange(len(content) + 1)
        extreme = generator.choice((b"\0", b"\xff", b"\x7f", generator.randbytes(1))) * len(piece)
        kind = generator.randrange(4)
        if kind == 0:
            content[start:end] = extreme
        elif kind == 1:
            del content[start:end]
        else:
            content[place : place if kind == 2 else place + len(piece)] = piece[:1_000]
    return bytes(content)


def refusals(inputs, read):
    """Give every input to `read` within the time; whatever it refuses must be a ValueError of one clear sentence."""
    limit()
    refused = 0
    for content in inputs:
        signal.alarm(SECONDS)
        try:
            read(content)
        except ValueError as error:
            refused += 1
            assert "expected" in str(error) and len(str(error)) < 1_000, str(error)[:2_000]
    signal.alarm(0)
    print(refused)


def pickles(count):
    generator, rows = random.Random(count), np.zeros((2, 3072), np.uint8)
    small = {b"data": np.zeros((2, 4), np.uint8), b"labels": [3, 7], b"names": ["a", b"b", (1, 2.5), None, True]}
    whole = [pickle.dumps(small, protocol) for protocol in range(6)] + [python2_pickle(rows, [3, 7])[:400]]
    inputs = (mutated(generator.choice(whole), generator) for _ in range(count))
    refusals(inputs, lambda content: download.parse_batch("data_batch_1", content))


def archives(count):
    generator, packed = random.Random(count), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in (*download.BATCH_NAMES, "x" * 150):
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = 700
            archive.addfile(member, io.BytesIO(pickle.dumps({b"data": np.zeros((20, 30), np.uint8)})))
    path, whole = data.cache_folder() / "hostile.tar.gz", packed.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)

    def read(content):
        path.write_bytes(content)
        data.read_batches(path)

    packings = (lambda: mutated(whole, generator), lambda: gzip.compress(mutated(whole, generator), 1))
    broken = (lambda: mutated(gzip.compress(whole, 1), generator),)
    refusals((generator.choice(packings + broken)() for _ in range(count)), read)


def pictures(count):
    from utils import pictures

    generator = random.Random(count)
    waves = np.uint8(127 + 120 * np.sin(np.arange(60 * 80 * 3) / 50)).reshape(60, 80, 3)
    photo, noted = Image.fromarray(waves), {"exif": turned(6), "icc_profile": display_p3()}
    forms = [(photo, form, {}) for form in (*FORMATS, "JPEG2000", "MPO")]
    forms += [(photo, form, noted) for form in FORMATS if form not in ("GIF", "BMP")]
    forms += [(photo, "JPEG", {"progressive": True, "subsampling": 2}), (photo, "TIFF", {"compression": "tiff_lzw"})]
    forms += [(Image.fromarray(waves[..., 0].astype(np.uint16) * 257), form, {}) for form in ("PNG", "TIFF")]
    forms += [(photo.convert("CMYK"), "JPEG", {}), (photo.convert("RGBA"), "WEBP", {"lossless": False})]
    forms += [(photo.quantize(9), "PNG", noted)]
    whole = [HEIC, *(encoded(image, form, **options) for image, form, options in forms)]

    def read(content):
        image = pictures.load_image(content)
        assert image.mode == "RGB" and 0 < image.width * image.height <= pictures.MOST_PIXELS

    refusals((mutated(generator.choice(whole), generator) for _ in range(count)), read)


def tar_of(headers, size=0):
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="w", compresslevel=1) as file:
        for content in (*headers, *[bytes(1_000_000)] * (size // 1_000_000)):
            file.write(content)
    return packed.getvalue()


def long_name():
    header = tarfile.TarInfo("data_batch_1")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2_000_000_000
    return tar_of([header.tobuf()], header.size)


def jpeg_of_scans(count):
    whole = encoded(Image.new("RGB", (2_000, 2_000)), "JPEG", progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * count + b"\xff\xd9"


def tiff_of_strips(count):
    numbers = ((256, 1), (257, count), (258, 8), (259, 1), (262, 1), (273, None), (277, 1), (278, 1), (279, None))
    content = struct.pack("<2sHIH", b"II", 42, 8, len(numbers))
    for tag, value in numbers:
        content += struct.pack("<HHII", tag, 4, count if value is None else 1, 122 if value is None else value)
    return content + bytes(4) + struct.pack("<I", 1) * count


def jpeg_of_notes(count):
    whole = encoded(Image.new("RGB", (9, 9)), "JPEG")
    return whole[:2] + b"\xff\xfe\0\2" * count + whole[2:]


def lists_of_lists():
    levels = (b"]q%c(" % level + b"h%c" % (level - 1) * 50 + b"e" for level in range(1, 9))
    return b"\x80\x02}U\x06labels]q\0" + b"".join(levels) + b"s."


PICKLES = {  # what takes gigabytes, half a minute or the whole process where it is believed
    "a place in memory by its number": lambda: b"\x80\x02]r\xff\xff\xff\x0f.",
    "bytes by their number": lambda: b"\x80\x05\x96" + (1 << 33).to_bytes(8, "little") + b".",
    "nested tuples as a key": lambda: b"\x80\x02})" + b"\x85" * 90_000 + b"K\x01s.",
    "lists of lists of lists": lists_of_lists,
    "a dtype set": lambda: b"cnumpy\ndtype\n(U\x02O8K\0K\x01tR" + b"(K\x03U\x01|NNNJ\xff\xff\xff\x7fK?tb" * 2 + b".",
    "many empty lists": lambda: b"]" * 60_000_000 + b".",
    "a name of many words": lambda: b"c" + b"aa " * 20_000_000 + b"\nx\n.",
    "a label of many digits": lambda: pickle.dumps({b"data": [], b"labels": [10**4_000]}),
}  # fmt: skip
ARCHIVES = {
    "a name of 2 GB": long_name,
    "a million headers": lambda: tar_of([tarfile.TarInfo("a").tobuf()] * 1_000_000),
    "a packed file's name of 190 MB": lambda: b"\x1f\x8b\x08\x08" + b"a" * 190_000_000,
    "190 MB behind a packed file": lambda: gzip.compress(b"") + bytes(190_000_000),
    "nine million packed files of nothing": lambda: gzip.compress(b"") * 9_000_000,
}
PICTURES = {
    "900 scans in a JPEG": lambda: jpeg_of_scans(900),
    "two million strips in a TIFF": lambda: tiff_of_strips(2_000_000),
    "49 megapixels in a line of runs": lambda: bitmap_of_runs(49_000_000, 1, b"\1\7\0\0"),
    "almost five million notes in a JPEG": lambda: jpeg_of_notes(4_990_000),
    "3,600 megapixels in 552 bytes of HEIC": lambda: HEIC[:321] + struct.pack(">II", 60_000, 60_000) + HEIC[329:],
    "49 megapixels of 16 bit": lambda: encoded(Image.fromarray(np.zeros((7_000, 7_000), np.uint16))),
}


def explode(bombs, read):
    limit()
    for name, make in bombs.items():
        content = make()
        signal.alarm(SECONDS)
        try:
            read(content)
            print(name, "is read", sep=": ")
        except ValueError as error:
            print(name, str(error)[:300], sep=": ")
        signal.alarm(0)


def burst():
    from utils import pictures

    path = data.cache_folder() / "hostile.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    explode(PICKLES, lambda content: download.parse_batch("data_batch_1", content))
    explode(ARCHIVES, lambda content: data.read_batches(path) if path.write_bytes(content) else None)
    explode(PICTURES, pictures.load_image)


def test_what_is_built_to_burst_is_refused_in_bounded_time_and_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path))
    lines = in_a_limited_process(burst).splitlines()
    assert [line.partition(":")[0] for line in lines] == [*PICKLES, *ARCHIVES, *PICTURES]
    assert all(": expected" in line and "MemoryError" not in line for line in lines[:-1]), lines


FEW = [(pickles, 20_000), (archives, 200), (pictures, 300)]
MANY = [(pickles, 1_000_000), (archives, 2_000), (pictures, 6_000)]


@pytest.mark.parametrize("attack, count", [*FEW, *(pytest.param(*row, marks=pytest.mark.slow) for row in MANY)])
def test_damaged_files_are_refused_in_a_sentence(attack, count, tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path))
    assert int(in_a_limited_process(attack, count)) > count / 3


@amounts(100, 5_000)
def test_a_damaged_cache_never_gives_other_images(count, tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path))
    generator = random.Random(count)
    built = np.arange(30 * 3072).astype(np.uint8).reshape(30, 32, 32, 3), np.arange(30, dtype=np.int32) % 10, "a test"
    for _ in range(count):
        data.open_or_build("name", "state", lambda: built)
        (folder,) = (path for path in tmp_path.glob("name/*") if path.is_dir())
        file = generator.choice([folder / "images", folder / "labels"])
        cut = file.read_bytes()[: generator.randrange(file.stat().st_size)]
        file.write_bytes(cut + generator.choice([b"", b"\0" * generator.randrange(10_000)]))
        if file.stat().st_size in (30 * 3072, 30 * 4):
            continue
        images, labels, _ = data.open_or_build("name", "state", lambda: built)
        assert (images == built[0]).all() and (labels == built[1]).all()


ODD = {
    "device": lambda folder: "/dev/null",
    "loop": lambda folder: (folder / "loop").symlink_to("loop") or folder / "loop",
    "overlong": lambda folder: "x" * 5_000,
    "nobody": lambda folder: "~nobody-of-this-name/cifar",
    "line end": lambda folder: "a\nb",
    "pipe": lambda folder: os.mkfifo(folder / "pipe") or folder / "pipe",
}
if sys.platform == "win32":
    del ODD["pipe"]


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_an_odd_place_for_images_is_one_sentence_and_for_the_cache_costs_only_that(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CIFAR10_DIR", str(make(tmp_path)))
    with pytest.raises(ValueError, match="(?s)^CIFAR10_DIR=.*: expected .* found .* Unpack or copy") as caught:
        data.load_cifar10()
    assert len(str(caught.value)) < 1_000
    monkeypatch.setenv("TUTORIAL_CACHE", os.environ["CIFAR10_DIR"])
    for _ in range(2):
        images, _, source = data.open_or_build("name", "state", lambda: (np.ones((2, 32, 32, 3)), np.ones(2), "a test"))
        assert images.min() == 1 and source == "a test"


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def raising(error):
    def answer(*_, **__):
        raise error

    return answer


NUMBERS = [np.nan, np.inf, -np.inf, -1, 10**400, np.float32("nan"), np.array([]), np.full((4, 4), np.nan), 1j]
THINGS = [None, True, "text", "x" * 5_000_000, b"\xff", [], {}, (), [[1], [2, 3]], object(), "\ud800", len, range(3)]
ERRORS = [SystemExit(3), GeneratorExit(), Unprintable(), MemoryError(), RecursionError(), ValueError("x" * 5_000_000)]
ANSWERS = NUMBERS + THINGS + [raising(error) for error in ERRORS]
ANSWERS += [lambda *_, value=value: value for value in (np.nan, None, "x" * 5_000_000, [np.nan] * 10, object(), 0)]
ANSWERS += [int, lambda *given: given[0], lambda *given: given[-1], lambda *given: given, lambda: 0, lambda one: one]


def test_no_answer_to_an_exercise_stops_a_notebook_or_is_right_by_accident(capsys):
    from notebooks.checks import check  # which imports TensorFlow, as no process of an attack has to

    check("none", 0)
    exercises = capsys.readouterr().out.partition("there are: ")[2].rstrip(".\n").split(", ")
    assert len(exercises) * len(ANSWERS) >= 840
    for exercise in exercises:
        for answer in ANSWERS:
            check(exercise, answer)
            printed = capsys.readouterr().out
            assert printed.startswith(f"Exercise {exercise}: not yet. ") and len(printed) < 1_000, (exercise, answer)


@amounts(10, 300)
def test_loads_killed_at_random_leave_nothing_wrong(count, tmp_path):
    generator = random.Random(count)
    settings = os.environ | {"CIFAR10_DIR": str(fake_folder()), "TUTORIAL_CACHE": str(tmp_path)}
    load = [sys.executable, "-c", "from utils.data import load_cifar10; load_cifar10()"]
    running = []
    for _ in range(count):
        running.append(subprocess.Popen(load, cwd=ROOT, env=settings))
        time.sleep(generator.uniform(0, 2))
        if len(running) == 5:
            victim = running.pop(generator.randrange(5))
            victim.kill()
            assert victim.wait() in (0, -signal.SIGKILL)
    assert [process.wait() for process in running] == [0] * len(running)
    code = "from utils.data import load_cifar10; import numpy; numpy.save('{0}', load_cifar10().x_test)"
    run_python(code.format(tmp_path / "test.npy"), env=settings)
    assert numbers_of(np.load(tmp_path / "test.npy")).tolist() == list(range(50_000, 60_000))


TRAIN = """
import sys
from dataclasses import replace

import numpy

from models import train
from tests.test_train import pixels_and_classes
from utils.data import Cifar10

data = Cifar10(*pixels_and_classes(400), *pixels_and_classes(100), *pixels_and_classes(10), source="random pixels")
recipe = replace(train.RECIPES["regulariser-all"], batch_size=50, epochs=3, endings=2, ending_epochs=1)
model, _ = train.train(recipe, data, seed=1, checkpoints=sys.argv[1])
numpy.save(sys.argv[1] + ".npy", numpy.concatenate([weights.ravel() for weights in model.get_weights()]))
"""


@pytest.mark.slow
def test_trainings_killed_at_random_end_as_an_unbroken_one(tmp_path):
    generator = random.Random(0)

    def start(name):
        command = [sys.executable, "-c", TRAIN, str(tmp_path / name)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)

    begun = time.monotonic()
    assert start("whole").wait() == 0
    seconds = time.monotonic() - begun
    whole = json.loads((tmp_path / "whole" / "history.json").read_text())["loss"]
    for number in range(20):
        killed = start(f"{number}")
        time.sleep(generator.uniform(0, seconds))
        killed.kill()
        killed.wait()
        assert start(f"{number}").wait() == 0
        history = json.loads((tmp_path / f"{number}" / "history.json").read_text())
        np.testing.assert_allclose(history["loss"], whole, atol=2e-5)
        np.testing.assert_allclose(np.load(tmp_path / f"{number}.npy"), np.load(tmp_path / "whole.npy"), atol=1e-3)

"""Pictures come from anywhere, upright and in colour, or with one sentence why not; the table says what they show."""

import io
import os
import re
import signal
import struct
import time
import zlib
from random import Random

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from tests.limited_disk import start_python
from tests.mirror_server import MirrorServer
from utils.data import CLASS_NAMES
from utils.evaluation import energy
from utils.photos import MOST_BYTES, PAD_COLOUR, WAYS, classify, gather, load_image, to_cifar_size
from utils.training import predict_views

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def stripes(colours=(RED, BLUE), size=(64, 48)):
    image = Image.new("RGB", size)
    width = size[0] // len(colours)
    for place, colour in enumerate(colours):
        image.paste(colour, (width * place, 0, width * place + width, size[1]))
    return image


def encoded(image, format="PNG", **options):
    """The bytes of a file of this format, in the quality that keeps the pixels best."""
    best = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}
    file = io.BytesIO()
    image.save(file, format, **best.get(format, {}) | options)
    return file.getvalue()


def turned(orientation):
    """What the camera notes in Exif about how it was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def refusal(source, kind=ValueError, **options):
    """The message with which a source is refused: one sentence in one line."""
    with pytest.raises(kind) as raised:
        load_image(source, **options)
    message = str(raised.value)
    assert type(raised.value) is kind and "\n" not in message
    assert ": expected " in message and message.endswith(".")
    return message


# Sources


def test_every_kind_of_source_gives_the_same_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path, content = tmp_path / "halves.png", encoded(stripes())
    path.write_bytes(content)
    with open(path, "rb") as file, MirrorServer(content) as server:
        sources = [str(path), path, content, bytearray(content), memoryview(content), file, io.BytesIO(content)]
        sources += [stripes(), server.url("good"), f"  {server.url('good')}\n", "~/halves.png"]
        pictures = [load_image(source) for source in sources] + list(gather("~").values())
    assert {picture.tobytes() for picture in pictures} == {stripes().tobytes()}
    assert {(picture.mode, picture.size) for picture in pictures} == {("RGB", (64, 48))}


@pytest.mark.parametrize(
    "behaviour, reason",
    [
        ("404", "none (answered 404 Not Found); check the address and the network"),
        ("html", "a web page; open it and take the address of the picture itself"),
        ("truncated", "none (broke off); check"),
        ("dead", "none (Connection refused); check"),
    ],
)
def test_an_address_without_a_picture_says_why(behaviour, reason):
    with MirrorServer(encoded(stripes())) as server:
        url = server.url(behaviour)
        assert refusal(url).startswith(f"{url}: expected a picture, found {reason}")
    for impossible in ("http://no-such-host.invalid/cat.jpg", "https://"):
        assert "expected a picture, found none (" in refusal(impossible)


def test_a_film_behind_a_photo_is_not_taken_for_scans():
    whole = encoded(stripes(), "JPEG")
    assert load_image(whole + Random(0).randbytes(6_000_000)).size == stripes().size


def test_what_has_no_end_comes_to_one():
    with MirrorServer(bytes(1 << 16)) as host:
        assert "(nothing complete within 0.5 s)" in refusal(host.url("headers"), seconds=0.5)
        assert "(TooManyRedirects)" in refusal(host.url("round"))
        assert "cifar10-tutorial" in host.agents[-1]
        assert refusal(host.url("endless"), seconds=60) == (
            f"{host.url('endless')}: expected at most 20 MB, found more; save it as JPEG or PNG in a smaller size."
        )
        assert MOST_BYTES < host.sent < 2 * MOST_BYTES
        assert "(TooManyRedirects)" in refusal(host.url("round-endless"), seconds=60)
        assert host.sent < 10 * MOST_BYTES  # what lies in the buffers of thirty connections


# What is no picture, or not a whole one


def bitmap_of_runs(width, height, runs):
    sizes = struct.pack("<2sIHHI", b"BM", 1_078 + len(runs), 0, 0, 1_078)
    return sizes + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 1, 1, 0, 0) + bytes(1_024) + runs


def test_a_bitmap_of_runs_is_read_as_far_as_that_takes_no_time():
    assert load_image(bitmap_of_runs(200, 100, b"\xc8\7\0\0" * 100)).size == (200, 100)
    for slow in (bitmap_of_runs(7_000, 1_000, b"\1\7\0\0"), bitmap_of_runs(9, 9, b"\0\2\0\0" * 400_000)):
        assert refusal(slow).startswith("the picture: expected few scans, strips, tiles, runs or notes, found more")


def png_claiming(width, height):
    """A grey PNG whose header says it is this large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = encoded(Image.new("L", (1, 1)))
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


REMEDY = "check the path, or give an http(s) address, bytes, a file opened in binary mode or a PIL image."
NO_FILE = f"a picture, found none that can be read (No such file or directory); {REMEDY}"
NO_ORDINARY_FILE = f"none that can be read (it is a folder, which gather reads, a device or a pipe); {REMEDY}"


@pytest.mark.parametrize(
    "source, expected",
    [
        ("nowhere/cat.jpg", NO_FILE),
        ("file:///tmp/cat.jpg", NO_FILE),
        ("www.example.org/cat.jpg", NO_FILE),
        ("tests", NO_ORDINARY_FILE),
        ("/dev/zero", NO_ORDINARY_FILE),
        ("x" * 300, "none that can be read (File name too long)"),
        ("data:image/png;base64," + "A" * 9_999, "none that can be read (File name too long)"),
        ("a\0b", "none that can be read (embedded null byte)"),
        (None, f"not NoneType); {REMEDY}"),
        (["cat.jpg"], f"not list); {REMEDY}"),
        (io.StringIO("text"), f"not StringIO); {REMEDY}"),
        (b"", "a picture, found nothing, 0 bytes; save or download it again"),
        (b"\n <!DOCTYPE HTML><html></html>", "a web page; open it and take the address of the picture itself"),
        (b"\xef\xbb\xbf<html>", "a web page; open it and"),
        (b"<?xml version='1.0'?>\n<svg width='3'/>", "an SVG drawing; save it as JPEG or PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "a HEIC or AVIF photo, or a film; save it as JPEG or PNG"),
        ("version 1\noid größer".encode(), "text; give the picture itself"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "text; give"),
        (b"\xff\xd8", "only the beginning of one, or a damaged one; save or download it again"),
        (bytes(MOST_BYTES), "bytes of another kind; save it as JPEG or PNG"),
        (bytes(MOST_BYTES + 1), "at most 20 MB, found more; save it as JPEG or PNG in a smaller size"),
        (png_claiming(5_000, 10_000), "found a damaged one"),
        (png_claiming(5_000, 10_001), "1 to 50,000,000 pixels, found 5,000×10,001; save it as JPEG or PNG in another"),
        (png_claiming(10_000, 10_000), "1 to 50,000,000 pixels, found 10,000×10,000;"),
        (png_claiming(60_000, 60_000), "1 to 50,000,000 pixels, found far more;"),
        (Image.new("RGB", (0, 4)), "1 to 50,000,000 pixels, found 0×4;"),
    ],
    ids=lambda value: repr(value)[:30].partition(" at 0x")[0],
)
def test_what_is_no_picture_is_called_what_it_is(source, expected, recwarn):
    message = refusal(source, FileNotFoundError if "No such file" in expected else ValueError)
    assert expected in message and len(message) < 350
    assert not len(recwarn)


def test_a_file_is_named_and_no_more_of_it_read_than_needed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert f"{tmp_path}/pipe: expected a picture, found {NO_ORDINARY_FILE}" in refusal(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(10**12)
    assert refusal(tmp_path / "huge").startswith(f"{tmp_path}/huge: expected at most 20 MB, found more")
    assert load_image(png_claiming(1, 1)).size == (1, 1)


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_cut_in_half_is_refused(format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    content = encoded(noise, format)
    assert load_image(content).size == (40, 40)
    message = refusal(content[: len(content) // 2])
    assert "a damaged one" in message and message.endswith("; save or download it again.")


def test_malformed_files_give_a_picture_or_a_sentence_and_nothing_else(recwarn, capfd):
    """Whatever is removed, inserted or overwritten, nothing warns or crashes, and no native code writes a line."""
    random, read = Random(0), 0
    noise = Image.frombytes("RGB", (24, 20), random.randbytes(24 * 20 * 3))
    several = {"save_all": True, "append_images": [noise.rotate(90)]}
    whole = [encoded(noise, format, exif=turned(6)) for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")]
    whole += [encoded(noise, format, **several) for format in ("GIF", "MPO")]
    whole += [encoded(noise, "JPEG", progressive=True), encoded(noise.convert("CMYK"), "JPEG")]
    whole += [encoded(noise.convert("P"), "PNG", transparency=3), encoded(noise.convert("RGBA"), "WEBP")]
    whole += [encoded(noise, "TIFF", compression="tiff_lzw"), encoded(noise.convert("I;16"), "TIFF")]
    for number in range(200):
        content = bytearray(whole[number % len(whole)])
        for _ in range(random.choice([1, 1, 4, 30])):
            start, length = random.randrange(random.choice([100, len(content) + 1])), random.choice([0, 1, 20])
            end = random.choice([start + length] * 9 + [len(content)])
            content[start:end] = random.choice([b"", random.randbytes(length), bytes(length), b"\xff" * length])
        try:
            image = load_image(bytes(content))
            assert image.mode == "RGB" and min(image.size) > 0
            read += 1
        except ValueError as error:
            assert type(error) is ValueError and str(error).startswith("the picture: expected "), error
    assert 40 <= read <= 160
    assert not len(recwarn) and capfd.readouterr() == ("", "")


# What becomes of the pixels


@pytest.mark.parametrize("options", [{}, {"progressive": True, "compression": "tiff_lzw"}])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_keeps_its_colours(format, options):
    image = load_image(encoded(stripes(), format, **options))
    assert image.size == (64, 48)
    assert abs(np.asarray(image)[3, [3, 60]] - [RED, BLUE]).max() < 10


@pytest.mark.parametrize("mode, right", [("L", 29), ("P", BLUE), ("1", 0), ("CMYK", BLUE), ("YCbCr", BLUE)])
def test_every_mode_becomes_rgb(mode, right):
    image = stripes((WHITE, BLUE)).convert(mode, dither=Image.Dither.NONE)
    for source in (image, encoded(image, "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")):
        left, found = np.asarray(load_image(source), int)[3, [3, 60]]
        assert abs(left - 255).max() < 10 and abs(found - right).max() < 10


def test_transparency_is_laid_on_white():
    shades = Image.new("RGBA", (3, 1))
    shades.putdata([(0, 0, 0, 0), (0, 0, 0, 128), (0, 0, 0, 255)])
    grey = Image.new("LA", (2, 1))
    grey.putdata([(0, 0), (60, 255)])
    palette = stripes(size=(2, 1)).convert("P", palette=Image.Palette.ADAPTIVE)
    transparent = palette.getpixel((0, 0))
    for content, expected in (
        *((encoded(shades, format), [WHITE, (127, 127, 127), (0, 0, 0)]) for format in ("PNG", "WEBP", "TIFF")),
        (encoded(grey), [WHITE, (60, 60, 60)]),
        (encoded(palette, transparency=transparent), [WHITE, BLUE]),
        (encoded(palette, "GIF", transparency=transparent), [WHITE, BLUE]),
        (encoded(stripes(size=(2, 1)), transparency=RED), [WHITE, BLUE]),
    ):
        np.testing.assert_array_equal(np.asarray(load_image(content))[0], expected)


def test_of_16_bits_shades_are_kept_and_of_32_bits_stretched_from_the_smallest_to_the_largest():
    image = Image.fromarray(np.array([[0, 257, 32_896, 65_535]], np.uint16))
    for source in (image, encoded(image, "PNG"), encoded(image, "TIFF")):
        assert np.asarray(load_image(source))[0, :, 0].tolist() == [0, 1, 128, 255]
    assert np.asarray(load_image(image.crop((1, 0, 3, 1))))[0, :, 0].tolist() == [1, 128]
    for values in (np.float32([[-1, 0, np.nan, 1]]), np.int32([[-1_000, 0, 0, 1_000]])):
        found = np.asarray(load_image(encoded(Image.fromarray(values), "TIFF")))
        assert found[0, :, 0].tolist() == [0, 128, 128, 255]
    assert np.asarray(load_image(Image.new("F", (1, 1), 7.0))).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_pictures_the_first_is_taken(format):
    red, blue = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    content = encoded(red, format, save_all=True, append_images=[blue])
    assert Image.open(io.BytesIO(content)).n_frames == 2
    assert abs(np.asarray(load_image(content))[3, 3] - [RED]).max() < 5


# How the pixels of an upright photo are stored, by the number of the orientation from 2; at 6 the camera was turned.
STORED = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_90 TRANSVERSE ROTATE_270".split()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation, stored", [*enumerate(STORED, 2)])
def test_a_turned_photo_comes_upright_and_only_once(orientation, stored, format):
    upright = stripes()
    ImageDraw.Draw(upright).rectangle((0, 0, 20, 10), fill=(0, 255, 0))
    content = encoded(upright.transpose(Image.Transpose[stored]), format, exif=turned(orientation))
    image = load_image(content)
    assert image.size == (64, 48) and image.tobytes() == upright.tobytes()
    assert load_image(image).tobytes() == load_image(encoded(image)).tobytes() == upright.tobytes()
    np.testing.assert_array_equal(to_cifar_size(Image.open(io.BytesIO(content))), to_cifar_size(upright))


def test_a_given_pil_image_stays_as_it_is():
    given = stripes(size=(600, 600)).convert("P")
    before = given.tobytes()
    load_image(given).paste(WHITE, (0, 0, 600, 600))
    to_cifar_size(given)
    assert given.mode == "P" and given.size == (600, 600) and given.tobytes() == before


# 32 by 32 pixels


@pytest.mark.parametrize("size", [(1000, 700), (333, 333), (65, 999), (4_000, 64)])
@pytest.mark.parametrize("how", ["crop", "squash"])
def test_a_fine_checkerboard_becomes_even_grey(size, how):
    board = (np.indices(size[::-1]).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = to_cifar_size(Image.fromarray(board), how)
    assert abs(pixels.astype(float) - 127.5).max() < 5


@pytest.mark.parametrize("how", WAYS)
def test_a_picture_of_cifar_size_is_not_changed(how):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for picture in (pixels, Image.fromarray(pixels), encoded(Image.fromarray(pixels))):
        np.testing.assert_array_equal(to_cifar_size(picture, how), pixels)


def test_crop_takes_the_middle_squash_all_and_pad_adds_sides():
    wide = stripes((RED, BLUE, WHITE), (300, 100))
    for picture, turn in ((wide, (0, 1, 2)), (wide.transpose(Image.Transpose.TRANSPOSE), (1, 0, 2))):
        crop, squash, pad = (to_cifar_size(picture, how).transpose(turn).astype(int) for how in WAYS)
        assert (crop[:, 3:29] == BLUE).all()
        assert (squash[:, :7] == RED).all() and (squash[:, 14:18] == BLUE).all() and (squash[:, 25:] == WHITE).all()
        assert (pad[:10] == PAD_COLOUR).all() and (pad[22:] == PAD_COLOUR).all()
        assert (pad[14:18, :7] == RED).all() and (pad[14:18, 25:] == WHITE).all()
    with pytest.raises(ValueError, match="expected how to be one of crop, squash, pad; found 'stretch'"):
        to_cifar_size(wide, "stretch")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("size", [(1, 1), (1, 5_000), (5_000, 1), (2, 3), (33, 31)])
def test_every_size_and_shape_is_possible(size, how):
    pixels = to_cifar_size(Image.new("RGB", size, RED), how)
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert (pixels == RED).all(axis=2).any()
    assert how == "pad" or (pixels == RED).all()


# Several pictures


@pytest.fixture
def folder(tmp_path):
    """Three pictures, three unreadable ones, and what is none."""
    folder = tmp_path / "photos"
    (folder / "inside.png").mkdir(parents=True)
    for name, colour in (("1.png", RED), ("2.JPG", BLUE), ("a.webp", WHITE)):
        Image.new("RGB", (700, 300), colour).save(folder / name)
    for name in (".hidden.png", "notes.txt", "LICENSES.md"):
        (folder / name).write_text("no picture", encoding="utf-8")
    (folder / "broken.gif").write_bytes(b"GIF89a")
    (folder / "drawing.svg").write_bytes(b"<svg/>")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    return folder


def test_a_folder_is_read_in_order_and_what_is_unreadable_is_a_row_with_its_reason(model, folder, tmp_path, capsys):
    readable, unreadable = ["1.png", "2.JPG", "a.webp"], ["broken.gif", "drawing.svg", "gone.png"]
    pictures = gather(folder)
    assert list(pictures) == readable and {picture.mode for picture in pictures.values()} == {"RGB"}
    printed = "3 of 6 pictures could not be read (see .unreadable): broken.gif, drawing.svg, gone.png.\n"
    assert capsys.readouterr().out == printed and list(pictures.unreadable) == unreadable
    reason = f"{folder}/drawing.svg: expected a picture, found an SVG drawing; save it as JPEG or PNG."
    assert pictures.unreadable["drawing.svg"] == reason
    table = classify(model, pictures, threshold=-100)
    assert table["file"].tolist() == [*readable, *unreadable] and table["class"].tolist()[:2] == ["airplane", "bird"]
    assert table["reason"].notna().tolist() == [False] * 3 + [True] * 3 and table["reason"][4] == reason
    assert table.loc[3:, ["class", "confidence", "known", *CLASS_NAMES]].isna().all(axis=None)


def test_large_pictures_of_a_folder_are_reduced_and_show_the_model_the_same(tmp_path):
    rows, columns = np.indices((900, 1500)) / 300
    waves = 127 + 120 * np.sin(np.stack([3 * rows + columns, 5 * columns, rows * columns], axis=-1))
    for name in ("waves.png", "again.png"):
        Image.fromarray(waves.astype(np.uint8)).save(tmp_path / name)
    reduced, whole = gather(tmp_path)["waves.png"], gather(tmp_path / "waves.png")["waves.png"]
    assert reduced.size == (512, 307) and whole.size == (1500, 900)
    for how in WAYS:
        difference = to_cifar_size(reduced, how).astype(int) - to_cifar_size(whole, how)
        assert abs(difference).max() <= 2


def test_a_choice_may_be_one_picture_or_several(folder, capsys):
    path, content = folder / "1.png", (folder / "1.png").read_bytes()
    for choice, name in ((path, "1.png"), (str(path), "1.png"), (content, "the picture")):
        pictures = gather(choice)
        assert list(pictures) == [name] and pictures[name].size == (700, 300) and pictures.unreadable == {}
    with MirrorServer(bytes(100_000)) as stuck, MirrorServer(content) as server:
        assert list(gather(server.url("good") + "?width=500")) == ["good"]
        sources = {name: stuck.url(name) for name in ("silent", "stalling", "slow-1")}
        start = time.monotonic()
        pictures = gather(sources | {"good": server.url("good")}, seconds=0.5)
        assert time.monotonic() - start < 2
    assert list(pictures) == ["good"] and list(pictures.unreadable) == ["silent", "stalling", "slow-1"]
    for reason in pictures.unreadable.values():
        assert "expected a picture, found none (nothing complete within 0.5 s); check the address and" in reason
    assert capsys.readouterr().out.startswith("3 of 4 pictures could not be read")
    assert gather({"empty": b""}).unreadable["empty"].startswith("the picture: expected a picture, found nothing")


def test_reading_many_at_once_leaves_the_error_stream_in_place(capfd):
    gather({number: encoded(stripes()) for number in range(100)})
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_ctrl_c_waits_for_no_picture_that_is_not_begun():
    process = start_python("""
import signal, time
from utils import photos

def slowly(image):
    print("begun", flush=True)
    time.sleep(0.5)
    return image.convert("RGB")

photos._on_white = slowly
signal.signal(signal.SIGINT, signal.default_int_handler)
photos.gather({number: photos.Image.new("RGB", (8, 8)) for number in range(100)})
""")
    assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2  # by now, all threads wait for their turn
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0].count("begun") <= 1 and process.returncode == -signal.SIGINT


def test_without_a_readable_picture_the_reason_is_raised(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: expected a picture, found none"):
        gather(tmp_path / "nowhere")
    for name in ("1.png", "2.JPG", "a.webp"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match="broken.gif: expected a picture"):
        gather(folder)
    for name in ("broken.gif", "drawing.svg", "gone.png"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match="photos: expected at least one picture, found none; choose .* JPEG, PNG"):
        gather(folder)


# The model's answer


def network(activation=None, classes=10, weight=5.0):
    """Mean colours to logits: red speaks for airplane, green for automobile, blue for bird."""
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((32, 32, 3)), *layers, keras.layers.Dense(classes, activation)])
    model.layers[-1].set_weights([np.where(np.eye(3, classes), weight, 0), np.linspace(0, -0.9, classes)])
    return model


@pytest.fixture(scope="module")
def model():
    return network()


def plain(shades):
    """An image of CIFAR-10's size for each shade, or for each triple of red, green and blue."""
    return np.broadcast_to(np.reshape(shades, (len(shades), 1, 1, -1)), (len(shades), 32, 32, 3)).astype(np.uint8)


NO_PIXELS = "the pixels: expected uint8 from 0 to 255 of shape (height, width, 3), found"
NOT_DIVIDED = "give it the pixels of a file, not divided by 255, which the model does itself."


def test_one_row_says_class_confidence_second_guess_and_every_probability(model):
    table = classify(model, [stripes((RED, (0, 0, 204))), Image.new("RGB", (9, 9), (0, 255, 0))])
    assert list(table) == ["file", "class", "confidence", "second guess", "score", *CLASS_NAMES]
    assert table["file"].tolist() == [0, 1]
    assert table["class"].tolist() == ["airplane", "automobile"]
    assert table["second guess"].tolist() == ["bird", "airplane"]
    logits = np.array([[2.5, 0, 2.0, *[0] * 7], [0, 5, *[0] * 8]]) - np.arange(10) / 10
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(table[list(CLASS_NAMES)], expected, atol=1e-3)
    np.testing.assert_allclose(table[list(CLASS_NAMES)].sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(table["confidence"], expected.max(axis=1), atol=1e-3)
    np.testing.assert_allclose(table["score"], np.log(np.exp(logits).sum(axis=1)), atol=1e-2)


def test_pictures_come_in_many_ways(model, tmp_path):
    colour, path = Image.new("RGB", (50, 40), RED), tmp_path / "red.png"
    colour.save(path)
    content, pixels = path.read_bytes(), np.asarray(colour)
    with open(path, "rb") as file:
        ways = [colour, pixels, content, file, path, str(path), [path], {str(path): content}, (p for p in [colour])]
        ways += [pixels[None], plain([RED]), keras.ops.convert_to_tensor(pixels[None])]
        tables = [classify(model, way) for way in ways]
    names = [table.pop("file").tolist() for table in tables]
    assert names == [[0]] * 4 + [[str(path)]] * 4 + [[0]] * 4
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])


def test_the_way_to_cifar_size_and_the_views_are_passed_on(model):
    wide = stripes((RED, BLUE, RED), (300, 100))
    assert [classify(model, wide, how=how)["class"][0] for how in WAYS] == ["bird", "airplane", "airplane"]
    border = np.zeros((1, 32, 32, 3), np.uint8)
    border[:, 0] = 255
    averaged = predict_views(model, border, views=6)
    assert abs(averaged - predict_views(model, border, views=1)).max() > 0.01
    np.testing.assert_allclose(classify(model, border, views=6)["score"], -energy(averaged), rtol=1e-6)


@pytest.mark.parametrize("score", ["energy", "confidence"])
def test_below_the_threshold_a_picture_is_not_known(model, score):
    validation = plain(np.random.default_rng(0).integers(0, 256, (40, 3)))
    scores = classify(model, validation, score=score)["score"]
    threshold = np.quantile(scores, 0.25)
    table = classify(model, validation, score=score, threshold=threshold)
    assert table["known"].sum() == 30 and table["known"].dtype == bool
    assert table.loc[~table["known"], "score"].max() < threshold <= table.loc[table["known"], "score"].min()
    logits = model.predict(validation, batch_size=40, verbose=0)
    np.testing.assert_allclose(scores, -energy(logits) if score == "energy" else table["confidence"], rtol=1e-5)


@pytest.mark.parametrize(
    "images, options, message",
    [
        ([stripes(), "nowhere/cat.jpg"], {}, "cat.jpg: expected a picture, found none"),
        (None, {}, "expected a picture, found none that can be read (expected str, bytes or os.PathLike object"),
        ([], {}, "classify: expected at least one picture, found none; give it a picture"),
        ({}, {}, "classify: expected at least one picture, found none; give it a picture"),
        (stripes(), {"views": 3}, "expected views of 1, 2 or 6; found 3"),
        (stripes(), {"score": "odds"}, "expected score to be energy or confidence; found 'odds'"),
        (np.ones((2, 32, 32, 3), np.float32), {}, f"{NO_PIXELS} float32 of shape (32, 32, 3) up to 1; {NOT_DIVIDED}"),
        (np.full((2, 32, 32, 3), 254.5), {}, f"{NO_PIXELS} float64 of shape (32, 32, 3) up to 254; {NOT_DIVIDED}"),
        (np.full((2, 32, 32, 3), 300), {}, f"{NO_PIXELS} int64 of shape (32, 32, 3) up to 300"),
        (np.ones((2, 3, 32, 32), np.uint8), {}, f"{NO_PIXELS} uint8 of shape (3, 32, 32)"),
        (np.ones((32, 32), np.uint8), {}, f"{NO_PIXELS} uint8 of shape (32, 32)"),
        ([np.ones((0, 32, 3), np.uint8)], {}, f"{NO_PIXELS} uint8 of shape (0, 32, 3); {NOT_DIVIDED}"),
        ([np.ones((1, 32, 32, 3), np.uint8)], {}, f"{NO_PIXELS} uint8 of shape (1, 32, 32, 3)"),
    ],
)
def test_what_classify_cannot_answer_is_refused(images, options, message, model):
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        classify(model, images, **options)


def test_softmax_is_not_applied_twice():
    shades = plain(np.arange(20))
    for count in (1, 20):
        with pytest.raises(ValueError, match="returns logits, found probabilities, .* second time; build"):
            classify(network("softmax"), shades[:count])
    summing_to_one = network()
    summing_to_one.layers[-1].set_weights([np.zeros((3, 10)), np.r_[-1.0, np.ones(8), -6.0]])
    assert classify(summing_to_one, shades)["confidence"].max() < 0.2


def test_other_classes_are_named_and_a_model_of_other_classes_or_none_is_refused():
    own = network(classes=3)
    table = classify(own, stripes([RED]), class_names=["mug", "cup", "glass"])
    assert list(table)[-3:] == ["mug", "cup", "glass"] and table["class"][0] == "mug"
    expected = "expected one finite logit for each of airplane, automobile, .*, found an output of shape"
    with pytest.raises(ValueError, match=rf"{expected} \(1, 3\), .*; give the model's own class_names"):
        classify(own, stripes())
    with pytest.raises(ValueError, match=rf"{expected} \(1, 10\), 70% of it finite; .* train it again"):
        classify(network(weight=np.nan), stripes())

"""Pictures come from anywhere, upright and in their colours, or with one sentence why not."""

import base64
import io
import os
import re
import signal
import struct
import time
import zlib
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from tests.limited_disk import run_python, start_python
from tests.mirror_server import MirrorServer
from utils.pictures import MOST_BYTES, gather, load_image

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *({"AVIF"} & Image.SAVE.keys())]
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
# `stripes()` below as a photo of an iPhone, written by pillow-heif 1.4 with quality=60, packed by zlib.
HEIC = zlib.decompress(base64.b64decode(
    "eNpjYGCQSSupLMhIzUxmAILczDRDEDs3MzGNgYGxNje1JJEBAhQzUnKKoGyGgszkEgY0oJSZkw82xMWBgREIgYBxIYQGgnYgVs7MzEsD80CiokBO"
    "KhOUl1GWbAhi8hVkluTClfzNLCgqANJ3MwuS84F0GVCZMyMzSGgCWJHcB4Y/f3/8YGDgZ04A6pBwYORh/P8fpIAZpIIZhOR2MTkkAiW1nBgZ0WQW"
    "KDSyTnv1ZNnOHRwZBgpAIWYQwaCYBFTO5sJ4sPhAJ9AS4eT8nKK85JwKoCgvA1sDUEgks7ggFeozByjWSM5JLICyQY43gNIgwPT///8PIBqIBQoy"
    "KzJBgswcHBxASiKzIBcWyMBwY21kYmZtAbL7c1MSQYHcrMG4nvOB7Wel//8/2Zv//7Ph3OnfR4+E7/9/PPrw/ivT+P8/Ea1K1DDQbj+Z8rTeynq9"
    "71v1syLd4kvDXZ7q1KtWJvjKnp8yx2b1lsk7V7tPS7tcde5T2KclIa+OvLGsun3jmsxU9TSxI8GGUR4tHKVWwqer/y59zb3Cfjnv35+run46Ft84"
    "8butvQ8AmHiRLg=="
))  # fmt: skip


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
        ended = io.BytesIO(content)
        ended.read()
        sources = [str(path), path, content, bytearray(content), memoryview(content), file, io.BytesIO(content), ended]
        sources += [stripes(), server.url("good"), f"  {server.url('packed')}\n", "~/halves.png"]
        sources += [f"{path}\n", f"'{path}'", f' "{path}" ', path.as_uri()]
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
            f"{host.url('endless')}: expected at most 40 MB, found more; save it as JPEG or PNG in a smaller size."
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
    for slow in (bitmap_of_runs(7_000, 1_000, b"\1\7\0\0"), bitmap_of_runs(9, 9, b"\0\2\0\0\0\0" * 400_000)):
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
        ("file:///nowhere/cat.jpg", NO_FILE),
        ("~nobody/cat.jpg", NO_FILE),
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
        (HEIC[:300], "a HEIC photo that cannot be read; pip install pi-heif if it is missing, or save it as"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1", "an AVIF photo, damaged or too new for this Pillow; save it as JPEG"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isom", "a film; give one picture of it"),
        (b"PK\3\4\n\0\0\0", "an archive; unpack it and give the folder"),
        (b"\x1f\x8b\x08\0", "an archive; unpack"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF; save its page or picture as JPEG or PNG"),
        (b"\0\0\1\0\1\0", "an icon; save it as JPEG or PNG"),
        ("version 1\noid größer".encode(), "text; give the picture itself"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "text; give"),
        (b"\xff\xd8", "only the beginning of one, or a damaged one; save or download it again"),
        (bytes(MOST_BYTES), "bytes of another kind; save it as JPEG or PNG"),
        (bytes(MOST_BYTES + 1), "at most 40 MB, found more; save it as JPEG or PNG in a smaller size"),
        (png_claiming(5_100, 10_000), "found a damaged one"),
        (png_claiming(5_100, 10_001), "1 to 51,000,000 pixels, found 5,100×10,001; save it as JPEG or PNG in another"),
        (png_claiming(10_000, 10_000), "1 to 51,000,000 pixels, found 10,000×10,000;"),
        (png_claiming(60_000, 60_000), "1 to 51,000,000 pixels, found far more;"),
        (Image.new("RGB", (0, 4)), "1 to 51,000,000 pixels, found 0×4;"),
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
    assert refusal(tmp_path / "huge").startswith(f"{tmp_path}/huge: expected at most 40 MB, found more")
    assert load_image(png_claiming(1, 1)).size == (1, 1)


@pytest.mark.parametrize("format", [*FORMATS, "JPEG2000"])
def test_a_picture_cut_in_half_is_refused(format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    content = encoded(noise, format)
    assert load_image(content).size == (40, 40)
    message = refusal(content[: len(content) // 2])
    remedy = "it as JPEG or PNG" if format == "AVIF" else "or download it again"
    assert "damaged" in message and message.endswith(f"; save {remedy}.")


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
@pytest.mark.parametrize("format", [*FORMATS, "JPEG2000"])
def test_every_format_keeps_its_colours(format, options):
    image = load_image(encoded(stripes(), format, **options))
    assert image.size == (64, 48)
    assert abs(np.asarray(image)[3, [3, 60]] - [RED, BLUE]).max() < 10


def test_a_photo_of_an_iphone_is_read():
    image = np.asarray(load_image(HEIC))
    assert image.shape == (48, 64, 3) and abs(image[3, [3, 60]] - [RED, BLUE]).max() < 10


def display_p3():
    """The profile of most phones' colours: matrix and curve as Apple publishes them, in the bytes of ICC.1:2010."""

    def numbers(*values):
        return struct.pack(f">{len(values)}i", *(round(65_536 * value) for value in values))

    red, green, blue = (0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)
    entries = {"wtpt": (0.9642, 1, 0.8249), "rXYZ": red, "gXYZ": green, "bXYZ": blue}
    entries = {name: b"XYZ \0\0\0\0" + numbers(*values) for name, values in entries.items()}
    curve = b"para\0\0\0\0\0\3\0\0" + numbers(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    entries |= {"rTRC": curve, "gTRC": curve, "bTRC": curve, "cprt": b"text\0\0\0\0none\0\0\0\0"}
    place, table, content = 132 + 12 * len(entries), struct.pack(">I", len(entries)), b""
    for name, entry in entries.items():
        table += name.encode() + struct.pack(">II", place + len(content), len(entry))
        content += entry
    header = struct.pack(">I4xI4s4s4s", place + len(content), 0x04000000, b"mntr", b"RGB ", b"XYZ ")
    return header + bytes(12) + b"acsp" + bytes(28) + numbers(0.9642, 1, 0.8249) + bytes(48) + table + content


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colours_of_other_profiles_become_srgb(format, mode):
    colour = Image.new("RGB", (8, 8), (230, 60, 40))
    if format != "JPEG":
        colour = colour.quantize(2) if mode == "P" else colour.convert(mode)
    found = np.asarray(load_image(encoded(colour, format, icc_profile=display_p3())), int)[3, 3]
    assert abs(found - (250, 31, 14)).max() <= 2
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, display_p3()[:150], b"no profile", None):
        found = np.asarray(load_image(encoded(colour, format, icc_profile=profile)), int)[3, 3]
        assert abs(found - (230, 60, 40)).max() <= 2


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


def tiff(*entries, bits=8):
    """A TIFF of 2 × 1 shades by hand, with these entries, (tag, kind, count, four bytes), beside the needed ones."""
    usual = {256: (4, 1, 2), 257: (4, 1, 1), 258: (3, 1, bits), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    usual |= {278: (4, 1, 1), 279: (4, 1, bits // 4)} | {tag: rest for tag, *rest in entries}
    usual[273] = (4, 1, 8 + 2 + 12 * (len(usual) + 1) + 4)
    table = b"".join(struct.pack("<HHII", tag, *usual[tag]) for tag in sorted(usual))
    pixels = bytes(bits // 8) + b"\xff" * (bits // 8)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(usual)) + table + bytes(4) + pixels + b"\xff\xff\xff\xff\1\0\0\0"


def test_a_tiff_that_pillow_would_read_wrongly_is_called_what_it_is():
    for content in (tiff(), tiff((262, 3, 1, 0)), tiff(bits=16)):
        assert {*np.asarray(load_image(content)).ravel()} == {0, 255}
    for content, kind in (
        (tiff(bits=12), "one of 12 bits"),
        (tiff((262, 3, 1, 0), bits=16), "one of 16 bits and 0 for white"),
        (tiff(bits=32), "one of 32 bits without sign"),
    ):
        assert f"expected a TIFF of a common kind, found {kind}; save it as JPEG or PNG" in refusal(content)
    assert "found a TIFF that is damaged or of a rare kind; save it as JPEG or PNG" in refusal(tiff(bits=64))


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
    assert load_image(Image.open(io.BytesIO(content))).tobytes() == upright.tobytes()


def odd_tags():
    """Entries of Exif as cameras and programs write them wrongly: (tag, kind, count, value), each on its own."""
    for tag in (0x011A, 0x011B):  # the resolution, of kind 5, two whole numbers without sign, stored elsewhere
        yield from ((tag, kind, count, value) for kind, count, value in (
            (5, 1, 38), (10, 1, 38), (5, 1, 10**6), (5, 0, 0), (2, 4, 0x00636261), (5, 10**9, 38),
        ))  # fmt: skip
    for tag in (0x0128, 0x0102, 0x0100, 0x0103):  # unit of the resolution, bits, width, compression
        yield from ((tag, 4, 1, value) for value in (0, 70_000, 4_000_000_000))
    yield from ((0x0131, kind, 4, 0xFCFDFEFF) for kind in (0, 13, 99, 6, 7, 11, 12))  # the program
    for tag in (0x8769, 0x8825):  # where further tables begin
        yield from ((tag, 4, 1, value) for value in (8, 0, 38, 10**6, 4_000_000_000))
    yield from ((0x8769, 10, 1, 38), (0x8769, 2, 4, 0x00636261), (0x0131, 2, 4, 0x64636261), (0x0131, 2, 0, 0))
    yield from ((0x927C, 7, 10**6, 38), (0x9286, 7, 4, 0x03020100), (0x0111, 4, 1, 38), (0x8773, 7, 4, 0x64636261))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_with_an_odd_tag_comes_upright_all_the_same(format, recwarn):
    upright = stripes()
    ImageDraw.Draw(upright).rectangle((0, 0, 20, 10), fill=(0, 255, 0))
    tags = list(odd_tags())
    assert len(tags) == 49
    for number, tag in enumerate(tags):
        turn = number % 7 + 2
        table = b"".join(struct.pack("<HHII", *entry) for entry in sorted([(0x0112, 3, 1, turn), tag]))
        block = b"Exif\0\0II*\0\x08\0\0\0\2\0" + table + bytes(4) + b"\xff\xff\xff\xff\1\0\0\0" * 4
        if format != "TIFF":
            content = encoded(upright.transpose(Image.Transpose[STORED[turn - 2]]), format, exif=block)
            assert abs(np.asarray(load_image(content), int) - np.asarray(upright)).mean() < 3, tag
        elif tag[0] > 0x0111 and tag[0] not in (0x0112, 0x8773) or tag[0] in (0x011A, 0x011B):
            size = (1, 2) if turn > 4 else (2, 1)
            assert load_image(tiff((0x0112, 3, 1, turn), tag)).size == size, tag
    assert not len(recwarn)


def test_a_pil_image_is_turned_only_as_it_comes_from_a_file():
    image = Image.open(io.BytesIO(encoded(stripes().transpose(Image.Transpose.ROTATE_90), exif=turned(6))))
    assert load_image(image).tobytes() == load_image(image.rotate(-90, expand=True)).tobytes() == stripes().tobytes()
    image.close()
    assert "expected an open picture, found a closed one; open it again, or give its path." in refusal(image)


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


def test_a_folder_is_read_in_order_and_what_is_unreadable_keeps_its_reason(folder, capsys):
    readable, unreadable = ["1.png", "2.JPG", "a.webp"], ["broken.gif", "drawing.svg", "gone.png"]
    pictures = gather(folder)
    assert list(pictures) == readable and {picture.mode for picture in pictures.values()} == {"RGB"}
    printed = "3 of 6 pictures could not be read (see .unreadable): broken.gif, drawing.svg, gone.png.\n"
    assert capsys.readouterr().out == printed and list(pictures.unreadable) == unreadable
    reason = f"{folder}/drawing.svg: expected a picture, found an SVG drawing; save it as JPEG or PNG."
    assert pictures.unreadable["drawing.svg"] == reason


def test_a_text_too_long_for_a_path_is_a_picture_that_cannot_be_read():
    with pytest.raises(ValueError, match=r"AAA…: expected .* be read \(File name too long\)"):
        gather("data:image/png;base64," + "A" * 9_999)


def test_a_folder_of_folders_names_them(folder):
    assert list(gather(f" '{folder}'\n")) == ["1.png", "2.JPG", "a.webp"]
    message = "photos: expected pictures, found folders: inside.png, of; gather each of them by itself."
    for path in folder.iterdir():
        path.is_dir() or path.unlink()
    (folder / "of").mkdir()
    with pytest.raises(ValueError, match=re.escape(message)):
        gather(folder)


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


def test_a_closed_error_stream_is_no_hindrance():
    script = "import io, os; from PIL import Image; from utils import pictures; os.close(2); file = io.BytesIO(); "
    script += "Image.new('RGB', (8, 9)).save(file, 'TIFF'); print(pictures.load_image(file.getvalue()).size)"
    assert run_python(script) == "(8, 9)\n"


def test_ctrl_c_waits_for_no_picture_that_is_not_begun():
    process = start_python("""
import time
from utils import pictures

def slowly(image):
    print("begun", flush=True)
    time.sleep(0.5)
    return image.convert("RGB")

pictures._on_white = slowly
pictures.gather({number: pictures.Image.new("RGB", (8, 8)) for number in range(100)})
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
    (folder / "inside.png").rmdir()
    with pytest.raises(ValueError, match="photos: expected at least one picture, found none; choose .* JPEG, PNG"):
        gather(folder)

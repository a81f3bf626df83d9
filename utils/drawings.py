"""An offline stand-in for CIFAR-10: small pictures of its ten classes, drawn with Pillow. None is from CIFAR-10.

A picture is a background that several classes share, a view of its subject, then light and noise. The shapes of both,
and how they are written, stand in drawings.toml.
"""

import math
import random
import tomllib
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw
from scipy.ndimage import zoom

VERSION = 2  # to be raised with any change to the pictures
_CIRCLE = [(math.cos(math.tau * k / 12), math.sin(math.tau * k / 12)) for k in range(12)]
SHAPES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _draw_shapes(pen, chance, shapes, x, y, width, height, tilt=0.0):
    """Draw shapes around the pixel (x, y), one percent being `width` by `height` pixels, risen by `tilt`."""
    colours = {}
    for kind, name, *numbers in map(str.split, shapes.strip().splitlines()):
        if kind[0] == "?" and chance.random() < 0.5:
            continue
        kind, palette = kind[-1], name.rstrip("-23")
        numbers = [float(number) * chance.gauss(1, 0.07) for number in numbers]
        if kind == "s":
            for _ in range(round(numbers[0])):  # each in a colour of its own
                u, v, size = chance.uniform(-100, 100), chance.uniform(*numbers[3:]), chance.uniform(0.5, 1)
                ellipse = f"e {name} {u} {v} {numbers[1] * size} {numbers[2] * size}"
                _draw_shapes(pen, chance, ellipse, x, y, width, height, tilt)
            continue
        if name.rstrip("-") not in colours:
            light, warmth = chance.uniform(0.9, 1.1), chance.uniform(0.94, 1.06)
            red, green, blue = ImageColor.getrgb(chance.choice(SHAPES["palettes"].get(palette, palette).split()))
            colours[name.rstrip("-")] = red * light * warmth, green * light, blue * light / warmth
        colour = tuple(min(255, int(part * (0.7 if "-" in name else 1))) for part in colours[name.rstrip("-")])
        thickness = max(1, round(numbers.pop(0) * height)) if kind in "lL" else 0
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        if kind in "eE":
            points = [(numbers[0] + numbers[2] * u, numbers[1] + numbers[3] * v) for u, v in _CIRCLE]
        for side in (1, -1) if kind.isupper() else (1,):
            pixels = [(x + width * side * u - tilt * v, y + height * v + tilt * side * u) for u, v in points]
            if thickness:
                pen.line(pixels, colour, thickness, joint="curve")
            else:
                pen.polygon(pixels, colour)


def _draw(label, chance):
    """One picture, uint8 of shape (32, 32, 3), before light and noise."""
    between, picture = chance.uniform, Image.new("RGB", (64, 64))
    pen = ImageDraw.Draw(picture)
    subject = list(SHAPES["subjects"].values())[label]
    background = SHAPES["backgrounds"][chance.choice(subject["backgrounds"].split())]
    _draw_shapes(pen, chance, background, 32, between(22, 42), 0.32, 0.32)
    height, view = between(0.21, 0.32), chance.choice(subject["views"]) + "?s plant 5 4 25 70 100"
    width, tilt = height * between(0.8, 1.1) * chance.choice((-1, 1)), between(-0.05, 0.05)
    _draw_shapes(pen, chance, view, between(26, 38), between(29, 38), width, height, tilt)
    return np.asarray(picture.reduce(2))  # averaged, which smooths the edges


def _light_and_noise(drawing, generator):
    """Brightness, a colour cast, uneven light, blotches and grain."""
    uneven, blotches = (zoom(generator.normal(size=(k, k)), 32 / k, order=1)[..., None] for k in (3, 9))
    light = generator.normal(1, 0.08) + generator.normal(0, 0.04, 3) + 0.12 * uneven
    grain = generator.normal(0, np.clip(generator.normal(5, 1), 3.5, 6.5), drawing.shape)
    return np.clip(drawing * np.maximum(light, 0.3) + 6 * blotches + grain, 0, 255)


def draw_cifar10_like(n, seed):
    """Draw `n` pictures of the stand-in, the same bytes for the same `n` and `seed`. They are not CIFAR-10: say so.

    Returns images, uint8 of shape (n, 32, 32, 3), RGB, and labels, int32 of shape (n,), 0 to 9 in CIFAR-10's order of
    classes, shuffled, no class more than once oftener than another. `n` is at least 1, `seed` at least 0.
    """
    for name, value, least in (("n", n, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"draw_cifar10_like: {name} must be a whole number from {least} upwards, found {value!r}.")
    chance, generator = random.Random(int(seed)), np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n, dtype=np.int32) % len(SHAPES["subjects"]))
    images = np.empty((n, 32, 32, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:] = _light_and_noise(_draw(label, chance), generator)
    return images, labels

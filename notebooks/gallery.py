"""Pictures to try a network on: photographs that other packages bring along, some by address, and drawings of its own.

No picture is kept in the repository; `images/credits.csv` says where each is, who made it, and under which licence.
"""

import importlib.util
import random
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from utils import pictures

CREDITS = pd.read_csv(Path(__file__).with_name("images") / "credits.csv", index_col="name")
# What is drawn in one colour on another: kind of shape, its points from 0 to 1 (x to the right, y downwards), whether
# in the colour of the ground, and what else Pillow's ImageDraw takes for that shape.
SHAPES = {
    "house": [
        ("polygon", (0, 0.45, 0.5, 0, 1, 0.45), False, {}),
        ("rectangle", (0.12, 0.45, 0.88, 1), False, {}),
        ("rectangle", (0.42, 0.65, 0.58, 1), True, {}),
        ("rectangle", (0.2, 0.55, 0.34, 0.7), True, {}),
        ("rectangle", (0.66, 0.55, 0.8, 0.7), True, {}),
    ],
    "tree": [
        ("rectangle", (0.44, 0.5, 0.56, 1), False, {}),
        ("ellipse", (0.25, 0, 0.75, 0.5), False, {}),
        ("ellipse", (0.02, 0.17, 0.52, 0.67), False, {}),
        ("ellipse", (0.48, 0.17, 0.98, 0.67), False, {}),
    ],
    "umbrella": [
        ("pieslice", (0, 0.05, 1, 1.05), False, {"start": 180, "end": 360}),
        *(("ellipse", (left, 0.48, left + 0.26, 0.62), True, {}) for left in (-0.01, 0.25, 0.49, 0.75)),
        ("rectangle", (0.48, 0.5, 0.52, 0.95), False, {}),
        ("arc", (0.32, 0.82, 0.52, 1), False, {"start": 0, "end": 180, "width": 10}),
    ],
    "cup": [
        ("polygon", (0.05, 0.2, 0.75, 0.2, 0.65, 0.95, 0.15, 0.95), False, {}),
        ("arc", (0.55, 0.3, 1, 0.75), False, {"start": 250, "end": 110, "width": 22}),
    ],
    "face": [
        ("ellipse", (0, 0, 1, 1), False, {}),
        ("ellipse", (0.25, 0.3, 0.39, 0.45), True, {}),
        ("ellipse", (0.61, 0.3, 0.75, 0.45), True, {}),
        ("arc", (0.22, 0.3, 0.78, 0.8), True, {"start": 20, "end": 160, "width": 16}),
    ],
    "key": [
        ("ellipse", (0, 0.3, 0.4, 0.7), False, {}),
        ("ellipse", (0.1, 0.4, 0.3, 0.6), True, {}),
        ("rectangle", (0.38, 0.45, 1, 0.55), False, {}),
        ("rectangle", (0.72, 0.5, 0.79, 0.7), False, {}),
        ("rectangle", (0.86, 0.5, 0.93, 0.7), False, {}),
    ],
}
SUBJECTS = tuple(SHAPES)


def path(name):
    """Where a picture of an installed package lies; a package built without its sample data may lack the file."""
    if name not in CREDITS.index:
        raise ValueError(f"path: expected one of {', '.join(CREDITS.index)}; found {name!r}.")
    package, _, file = CREDITS.place[name].partition("/")
    found = importlib.util.find_spec(package)  # does not import it, which takes seconds
    if found is None:
        raise FileNotFoundError(f"picture {name}: expected the package {package}; install requirements.txt.")
    return Path(found.submodule_search_locations[0], file)


def strangers(kind):
    """The pictures of packages that show none of the ten classes; kind is "photograph" or "texture"."""
    chosen = CREDITS[(CREDITS.kind == kind) & (CREDITS["class"] == "none of the ten")]
    return pictures.gather({name: path(name) for name in chosen.index})


def online(seconds=5):
    """The photographs by address, fetched at the same time; those that do not come are in `unreadable`."""
    return pictures.gather(CREDITS.place[CREDITS.place.str.startswith("http")].to_dict(), seconds=seconds)


def tiles(picture, size=128):
    """Cut a picture into squares that do not overlap, row by row; what is left over right and below is dropped."""
    corners = np.ndindex(picture.height // size, picture.width // size)
    return [picture.crop((x * size, y * size, (x + 1) * size, (y + 1) * size)) for y, x in corners]


def draw(subject, seed):
    """Draw one of `SUBJECTS` in colours, size and place that depend on the seed: a PIL image of 96×96 pixels."""
    if subject not in SHAPES:
        raise ValueError(f"draw: expected one of {', '.join(SUBJECTS)}; found {subject!r}.")
    chance = random.Random(f"{subject} {seed}")
    bright, dark = [tuple(chance.randint(*limits) for _ in "rgb") for limits in ((150, 255), (0, 110))]
    ground, figure = (bright, dark) if chance.random() < 0.5 else (dark, bright)
    side = 384  # four times as large as the result, which smooths the edges
    image = Image.new("RGB", (side, side), ground)
    size = chance.uniform(0.55, 0.85) * side
    corner = [chance.uniform(0, side - size), chance.uniform(0, side - size)]
    for shape, points, in_ground, options in SHAPES[subject]:
        places = np.reshape(points, (-1, 2)) * size + corner
        getattr(ImageDraw.Draw(image), shape)(places.ravel().tolist(), fill=ground if in_ground else figure, **options)
    noisy = np.array(image.resize((96, 96), Image.Resampling.BOX), np.int16)
    noisy += np.random.default_rng(seed).normal(0, 6, noisy.shape).astype(np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))

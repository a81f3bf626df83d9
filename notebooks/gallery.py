"""Pictures to try a network on, each with author and licence: photographs that other packages bring along, drawings of
the series' own, and a few photographs by address. No picture is kept in the repository. Imports no TensorFlow.
"""

import importlib.util
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from utils.photos import Pictures, load_image, read_all


class Sample(NamedTuple):
    """One picture and where it comes from.

    Attributes:
        kind: "photograph" or "texture".
        place: file inside an installed package, its name first; or an address.
        shows: what is to be seen, in a few words.
        label: its class in CIFAR-10, or None for none of the ten.
        credit: author or source.
        licence: under which terms it may be used.
    """

    kind: str
    place: str
    shows: str
    label: str | None
    credit: str
    licence: str


_PUBLIC = "public domain"
_FREE = "no known copyright restrictions"
# What scikit-image and scikit-learn state about their files, in `skimage/data/_fetchers.py` and
# `sklearn/datasets/images/README.txt`. Files without such a statement are not used.
SAMPLES = {
    "cat": Sample("photograph", "skimage/data/chelsea.png", "a cat's face", "cat", "Stefan van der Walt", "CC0"),
    "astronaut": Sample("photograph", "skimage/data/astronaut.png", "a portrait", None, "NASA", _PUBLIC),
    "officer": Sample(
        "photograph",
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        "a portrait",
        None,
        "James S. Davis, United States Navy",
        _PUBLIC,
    ),
    "photographer": Sample(
        "photograph", "skimage/data/camera.png", "a man behind a camera", None, "Lav Varshney", "CC0"
    ),
    "coffee": Sample("photograph", "skimage/data/coffee.png", "a cup of coffee", None, "Rachel Michetti", "CC0"),
    "coins": Sample("photograph", "skimage/data/coins.png", "rows of coins", None, "Brooklyn Museum", _FREE),
    "clock": Sample(
        "photograph", "skimage/data/clock_motion.png", "a blurred wall clock", None, "Stefan van der Walt", _PUBLIC
    ),
    "rocket": Sample("photograph", "skimage/data/rocket.jpg", "a rocket at its launch", None, "SpaceX", _PUBLIC),
    "galaxies": Sample("photograph", "skimage/data/hubble_deep_field.jpg", "distant galaxies", None, "NASA", _PUBLIC),
    "retina": Sample("photograph", "skimage/data/retina.jpg", "the back of an eye", None, "Mikael Häggström", "CC0"),
    "vessels": Sample(
        "photograph", "skimage/data/microaneurysms.png", "blood vessels of a retina", None, "Andreas Maier", "CC0"
    ),
    "tissue": Sample(
        "photograph",
        "skimage/data/ihc.png",
        "stained tissue under a microscope",
        None,
        "Center for Microscopy and Molecular Imaging",
        _FREE,
    ),
    "temple": Sample(
        "photograph", "sklearn/datasets/images/china.jpg", "a temple", None, "danielbuechele on Flickr", "CC BY 2.0"
    ),
    "flower": Sample(
        "photograph", "sklearn/datasets/images/flower.jpg", "a flower", None, "vultilion on Flickr", "CC BY 2.0"
    ),
    "brick": Sample("texture", "skimage/data/brick.png", "a brick wall", None, "CC0Textures, Bricks25", "CC0"),
    "grass": Sample("texture", "skimage/data/grass.png", "grass", None, "linolafett on DeviantArt", "CC0"),
    "gravel": Sample("texture", "skimage/data/gravel.png", "gravel", None, "CC0Textures, Gravel04", "CC0"),
}
_COMMONS = "https://commons.wikimedia.org/wiki/Special:FilePath/{}?width=500"
ONLINE = {
    "bird": Sample(
        "photograph",
        _COMMONS.format("Eopsaltria_australis_-_Mogo_Campground.jpg"),
        "an eastern yellow robin",
        "bird",
        "JJ Harrison, Wikimedia Commons",
        "CC BY-SA 3.0",
    ),
    "horse": Sample(
        "photograph",
        _COMMONS.format("Nokota_Horses_cropped.jpg"),
        "two horses",
        "horse",
        "François Marchal, Wikimedia Commons",
        "CC BY-SA 3.0",
    ),
    "ship": Sample(
        "photograph",
        _COMMONS.format("RMS_Titanic_3.jpg"),
        "the Titanic, in black and white",
        "ship",
        "F. G. O. Stuart, 1912, Wikimedia Commons",
        _PUBLIC,
    ),
}


def path(name):
    """Where a sample lies on this machine.

    Args:
        name: a key of `SAMPLES`.

    Returns:
        Path of the file, which a package built without its sample data may lack.

    Raises:
        ValueError: if there is no such sample.
        FileNotFoundError: if the package itself is not installed.
    """
    if name not in SAMPLES:
        raise ValueError(f"path: expected one of {', '.join(SAMPLES)}; found {name!r}.")
    package, _, file = SAMPLES[name].place.partition("/")
    found = importlib.util.find_spec(package)  # does not import it, which takes seconds
    if found is None:
        raise FileNotFoundError(f"sample {name}: expected the package {package}; install requirements.txt.")
    return Path(found.submodule_search_locations[0], file)


def strangers(kind):
    """Read the samples that show none of CIFAR-10's ten classes.

    Args:
        kind: "photograph" or "texture".

    Returns:
        `utils.photos.Pictures` by name. Files that are not on this machine are named in its `unreadable`.
    """
    names = [name for name, sample in SAMPLES.items() if sample.kind == kind and sample.label is None]
    return read_all({name: path(name) for name in names}, "the samples", longest_side=512)


def credits():
    """Say who made the samples and under which licence they may be used.

    Returns:
        DataFrame with a row a sample: shows, class, credit, licence and place.
    """
    rows = {name: sample._asdict() for name, sample in (SAMPLES | ONLINE).items()}
    table = pd.DataFrame(rows).T.rename(columns={"label": "class"}).fillna({"class": "none of the ten"})
    return table[["shows", "class", "credit", "licence", "place"]].rename_axis("sample")


def download(seconds=5):
    """Fetch the photographs of `ONLINE`, all at the same time.

    Args:
        seconds: how long to wait for them, in all.

    Returns:
        `utils.photos.Pictures` by name; those that did not come are in its `unreadable`, with the reason.
    """
    readable, unreadable = {}, {}
    with ThreadPoolExecutor(len(ONLINE)) as pool:
        coming = {name: pool.submit(load_image, sample.place, seconds=seconds) for name, sample in ONLINE.items()}
        for name, picture in coming.items():
            try:
                readable[name] = picture.result()
            except ValueError as error:
                unreadable[name] = str(error)
    return Pictures(readable, unreadable)


def tiles(picture, size=128):
    """Cut a picture into squares that do not overlap; what is left over at the right and below is dropped.

    Args:
        picture: PIL image.
        size: side of the squares in pixels.

    Returns:
        A list of PIL images, row by row.
    """
    return [
        picture.crop((left, top, left + size, top + size))
        for top in range(0, picture.height - size + 1, size)
        for left in range(0, picture.width - size + 1, size)
    ]


def draw(subject, seed):
    """Draw a thing that is none of CIFAR-10's classes, in colours, size and place of its own.

    Args:
        subject: one of `SUBJECTS`.
        seed: int; the same seed draws the same picture.

    Returns:
        A PIL image of 96×96 pixels, mode RGB.

    Raises:
        ValueError: if the subject is unknown.
    """
    if subject not in SUBJECTS:
        raise ValueError(f"draw: expected one of {', '.join(SUBJECTS)}; found {subject!r}.")
    chance = random.Random(f"{subject} {seed}")
    bright, dark = [tuple(chance.randint(*limits) for _ in "rgb") for limits in ((150, 255), (0, 110))]
    ground, figure = (bright, dark) if chance.random() < 0.5 else (dark, bright)
    side = 384  # four times as large as the result, which smooths the edges
    image = Image.new("RGB", (side, side), ground)
    size = chance.uniform(0.55, 0.85) * side
    left, top = chance.uniform(0, side - size), chance.uniform(0, side - size)

    def place(*points):
        return [(left + x * size, top + y * size) for x, y in points]

    _DRAWERS[subject](ImageDraw.Draw(image), place, figure, ground)
    noisy = np.array(image.resize((96, 96), Image.Resampling.BOX), np.int16)
    noisy += np.random.default_rng(seed).normal(0, 6, noisy.shape).astype(np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


# Points in these run from 0 to 1, rightwards and downwards.


def _house(pen, place, figure, ground):
    pen.polygon(place((0, 0.45), (0.5, 0), (1, 0.45)), figure)
    pen.rectangle(place((0.12, 0.45), (0.88, 1)), figure)
    pen.rectangle(place((0.42, 0.65), (0.58, 1)), ground)
    for left in (0.2, 0.66):
        pen.rectangle(place((left, 0.55), (left + 0.14, 0.7)), ground)


def _tree(pen, place, figure, ground):
    pen.rectangle(place((0.44, 0.5), (0.56, 1)), figure)
    for x, y in ((0.5, 0.25), (0.27, 0.42), (0.73, 0.42)):
        pen.ellipse(place((x - 0.25, y - 0.25), (x + 0.25, y + 0.25)), figure)


def _umbrella(pen, place, figure, ground):
    pen.pieslice(place((0, 0.05), (1, 1.05)), 180, 360, figure)
    for x in (0.12, 0.38, 0.62, 0.88):
        pen.ellipse(place((x - 0.13, 0.48), (x + 0.13, 0.62)), ground)
    pen.rectangle(place((0.48, 0.5), (0.52, 0.95)), figure)
    pen.arc(place((0.32, 0.82), (0.52, 1)), 0, 180, figure, 10)


def _cup(pen, place, figure, ground):
    pen.polygon(place((0.05, 0.2), (0.75, 0.2), (0.65, 0.95), (0.15, 0.95)), figure)
    pen.arc(place((0.55, 0.3), (1, 0.75)), 250, 110, figure, 22)


def _face(pen, place, figure, ground):
    pen.ellipse(place((0, 0), (1, 1)), figure)
    for x in (0.32, 0.68):
        pen.ellipse(place((x - 0.07, 0.3), (x + 0.07, 0.45)), ground)
    pen.arc(place((0.22, 0.3), (0.78, 0.8)), 20, 160, ground, 16)


def _key(pen, place, figure, ground):
    pen.ellipse(place((0, 0.3), (0.4, 0.7)), figure)
    pen.ellipse(place((0.1, 0.4), (0.3, 0.6)), ground)
    pen.rectangle(place((0.38, 0.45), (1, 0.55)), figure)
    for x in (0.72, 0.86):
        pen.rectangle(place((x, 0.5), (x + 0.07, 0.7)), figure)


_DRAWERS = {"house": _house, "tree": _tree, "umbrella": _umbrella, "cup": _cup, "face": _face, "key": _key}
SUBJECTS = tuple(_DRAWERS)

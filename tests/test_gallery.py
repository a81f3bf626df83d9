"""Pictures to try a network on are where the table says, have author and licence, and are drawn alike from one seed."""

import numpy as np
import pytest
from PIL import Image

from notebooks import gallery
from notebooks.gallery import CREDITS, SUBJECTS
from tests.mirror_server import MirrorServer
from tests.tools import sync
from utils.data import CLASS_NAMES
from utils.pictures import load_image

ONLINE = CREDITS.index[CREDITS.place.str.startswith("http")]
LICENCES = (sync.PROJECT / "notebooks/images/LICENSES.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CREDITS.index.drop(ONLINE))
def test_a_picture_is_in_the_package_that_the_table_names(name):
    assert min(load_image(gallery.path(name)).size) >= 100


def test_every_picture_has_an_author_and_a_licence():
    assert list(CREDITS) == ["kind", "place", "shows", "class", "credit", "licence"] and CREDITS.index.is_unique
    assert CREDITS.notna().all(axis=None) and (CREDITS != "").all(axis=None)
    assert set(CREDITS["class"]) <= {*CLASS_NAMES, "none of the ten"}
    for licence in set(CREDITS.licence) - {"public domain", "no known copyright restrictions"}:
        assert f"[{licence}](https://creativecommons.org/" in LICENCES
    assert ONLINE.map(lambda name: f"[{name}](https://commons.wikimedia.org/wiki/File:" in LICENCES).all()
    files = {path.name for path in (sync.PROJECT / "notebooks/images").iterdir()} - {"LICENSES.md"}
    assert [name for name in files if f"| `{name}` |" not in LICENCES] == []


def test_there_are_enough_photographs_of_none_of_the_classes():
    photographs = gallery.strangers("photograph")
    assert len(photographs) >= 12 and "cat" not in photographs and not photographs.unreadable
    assert max(max(picture.size) for picture in photographs.values()) <= 512
    assert list(gallery.strangers("texture")) == ["brick", "grass", "gravel"]


def test_a_picture_that_a_package_lacks_is_left_out_and_named(monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "path", lambda name: tmp_path / f"{name}.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "brick.png")
    pictures = gallery.strangers("texture")
    assert list(pictures) == ["brick"] and list(pictures.unreadable) == ["grass", "gravel"]


def test_unknown_pictures_and_subjects_and_missing_packages_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="path: expected one of cat, astronaut, .*; found 'dog'"):
        gallery.path("dog")
    with pytest.raises(ValueError, match="draw: expected one of house, tree, umbrella, cup, face, key; found 'cat'"):
        gallery.draw("cat", 0)
    monkeypatch.setattr(gallery, "CREDITS", CREDITS.assign(place="no_such_package/cat.png"))
    with pytest.raises(FileNotFoundError, match="picture cat: expected the package no_such_package; install"):
        gallery.path("cat")


def test_photographs_on_the_web_come_by_name_or_not_at_all(monkeypatch, tmp_path):
    Image.new("RGB", (60, 40), "red").save(tmp_path / "a.png")
    with MirrorServer((tmp_path / "a.png").read_bytes()) as server:
        places = [server.url(behaviour) for behaviour in ("good", "404", "good")]
        monkeypatch.setattr(gallery, "CREDITS", CREDITS.loc[ONLINE].assign(place=places))
        pictures = gallery.online()
    assert list(pictures) == ["bird", "ship"] and pictures["bird"].size == (60, 40)
    assert list(pictures.unreadable) == ["horse"] and "404" in pictures.unreadable["horse"]


def test_tiles_cover_a_picture_without_overlap():
    pixels = np.arange(300 * 260, dtype=np.uint32).reshape(260, 300).astype(np.uint8)
    cut = gallery.tiles(Image.fromarray(pixels), size=100)
    assert [tile.size for tile in cut] == [(100, 100)] * 6
    np.testing.assert_array_equal(np.asarray(cut[4]), pixels[100:200, 100:200])


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_drawing_depends_on_its_seed_alone_and_shows_something(subject):
    drawn = [np.asarray(gallery.draw(subject, seed)) for seed in (1, 1, 2)]
    assert drawn[0].shape == (96, 96, 3) and drawn[0].dtype == np.uint8
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).mean() > 0.5
    assert all(picture.std(axis=(0, 1)).max() > 15 for picture in drawn)

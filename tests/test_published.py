"""The published network is the one its record describes, on every version and backend of Keras it is loaded with."""

import json

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits

from notebooks import gallery
from utils.data import load_cifar10
from utils.networks import PUBLISHED, load_published
from utils.photos import classify
from utils.training import RUNS, predict_views

COUNT = 250  # test images that are predicted again; the record's copy of CIFAR-10 has these ones exactly
RECORD = json.loads((RUNS / "published-seed0.json").read_text(encoding="utf-8"))
STORED = np.load(RUNS / "published-seed0.npz")


@pytest.fixture(scope="module")
def model():
    """The published network."""
    return load_published()


def patchworks():
    """Those of models/train.py, which needs TensorFlow."""
    colours = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
    return colours.repeat(8, axis=1).repeat(8, axis=2)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_stored_logits_have_the_recorded_accuracy(split):
    accuracies = RECORD[f"{split}_accuracy"]
    right = STORED[split].argmax(axis=1) == STORED[f"{split}_labels"]
    assert abs(right.sum() - accuracies[max(accuracies, key=int)] * len(right)) <= 2  # float16 makes a few ties


def test_it_names_as_many_test_images_right_as_recorded(model):
    try:
        data = load_cifar10("local")
    except FileNotFoundError:
        pytest.skip("no CIFAR-10 on this machine; the stored logits were held against the record above")
    views = int(max(RECORD["test_accuracy"], key=int))
    logits = predict_views(model, data.x_test[:COUNT], views)
    right, recorded = (
        int(np.sum(rows[:COUNT].argmax(axis=1) == data.y_test[:COUNT])) for rows in (logits, STORED["test"])
    )
    assert abs(right - recorded) <= 2


def test_it_gives_the_same_logits_under_this_version_and_backend_of_keras(model):
    np.testing.assert_allclose(predict_views(model, patchworks(), views=1), STORED["patchworks"], atol=2e-3)


def test_its_calibrated_confidence_is_kept_on_test_images_in_bins_of_equal_mass(model):
    confidence = softmax(STORED["test"].astype(float), axis=1).max(axis=1)
    promised = np.interp(confidence, *model.calibration[max(RECORD["test_accuracy"], key=int)])
    kept = STORED["test"].argmax(axis=1) == STORED["test_labels"]
    bins = np.array_split(promised.argsort(kind="stable"), 15)
    off = np.array([abs(promised[rows].mean() - kept[rows].mean()) for rows in bins])
    assert off.mean() <= 0.015 and off.max() <= 0.05


def test_the_familiarity_of_test_images_is_that_of_validation_images_and_patchworks_have_none(model):
    familiar, tested = STORED["validation_familiarity"], STORED["test_familiarity"]
    lost = np.mean(tested < np.quantile(familiar, 0.05))
    assert abs(lost - 0.05) < 0.01
    scores = predict_views(model.judge, patchworks(), views=1)[:, -1]
    assert scores.max() < np.quantile(familiar, 0.05)


def test_pictures_of_none_of_the_classes_are_not_known_at_the_price_of_one_familiar_image_in_twenty(model):
    tiles = [tile for picture in gallery.strangers("texture").values() for tile in gallery.tiles(picture)]
    digits = [np.uint8(digit * 255 / 16).repeat(4, 0).repeat(4, 1) for digit in load_digits().images[:60]]
    groups = {
        "photographs": (gallery.strangers("photograph"), 0.7),
        "textures": (tiles, 0.6),
        "drawings": ([gallery.draw(subject, seed) for subject in gallery.SUBJECTS for seed in range(10)], 0.75),
        "digits": ([np.stack([digit] * 3, axis=-1) for digit in digits], 0.95),
        "noise": (np.random.default_rng(6).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8), 0.8),
    }
    threshold = np.quantile(STORED["validation_familiarity"], 0.05)
    tables = {group: classify(model, found, views=6, threshold=threshold) for group, (found, _) in groups.items()}
    rejected = {group: 1 - table["known"].mean() for group, table in tables.items()}
    assert not {group: share for group, share in rejected.items() if share < groups[group][1]}


def test_half_precision_changes_hardly_any_answer_and_makes_the_file_small():
    assert min(RECORD["same_class_as_in_full_precision"].values()) >= 0.999
    assert PUBLISHED.stat().st_size < 10_000_000

"""The published network is the one its record describes, on every version and backend of Keras it is loaded with."""

import json

import numpy as np
import pytest

from utils.data import load_cifar10
from utils.networks import PUBLISHED, load_published
from utils.training import RUNS, predict_views

COUNT = 500  # test images that are predicted again


@pytest.fixture(scope="module")
def record():
    return json.loads((RUNS / "published-seed0.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stored():
    return np.load(RUNS / "published-seed0.npz")


@pytest.fixture(scope="module")
def network():
    return load_published()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_stored_logits_have_the_recorded_accuracy(split, record, stored):
    accuracies = record[f"{split}_accuracy"]
    right = stored[split].argmax(axis=1) == stored[f"{split}_labels"]
    assert abs(right.sum() - accuracies[max(accuracies, key=int)] * len(right)) <= 2  # float16 makes a few ties


def test_it_names_as_many_test_images_right_as_recorded(record, stored, network):
    try:
        data = load_cifar10("local")
    except FileNotFoundError:
        pytest.skip("no CIFAR-10 on this machine; the stored logits were held against the record above")
    if data.source != record["data_source"]:
        pytest.skip(f"the record was measured on other images than {data.source!r}")
    labels = data.y_test[:COUNT]
    views = int(max(record["test_accuracy"], key=int))
    right = predict_views(network, data.x_test[:COUNT], views).argmax(axis=1) == labels
    recorded = stored["test"][:COUNT].argmax(axis=1) == labels
    assert abs(int(right.sum()) - int(recorded.sum())) <= 2


def test_it_gives_the_same_logits_under_this_version_and_backend_of_keras(stored, network):
    colours = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
    patchworks = colours.repeat(8, axis=1).repeat(8, axis=2)  # those of models/train.py, which needs TensorFlow
    np.testing.assert_allclose(predict_views(network, patchworks, views=1), stored["patchworks"], atol=2e-3)


def test_half_precision_changes_hardly_any_answer_and_makes_the_file_small(record):
    assert min(record["same_class_as_in_full_precision"].values()) >= 0.999
    assert PUBLISHED.stat().st_size < 10_000_000

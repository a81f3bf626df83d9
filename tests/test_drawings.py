"""The stand-in is reproducible, varied, and neither trivial nor impossible to learn."""

import hashlib
import os

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.limited_disk import run_python
from utils import drawings
from utils.data import CLASS_NAMES
from utils.drawings import draw_cifar10_like
from utils.networks import build_model

# What can be told without looking at the shape of anything, far less than the least that the network has to reach.
TRIVIAL = 0.35
LEARNED = (0.50, 0.90)


@pytest.fixture(scope="module")
def pictures():
    return draw_cifar10_like(2000, seed=0)


@pytest.fixture(scope="module")
def training():
    return draw_cifar10_like(5000, seed=1)


@pytest.mark.parametrize("n, counts", [(1, {0, 1}), (51, {5, 6}), (200, {20}), (203, {20, 21})])
def test_arrays_have_the_form_of_cifar10_and_classes_are_as_equal_as_possible(n, counts):
    images, labels = draw_cifar10_like(n, seed=3)
    assert (images.shape, images.dtype) == ((n, 32, 32, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((n,), np.int32)
    assert set(np.bincount(labels, minlength=10)) == counts


def test_pictures_are_neither_flat_nor_alike_and_labels_are_shuffled_in_the_order_of_cifar10(pictures):
    images, labels = pictures
    assert (images.min(), images.max()) == (0, 255)
    assert images.reshape(len(images), -1).std(axis=1).min() > 10
    assert len({image.tobytes() for image in images}) == len(images)
    neighbours_alike = np.mean(labels[1:] == labels[:-1])
    assert 0.05 < neighbours_alike < 0.15, "sorted labels give 1, labels in rotation 0, shuffled ones about 0.1"
    assert tuple(drawings.SHAPES["subjects"]) == CLASS_NAMES


PROGRAM = """
import hashlib
from utils.drawings import draw_cifar10_like
images, labels = draw_cifar10_like(300, 5)
print(hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest(), end="")
"""


def test_a_seed_gives_the_same_bytes_in_every_process_and_another_one_other_pictures_in_another_order():
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    images, labels = draw_cifar10_like(300, 5)
    assert np.random.get_state()[1].tolist() == before, "the global random state is left alone"
    here = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert [run_python(PROGRAM, env=os.environ | {"PYTHONHASHSEED": seed}) for seed in "12"] == [here, here]
    other_images, other_labels = draw_cifar10_like(300, seed=6)
    assert not np.array_equal(labels, other_labels)
    assert not {image.tobytes() for image in images} & {image.tobytes() for image in other_images}


def smallest_difference(images):
    """Root mean square difference of the two most alike pictures, averaged over 4 x 4 pixels to take the grain out."""
    coarse = images.reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(len(images), -1)
    differences = np.sqrt(((coarse[:, None] - coarse[None]) ** 2).mean(axis=2))
    return differences[~np.eye(len(images), dtype=bool)].min()


def test_pictures_of_a_class_differ_in_more_than_grain(pictures):
    images, labels = pictures
    for label, name in enumerate(CLASS_NAMES):
        assert smallest_difference(images[labels == label]) > 10, name
    other_grain = np.clip(images[0] + np.random.default_rng(0).normal(0, 8, images[0].shape), 0, 255)
    assert smallest_difference(np.stack([images[0], other_grain])) < 10, "or the check could not fail"


@pytest.mark.parametrize("culprit, found", [("n", 0), ("n", 2.5), ("n", "a"), ("seed", -1), ("seed", None)])
def test_a_bad_number_is_refused_in_one_sentence(culprit, found):
    least = {"n": 1, "seed": 0}[culprit]
    expected = f"^draw_cifar10_like: {culprit} must be a whole number from {least} upwards, found {found!r}.$"
    with pytest.raises(ValueError, match=expected):
        draw_cifar10_like(**({"n": 10, "seed": 0} | {culprit: found}))


def mean_colour(images):
    return images.mean(axis=(1, 2))


def frame_colours(images):
    """Mean and spread of each colour in the outermost three pixels, and the means of the upper and the lower edge."""
    pixels = images.astype(np.float32)
    inside = np.zeros((32, 32), bool)
    inside[3:-3, 3:-3] = True
    frame, top, bottom = pixels[:, ~inside], pixels[:, :3], pixels[:, -3:]
    return np.hstack([frame.mean(axis=1), frame.std(axis=1), top.mean(axis=(1, 2)), bottom.mean(axis=(1, 2))])


def whole_picture(images):
    return images.reshape(len(images), -1) / np.float32(255)


def score(classifier, features, training, unseen):
    """Accuracy on unseen pictures of a classifier that is shown only these features of the pictures."""
    (x_train, y_train), (x_unseen, y_unseen) = training, unseen
    model = make_pipeline(StandardScaler(), classifier).fit(features(x_train), y_train)
    return model.score(features(x_unseen), y_unseen)


@pytest.mark.parametrize(
    "classifier, features",
    [
        (LogisticRegression(max_iter=1000), mean_colour),
        (LogisticRegression(max_iter=1000), frame_colours),
        (NearestCentroid(), whole_picture),
    ],
    ids=["mean colour", "frame", "mean picture of each class"],
)
def test_colour_background_and_mean_pictures_do_not_give_the_class_away(classifier, features, training, pictures):
    assert score(classifier, features, training, pictures) < TRIVIAL

    def tint(images, labels):
        return (images * np.linspace(0.3, 1, 10)[labels][:, None, None, None]).astype(np.uint8), labels

    assert score(classifier, features, tint(*training), tint(*pictures)) > TRIVIAL, "or the check could not fail"


@pytest.mark.parametrize("batch_size", [64, 256])
def test_a_small_network_learns_most_classes_but_not_all_pictures(training, pictures, batch_size):
    keras.utils.set_random_seed(0)
    model = build_model("three_conv_small")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(*training, batch_size=batch_size, epochs=5, verbose=0)
    assert LEARNED[0] < model.evaluate(*pictures, verbose=0, return_dict=True)["accuracy"] < LEARNED[1]

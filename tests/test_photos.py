"""A picture is reduced to what the model sees, and the table says what it shows, or one sentence why not."""

import re

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.test_pictures import BLUE, RED, WHITE, encoded, stripes
from utils.data import CLASS_NAMES
from utils.evaluation import energy
from utils.photos import PAD_COLOUR, WAYS, classify, to_cifar_size
from utils.pictures import Pictures, gather, load_image
from utils.training import predict_views

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


def test_a_given_pil_image_stays_as_it_is():
    given = stripes(size=(600, 600)).convert("P")
    before = given.tobytes()
    load_image(given).paste(WHITE, (0, 0, 600, 600))
    to_cifar_size(given)
    assert given.mode == "P" and given.size == (600, 600) and given.tobytes() == before


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


DIVIDED = "give np.uint8(x * 255), as the model itself divides."
WHOLE = "give the pixels of a file, as whole numbers from 0 to 255."


def test_one_row_says_class_confidence_second_guess_and_every_probability(model):
    table = classify(model, [stripes((RED, (0, 0, 204))), Image.new("RGB", (9, 9), (0, 255, 0))])
    assert list(table) == ["file", "class", "confidence", "calibrated", "second guess", "score", *CLASS_NAMES]
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


def test_what_is_unreadable_is_a_row_with_its_reason(model):
    table = classify(model, Pictures({"1.png": stripes([RED])}, {"2.svg": "why", "3.gif": "why not"}), threshold=-100)
    assert table["file"].tolist() == ["1.png", "2.svg", "3.gif"] and table["class"][0] == "airplane"
    assert table["reason"].tolist()[1:] == ["why", "why not"] and pd.isna(table["reason"][0])
    assert table.loc[1:, ["class", "confidence", "known", *CLASS_NAMES]].isna().all(axis=None)
    assert table.loc[table["known"], "file"].tolist() == ["1.png"] and table.loc[~table["known"]].empty


def test_the_way_to_cifar_size_and_the_views_are_passed_on(model):
    wide = stripes((RED, BLUE, RED), (300, 100))
    assert [classify(model, wide, how=how)["class"][0] for how in WAYS] == ["bird", "airplane", "airplane"]
    border = np.zeros((1, 32, 32, 3), np.uint8)
    border[:, 0] = 255
    averaged = predict_views(model, border, views=6)
    assert abs(averaged - predict_views(model, border, views=1)).max() > 0.01
    np.testing.assert_allclose(classify(model, border, views=6)["score"], -energy(averaged), rtol=1e-6)


def test_below_the_threshold_a_picture_is_not_known(model):
    validation = plain(np.random.default_rng(0).integers(0, 256, (40, 3)))
    scores = classify(model, validation)["score"]
    threshold = np.quantile(scores, 0.25)
    table = classify(model, validation, threshold=threshold)
    assert table["known"].sum() == 30 and table["known"].dtype == "boolean"
    assert table.loc[~table["known"], "score"].max() < threshold <= table.loc[table["known"], "score"].min()
    logits = model.predict(validation, batch_size=40, verbose=0)
    np.testing.assert_allclose(scores, -energy(logits), rtol=1e-5)


def test_a_confidence_is_calibrated_if_the_model_brings_what_it_takes():
    model, pictures = network(), plain(np.random.default_rng(0).integers(0, 256, (40, 3)))
    assert (classify(model, pictures)["calibrated"] == "not calibrated").all()
    model.calibration = {"1": [[0.2, 0.6], [0.3, 0.9]]}
    table = classify(model, pictures)
    expected = (0.3 + 1.5 * (table["confidence"] - 0.2)).clip(0.3, 0.9)
    np.testing.assert_allclose(table["calibrated"].astype(float), expected)
    assert (classify(model, pictures, views=2)["calibrated"] == "not calibrated").all()


def test_a_network_that_judges_how_familiar_a_picture_is_gives_the_score():
    model, pictures = network(), plain(np.random.default_rng(0).integers(0, 256, (40, 3)))
    plain_answers = classify(model, pictures, views=2)
    pixels = keras.Input((32, 32, 3))
    brightness = keras.ops.mean(pixels, axis=(1, 2, 3))[:, None]
    model.judge = keras.Model(pixels, keras.ops.concatenate([model(pixels), brightness], axis=1))
    answers = classify(model, pictures, views=2, threshold=128)
    pd.testing.assert_frame_equal(answers.drop(columns=["score", "known"]), plain_answers.drop(columns="score"))
    np.testing.assert_allclose(answers["score"], pictures.mean(axis=(1, 2, 3)), rtol=1e-5)
    assert (answers["known"] == (pictures.mean(axis=(1, 2, 3)) >= 128)).all()


@pytest.mark.parametrize(
    "images, options, message",
    [
        ([stripes(), "nowhere/cat.jpg"], {}, "cat.jpg: expected a picture, found none"),
        (None, {}, "expected a picture, found none that can be read (expected str, bytes or os.PathLike object"),
        ([], {}, "classify: expected at least one picture, found none; give it a picture"),
        ({}, {}, "classify: expected at least one picture, found none; give it a picture"),
        (stripes(), {"views": 3}, "expected views of 1, 2 or 6; found 3"),
        (np.ones((2, 32, 32, 3), np.float32), {}, f"float32 of shape (32, 32, 3) from 1 to 1; {DIVIDED}"),
        (np.full((2, 32, 32, 3), 254.5), {}, f"float64 of shape (32, 32, 3) from 254 to 254; {WHOLE}"),
        (np.full((2, 32, 32, 3), 300), {}, f"int64 of shape (32, 32, 3) from 300 to 300; {WHOLE}"),
        (np.full((2, 32, 32, 3), -0.5), {}, "from -0.5 to -0.5; give np.uint8((x + 1) * 127.5)."),
        (np.ones((2, 32, 32, 3), bool), {}, "bool of shape (32, 32, 3); give np.uint8(x) * 255."),
        (np.ones((2, 3, 32, 32), np.uint8), {}, "of shape (3, 32, 32) from 1 to 1; give x.transpose(1, 2, 0)."),
        (np.ones((2, 32, 32, 1), np.uint8), {}, "of shape (32, 32, 1) from 1 to 1; give np.repeat(x, 3, axis=-1)."),
        (np.ones((2, 32, 32, 4), np.uint8), {}, "from 1 to 1; give x[..., :3], without transparency."),
        (np.ones((32, 32), np.uint8), {}, "of shape (32, 32) from 1 to 1; give np.stack([x] * 3, axis=-1)."),
        ([np.ones((0, 32, 3), np.uint8)], {}, "uint8 of shape (0, 32, 3); give the pixels of a picture."),
        (np.array([["a"]]), {}, "<U1 of shape (1, 1); give the pixels of a picture."),
        ([np.ones((1, 32, 32, 3), np.uint8)], {}, "from 1 to 1; give one image of the batch, as x[0], or"),
    ],
)
def test_what_classify_cannot_answer_is_refused(images, options, message, model):
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)) as raised:
        classify(model, images, **options)
    if isinstance(images, np.ndarray):
        expected = "the pixels: expected uint8 from 0 to 255 of shape (height, width, 3), found "
        assert str(raised.value).startswith(expected)


def test_a_network_for_another_size_is_refused():
    larger = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Flatten(), keras.layers.Dense(10)])
    expected = "classify: expected a model for images of shape (32, 32, 3), found one for (64, 64, 3); train"
    with pytest.raises(ValueError, match=re.escape(expected)):
        classify(larger, stripes())


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

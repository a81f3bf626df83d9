"""The checks of the exercises answer and never raise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils import checks


@pytest.mark.parametrize("exercise", sorted(checks._CHECKS))
@pytest.mark.parametrize("answer", [..., None, "nonsense", [], lambda *_: None], ids=repr)
def test_no_answer_raises_and_nonsense_is_not_right(exercise, answer, capsys):
    checks.check(exercise, answer)
    printed = capsys.readouterr().out
    assert printed.startswith(f"Exercise {exercise}: ") and "✅" not in printed


def test_an_unknown_number_names_those_there_are(capsys):
    checks.check("99.1", 0)
    assert "there is none of this number" in capsys.readouterr().out


def answer_to(exercise, answer, capsys):
    checks.check(exercise, answer)
    said, errors = capsys.readouterr()
    assert errors == ""
    return said


def grey(images, share=1.0, seed=None, size=(1, 1, 1)):
    """Grey images where a coin of `seed` falls below `share`; `size` is the shape of one image's coins."""
    mean = tf.cast(tf.reduce_mean(tf.cast(images, tf.float32), axis=-1, keepdims=True), images.dtype)
    coins = tf.random.stateless_uniform((images.shape[0], *size), [1, 1] if seed is None else seed)
    return tf.where(coins < share, tf.repeat(mean, 3, axis=-1), images)


def grey_by_any_coins(images, labels, seed):
    return grey(images, 0.5, tf.random.uniform((2,), 0, 99, tf.int32)), labels


def grey_by_one_coin(images, labels, seed):
    return grey(images) if tf.random.stateless_uniform((), seed) < 0.5 else images, labels


def stitch(images, labels, seed, lowest=0, share=lambda width: width / 32, shift=1):
    width = tf.random.stateless_uniform((images.shape[0], 1), seed, lowest, 33, tf.int32)
    stitched = tf.where((tf.range(32) < width)[:, None, :, None], tf.roll(images, shift, axis=0), images)
    shares = tf.cast(share(width), tf.float32)
    return stitched, shares * tf.roll(labels, 1, axis=0) + (1 - shares) * labels


def fingerprint(images):
    blocks = np.float32(images).reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(len(images), -1)
    blocks -= blocks.mean(axis=1, keepdims=True)
    return blocks / np.linalg.norm(blocks, axis=1, keepdims=True)


def similar(*sides):
    """A search that compares these sides of each image, as functions of the images, with the known ones."""

    def most_similar(images, known):
        return np.max([fingerprint(side(images)) @ fingerprint(known).T for side in sides], axis=0).argmax(axis=1)

    return most_similar


def as_is(images):
    return images


def mirror(images):
    return images[:, :, ::-1]


def upside_down(images):
    return images[:, ::-1]


def exact(images, known):
    sides = [np.all(side(images)[:, None] == known, axis=(2, 3, 4)) for side in (as_is, mirror)]
    return np.logical_or(*sides).argmax(axis=1)


def similar_in_two_halves(images, known):
    both = np.concatenate([known, mirror(known)])
    return (fingerprint(images) @ fingerprint(both).T).argmax(axis=1)


def network(*, rescaled=True, last=None, from_logits=True, classes=10, rate=0.001):
    def build_network():
        keras.utils.set_random_seed(1)
        built = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                *([keras.layers.Rescaling(1 / 255)] if rescaled else []),
                keras.layers.Conv2D(16, 3, activation="relu"),
                keras.layers.MaxPooling2D(4),
                keras.layers.Flatten(),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dense(classes, activation=last),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        built.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        return built

    return build_network


def clipped(images, amount):
    return np.clip(images.astype("float32") + amount, 0, 255)


def in_place(images, amount):
    images[:] = clipped(images, amount)
    return images


def by_softmax(logits, label, limit=0.0):
    powers = np.exp(logits - logits.max())
    return -np.log(powers[label] / powers.sum() + limit)


def by_difference(logits, label, base=1.0):
    largest = max(logits)
    return float(largest + np.log(sum(np.exp(logits - largest))) - logits[label]) / base


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("01.1", lambda images, amount: np.uint8(clipped(images, amount))),
        ("01.1", lambda images, amount: np.clip(images.astype(int) + amount, 0, 255).astype(np.uint8)),
        ("01.2", lambda labels, buffer, batch: min(batch, len(np.unique(labels[: buffer + batch - 1])))),
        ("01.2", lambda labels, buffer, batch: min(batch, len(set(labels[: buffer + batch])))),
        ("01.3", similar(as_is, mirror)),
        ("01.3", lambda images, known: list(similar(as_is, mirror)(images, known))),
        ("01.3", lambda images, known: similar_in_two_halves(images, known) % len(known)),
        ("02.1", 72_730),
        ("02.1", np.float32(72_730)),
        ("02.2", by_difference),
        ("02.2", lambda logits, label: np.float32(by_difference(logits, label))),
        ("02.2", lambda logits, label: tf.nn.sparse_softmax_cross_entropy_with_logits([label], [logits])),
        ("02.3", network()),
        ("02.3", network(last="softmax", from_logits=False)),
        ("03.1", 0.8669),
        ("03.1", np.float32(0.87)),
        ("03.2", lambda images, labels, seed: (grey(images, 0.5, seed), labels)),
        ("03.2", lambda images, labels, seed: [tf.image.convert_image_dtype(grey(images, 0.5, seed), "uint8"), labels]),
        ("03.3", stitch),
        ("03.3", lambda images, labels, seed: stitch(tf.cast(images, tf.float32), labels, seed)),
    ],
)
def test_right_answers_are_right(exercise, answer, capsys):
    assert answer_to(exercise, answer, capsys) == f"Exercise {exercise}: ✅ right.\n"


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("01.1", lambda images, amount: images + np.uint8(amount), "200 + 100 came out as 44"),
        ("01.1", lambda images, amount: images.astype(int) + amount, "came out as 300: brighter than a pixel can be"),
        ("01.1", lambda images, amount: np.clip(images * 1.5, 0, 255), "became 255, 150 and 60 when brightened by 100"),
        ("01.1", lambda images, amount: np.minimum(images.astype(int) + amount, 255), "became 140, 40 and -20 with"),
        ("01.1", clipped, "But they are float32"),
        ("01.1", in_place, "changes the images it is given"),
        ("01.1", lambda images, amount: clipped(images, amount)[0], "came back with shape (1, 1, 3)"),
        ("01.2", lambda labels, buffer, batch: len(set(labels[:batch])), "more than the class that stands first"),
        ("01.2", lambda labels, buffer, batch: len(set(labels[:buffer])), "it is refilled"),
        ("01.2", lambda labels, buffer, batch: len(set(labels)), "your function says 5"),
        ("01.2", lambda labels, buffer, batch: len(set(labels[: buffer + batch])), "expects 5 classes in a batch of 3"),
        ("01.2", lambda labels, buffer, batch: min(batch, -(-(buffer + batch - 1) // 10)), "need not be in order"),
        ("01.3", similar(as_is), "mirrored ones are not"),
        ("01.3", similar(mirror), "no longer found"),
        ("01.3", similar(as_is, upside_down), "Which axis"),
        ("01.3", similar_in_two_halves, "Row numbers above 11"),
        ("01.3", lambda images, known: fingerprint(images) @ fingerprint(known).T, "returns the shape (3, 12)"),
        ("01.3", exact, "copies of other brightness are not"),
        ("02.1", 1_216, "the first convolution"),
        ("02.1", 72_640, "one more number"),
        ("02.1", 994_330, "maps of 32 × 32"),
        ("02.1", 257_050, "maps of 16 × 16"),
        ("02.1", 65_818, "filters of 3 × 3"),
        ("02.1", 64_930, "read three channels"),
        ("02.1", 13_850, "one map of 8 × 8"),
        ("02.1", 72_320, "last layer is missing"),
        ("02.1", 10_000, "too few"),
        ("02.1", 161_130, "too many"),
        ("02.2", by_softmax, "the loss is infinite"),
        ("02.2", lambda logits, label: by_softmax(logits, label, 1e-7), "the loss stops at 16.1"),
        ("02.2", lambda logits, label: -np.log(np.exp(logits[label]) / np.exp(logits).sum()), "grows too large"),
        ("02.2", lambda logits, label: -by_difference(logits, label), "the sign is wrong"),
        ("02.2", lambda logits, label: by_difference(logits, label, np.log(2)), "base 2"),
        ("02.2", lambda logits, label: by_difference(logits, label, np.log(10)), "base 10"),
        ("02.2", lambda logits, label: np.exp(-by_difference(logits, label)), "the probability, not yet"),
        ("02.2", lambda logits, label: by_difference(logits, 0), "it gives 0.41"),
        ("02.2", lambda logits, label: by_difference(abs(logits), label), "Nearly: the logits -1000"),
        ("02.3", network(rescaled=False, from_logits=False), "What numbers does its first layer see"),
        ("02.3", network(rescaled=False), "What numbers does its first layer see"),
        ("02.3", network(rescaled=False, last="softmax", from_logits=False), "What numbers does its first layer see"),
        ("02.3", network(from_logits=False), "what does the loss expect?"),
        ("02.3", network(rate=1e-7), "Check 2 fails"),
        ("02.3", network(classes=11), "has the shape (20, 11)"),
        ("03.1", 2.302585, "an answer that knows nothing"),
        ("03.1", 0, "no answer makes this loss 0"),
        ("03.1", -np.log(0.82), "only the true class is counted"),
        ("03.1", -np.log(0.8), "only the true class is counted"),
        ("03.1", -0.91 * np.log(0.91) - 0.09 * np.log(0.01), "with a smoothing of 0.1"),
        ("03.1", -0.8 * np.log(0.8) - 0.2 * np.log(0.2 / 9), "the true one included"),
        ("03.1", -0.82 * np.log2(0.82) - 0.18 * np.log2(0.02), "base 2"),
        ("03.1", 0.7, "too low"),
        ("03.1", 1.1, "too high"),
        ("03.2", lambda images, labels, seed: (grey(images), labels), "All images come out grey"),
        ("03.2", lambda images, labels, seed: (images, labels), "No image comes out grey"),
        ("03.2", grey_by_one_coin, "One coin is thrown"),
        ("03.2", lambda images, labels, seed: (grey(images, 0.5, seed, (8, 1, 1)), labels), "neither grey nor as"),
        ("03.2", lambda images, labels, seed: (grey(images, 0.1, seed), labels), "% of 400 images"),
        ("03.2", lambda images, labels, seed: (grey(images, 0.5), labels), "Another seed gave the same"),
        ("03.2", grey_by_any_coins, "The same seed gave other images"),
        ("03.2", lambda images, labels, seed: grey(images, 0.5, seed), "returns two things"),
        ("03.2", lambda images, labels, seed: (grey(images, 0.5, seed)[..., :1], labels), "with shape (400, 8, 8, 1)"),
        ("03.2", lambda images, labels, seed: (grey(images, 0.5, seed), labels + 1), "a grey ship is a ship"),
        ("03.3", lambda *batch: stitch(*batch, lowest=32), "the border lies at column 32"),
        ("03.3", lambda *batch: (stitch(*batch)[0], batch[1]), "those of the right parts"),
        ("03.3", lambda *batch: stitch(*batch, share=lambda width: 1 - width / 32), "shares are exchanged"),
        ("03.3", lambda *batch: stitch(*batch, share=lambda width: width / 64), "not those of the areas"),
        ("03.3", lambda *batch: stitch(*batch, shift=-1), "from the image before it"),
        ("03.3", lambda images, labels, seed: stitch(images, labels, [1, 1]), "Another seed gave the same"),
        ("03.3", lambda *batch: (stitch(*batch)[0], 2 * stitch(*batch)[1]), "not every label sums to 1"),
    ],
)
def test_usual_wrong_answers_get_the_hint_for_them(exercise, answer, hint, capsys):
    said = answer_to(exercise, answer, capsys)
    assert said.startswith(f"Exercise {exercise}: not yet. ") and hint in said

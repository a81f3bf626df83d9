"""The checks of the exercises answer and never raise."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from notebooks import checks
from utils import evaluation


@pytest.mark.parametrize("exercise", sorted(checks._CHECKS))
@pytest.mark.parametrize("answer", [..., None, "nonsense", [], lambda *_: None], ids=lambda it: type(it).__name__)
def test_no_answer_raises_and_nonsense_is_not_right(exercise, answer, capsys):
    checks.check(exercise, answer)
    printed = capsys.readouterr().out
    assert printed.startswith(f"Exercise {exercise}: ") and "✅" not in printed


def test_an_unknown_number_names_those_there_are(capsys):
    checks.check("99.1", 0)
    assert "there is none of this number" in capsys.readouterr().out


def answer_to(exercise, answer, capsys):
    """What the check prints about an answer."""
    checks.check(exercise, answer)
    printed, errors = capsys.readouterr()
    assert errors == ""
    return printed


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


def similar_by_sum(images, known):
    return np.sum([fingerprint(side(images)) @ fingerprint(known).T for side in (as_is, mirror)], axis=0).argmax(axis=1)


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


def shifted_down_only(logits, label):
    shift = max(0, max(logits))
    return shift + np.log(np.exp(logits - shift).sum()) - logits[label]


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
        ("01.3", similar_by_sum, "how do you join the two similarities?"),
        ("01.3", lambda images, known: similar_by_sum(images, known) % len(known), "counts for more than a perfect"),
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
        ("02.2", lambda logits, label: by_difference(logits, 0), "it gives 0.41: that is right if the largest logit"),
        ("02.2", lambda logits, label: by_difference(logits, 2), "it gives 2.41: that is the logarithm of the sum"),
        ("02.2", lambda logits, label: np.log(np.exp(logits).sum()) - logits[label], "grows too large"),
        ("02.2", lambda logits, label: np.log(np.exp(logits - max(logits)).sum()) - logits[label], "in the sum only"),
        ("02.2", lambda logits, label: by_difference(np.clip(logits, -700, 700), label), "the loss stops at 700"),
        ("02.2", lambda logits, label: by_difference(logits, label) * 2, "it gives 2.82. Compare with section 7"),
        ("02.2", lambda logits, label: by_difference(abs(logits), label), "Nearly: the logits -1000, 0"),
        ("02.2", shifted_down_only, "Nearly: the logits -1000, -1000"),
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
        ("03.2", lambda *batch: (tf.cast(grey(batch[0], 0.5, batch[2]), tf.float32), batch[1]), "come back as float32"),
        ("03.2", lambda images, labels, seed: (grey(tf.cast(images, "float32"), 0.5, seed), labels), "given as uint8"),
        ("03.2", lambda images, labels, seed: (grey(images, 0.5), labels), "Another seed gave the same"),
        ("03.2", grey_by_any_coins, "The same seed gave other images"),
        ("03.2", lambda images, labels, seed: grey(images, 0.5, seed), "returns two things"),
        ("03.2", lambda images, labels, seed: (grey(images, 0.5, seed)[..., :1], labels), "with shape (400, 8, 8, 1)"),
        ("03.2", lambda images, labels, seed: (grey(images, 0.5, seed), labels + 1), "a grey ship is a ship"),
        ("03.3", lambda *batch: stitch(*batch, lowest=32), "the border lies at column 32"),
        ("03.3", lambda *batch: stitch(*batch, lowest=16), "Of fifty widths the smallest is 16"),
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
def weighted(gradients, counts, divisor):
    return np.asarray(counts) @ np.asarray(gradients) / divisor


def predict_rate(batch, first, second):
    """Images a second, from the costs of a step that explain two measurements."""
    (small, slow), (large, fast) = first, second
    per_image = (large / fast - small / slow) / (large - small)
    return batch / (small / slow - per_image * small + per_image * batch)


def merge(means, variances):
    means, variances = np.asarray(means), np.asarray(variances)
    mean = means.mean(axis=0)
    return mean, (variances + means**2).mean(axis=0) - mean**2


def images_needed(accuracy, half_width, standard_errors=1.96):
    return accuracy * (1 - accuracy) * (standard_errors / half_width) ** 2


def know_nothing(labels):
    shares = np.bincount(labels, minlength=10) / len(labels)
    return np.tile(shares, (len(labels), 1))


def always(row):
    return lambda labels: np.tile(np.asarray(row, float), (len(labels), 1))


def cheapest_threshold(is_it, scores, false_alarm, miss, above=(2.0,)):
    def cost(threshold):
        called = scores >= threshold
        return false_alarm * np.sum(called & ~is_it) + miss * np.sum(~called & is_it)

    return min([*scores, *above], key=cost)


def by_shares(is_it, scores, false_alarm, miss):
    """As if as many pictures were cats as are none."""
    return cheapest_threshold(is_it, scores, false_alarm / np.sum(~is_it), miss / np.sum(is_it))


def best_reported(accuracy, images, models, choose=np.max, repeat=1000):
    drawn = np.random.default_rng(3).binomial(images, accuracy, size=(repeat, models)) / images
    return choose(drawn, axis=1).mean()


def most_harmful(score, image, size, best=min, start=lambda image: image):
    changes, whole = {}, start(image)
    for row in range(0, 33 - size, size):
        for column in range(0, 33 - size, size):
            hidden = whole if start is not np.copy else image.copy()
            hidden[row : row + size, column : column + size] = (125, 123, 114)
            changes[row, column] = score(hidden)
    return best(changes, key=changes.get)


def one_square(*arguments, **options):
    return most_harmful(*arguments, start=np.copy, **options)


def undo(twice):
    logarithms = np.log(twice)
    return logarithms + (1 - logarithms.sum()) / len(twice)


def distances(features, labels, new_features):
    return to_points(class_points(features, labels, np.mean), new_features)


def class_points(features, labels, middle):
    return np.stack([middle(features[labels == label], axis=0) for label in np.unique(labels)])


def to_points(points, new_features, order=2):
    return np.linalg.norm(new_features[:, np.newaxis] - points, ord=order, axis=2)


def by_products(features, labels, new_features):
    return (new_features @ class_points(features, labels, np.mean).T).argmax(axis=1)


def by_directions(features, labels, new_features):
    means = class_points(features, labels, np.mean)
    return (new_features @ means.T / np.linalg.norm(means, axis=1)).argmax(axis=1)


def to_single_numbers(features, labels, new_features):
    """As if the mean of a class were one number, over its pictures and all their features."""
    return to_points(class_points(features, labels, lambda rows, axis: [rows.mean()]), new_features).argmin(axis=1)


def choose_threshold(familiar, strange, strange_share, most):
    for threshold in sorted(familiar):
        wrong = strange_share * np.mean(strange >= threshold)
        if wrong <= most * (wrong + (1 - strange_share) * np.mean(familiar >= threshold)):
            return threshold


RIGHT = [
    ("04.1", lambda images, part, count: [part * count, images // (part * count), part * count / 1280]),
    ("04.1", lambda images, part, count: np.float32([part * count, images // (part * count), part * count / 1280])),
    ("04.2", lambda gradients, counts: np.average(gradients, axis=0, weights=counts)),
    ("04.2", lambda gradients, counts: np.float32(weighted(gradients, counts, sum(counts))).tolist()),
    ("04.3", predict_rate),
    ("04.3", lambda *arguments: round(predict_rate(*arguments))),
    ("04.4", merge),
    ("04.4", lambda *arguments: [np.float32(part).tolist() for part in merge(*arguments)]),
    ("05.1", images_needed),
    ("05.1", lambda accuracy, half_width: math.ceil(images_needed(accuracy, half_width, 2))),
    ("05.2", know_nothing),
    ("05.2", lambda labels: np.float32(know_nothing(labels)).tolist()),
    ("05.3", cheapest_threshold),
    ("05.3", lambda *arguments: np.float32(cheapest_threshold(*arguments) - 0.01)),
    ("05.4", best_reported),
    ("06.1", one_square),
    ("06.1", lambda *arguments: np.array(one_square(*arguments))),
    ("06.2", undo),
    ("06.2", lambda twice: np.round(undo(twice), 3).tolist()),
    ("06.3", lambda *arguments: distances(*arguments).argmin(axis=1)),
    ("06.3", lambda f, labels, new: to_points(class_points(f, labels, np.mean), new, order=1).argmin(axis=1)),
    ("06.3", lambda *arguments: [float(number) for number in distances(*arguments).argmin(axis=1)]),
    ("06.4", choose_threshold),
    ("06.4", lambda *arguments: float(choose_threshold(*arguments)) - 0.01),
]


@pytest.mark.parametrize(("exercise", "answer"), RIGHT)
def test_a_right_answer_is_right_in_any_form(exercise, answer, capsys):
    assert answer_to(exercise, answer, capsys) == f"Exercise {exercise}: ✅ right.\n"


WRONG = [
    ("04.1", lambda images, part, count: (part, images // part, 0.1), "all replicas together"),
    ("04.1", lambda images, part, count: (part * count, -(-images // (part * count)), 0.4), "a part of a batch"),
    ("04.1", lambda images, part, count: (part * count, images / (part * count), 0.4), "needs a whole batch"),
    ("04.1", lambda images, part, count: (part * count, images // part, 0.4), "a single replica"),
    ("04.1", lambda images, part, count: (part * count, 3, 0.4), "how many whole batches"),
    ("04.1", lambda images, part, count: (part * count, 1, 0.1), "stays 0.1"),
    ("04.1", lambda images, part, count: (part * count, 1, 0.1 * math.sqrt(part * count / 128)), "as for Adam"),
    ("04.1", lambda images, part, count: (part * count, 1, 0.1 * count), "not for 32"),
    ("04.1", lambda images, part, count: (part * count, 1, 0.3), "by what factor"),
    ("04.2", lambda gradients, counts: np.mean(gradients, axis=0), "the plain mean"),
    ("04.2", lambda gradients, counts: np.sum(gradients, axis=0), "the sum"),
    ("04.2", lambda gradients, counts: weighted(gradients, counts, 1), "How many images are there in all?"),
    ("04.2", lambda gradients, counts: weighted(gradients, counts, 3), "How many images are there in all?"),
    ("04.2", lambda gradients, counts: np.mean(gradients), "Try it by hand"),
    ("04.2", lambda gradients, counts: None, "`return` may be missing"),
    ("04.3", lambda batch, first, second: second[1], "the same for every batch"),
    ("04.3", lambda b, first, second: np.interp(b, [32, 128], [first[1], second[1]]), "Work out the seconds"),
    (
        "04.3",
        lambda b, first, second: first[1] + (second[1] - first[1]) / (second[0] - first[0]) * (b - first[0]),
        "along a straight line",
    ),
    ("04.3", lambda batch, *two: batch / predict_rate(batch, *two), "the seconds of a step"),
    ("04.3", lambda batch, *two: predict_rate(batch, *two) / batch, "steps a second"),
    ("04.4", lambda means, variances: (means.mean(), merge(means, variances)[1]), "the mean has the shape ()"),
    ("04.4", lambda means, variances: (means.mean(axis=0), variances.mean()), "the variance has the shape ()"),
    ("04.4", lambda means, variances: (means.sum(axis=0), merge(means, variances)[1]), "It was right as it stood"),
    ("04.4", lambda means, variances: (means.mean(axis=0), variances.mean(axis=0)), "it is too small"),
    ("04.4", lambda means, variances: (means.mean(axis=0), means.var(axis=0)), "between the parts"),
    ("04.4", lambda means, variances: (means.mean(axis=0), merge(means, variances)[1] ** 0.5), "standard deviation"),
    ("04.4", lambda means, variances: (means.mean(axis=0), variances.sum(axis=0)), "the sum of the variances"),
    ("04.4", lambda m, v: (m.mean(axis=0), (v + m**2).mean(axis=0)), "the mean of the squares"),
    ("04.4", lambda m, v: (m.mean(axis=0), v.mean(axis=0) + m.var(axis=0, ddof=1)), "divided by 4, or by 3?"),
    ("04.4", lambda m, v: (m.mean(axis=0), v.mean(axis=0) + m.std(axis=0)), "Are their units the same?"),
    ("04.4", lambda m, v: (m.mean(axis=0), v.max(axis=0)), "the parts differ from each other"),
    ("05.1", lambda accuracy, half_width: 10_000, "asks for just as many. Compare the three widths"),
    ("05.1", lambda accuracy, half_width: round(accuracy * (1 - accuracy) * half_width), "asks for 0 images"),
    ("05.1", lambda accuracy, half_width: math.sqrt(images_needed(accuracy, half_width)), "2.0 times as many"),
    ("05.1", lambda accuracy, half_width: images_needed(0.5, half_width), "The accuracy has an influence"),
    ("05.1", lambda accuracy, width: math.sqrt(accuracy * (1 - accuracy)) * (1.96 / width) ** 2, "2.1 times as many"),
    ("05.1", lambda accuracy, width: accuracy * (1.96 / width) ** 2, "How does the accuracy stand in the formula"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width / 2), "four times too many"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width, 1), "a quarter"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, 2 * half_width), "How long is `half_width`"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width, 3), "it is 2.3 times what is needed"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width, 1.64), "stands before the root"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width / 100), "is one of them in percent?"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width * 100), "a ten thousandth"),
    ("05.2", lambda labels: know_nothing(labels)[0], "expected the shape"),
    ("05.2", always(np.full(10, 0.2)), "no probabilities"),
    ("05.2", lambda labels: np.eye(10)[labels], "The rows differ"),
    ("05.2", always(np.eye(10)[0]), "always class 0, 100% sure, and right for 10%"),
    ("05.2", always(np.full(10, 0.1)), "Not calibrated where 55% of the labels are class 9"),
    ("05.3", lambda *arguments: 0.5, "whatever the mistakes cost"),
    ("05.3", lambda is_it, scores, alarm, miss: cheapest_threshold(is_it, scores, miss, alarm), "changed places"),
    ("05.3", lambda *arguments: cheapest_threshold(*arguments, above=()), "call nothing so"),
    ("05.3", lambda is_it, scores, alarm, miss: alarm / (alarm + miss), "there is a threshold that costs less"),
    ("05.3", by_shares, "there is a threshold that costs less"),
    ("05.4", lambda accuracy, images, models: best_reported(accuracy, images, models) * 100, "not a count or percent"),
    ("05.4", lambda *arguments: best_reported(*arguments, choose=np.mean), "on average"),
    ("05.4", lambda *arguments: best_reported(*arguments, choose=lambda drawn, axis: drawn.max()), "single model"),
    ("05.4", lambda *arguments: best_reported(*arguments, repeat=1), "many repetitions"),
    ("06.1", most_harmful, "another one afterwards"),
    ("06.1", lambda *arguments: most_harmful(*arguments, start=lambda image: image + 0), "Is there ever a second?"),
    ("06.1", lambda *arguments: one_square(*arguments, best=max), "but raises it"),
    ("06.1", lambda *arguments: one_square(*arguments)[::-1], "changed places"),
    ("06.2", lambda twice: twice, "as they were"),
    ("06.2", np.log, "the sum is not 1"),
    ("06.2", lambda twice: np.log(twice) / np.log(twice).sum(), "Undo its steps in turn"),
    ("06.2", lambda twice: undo(twice)[:2], "expected 10 numbers"),
    ("06.3", lambda features, labels, new: np.zeros(len(new), int), "the same class"),
    ("06.3", lambda features, labels, new: labels[to_points(features, new).argmin(axis=1)], "the nearest picture"),
    ("06.3", lambda features, labels, new: to_points(features, new).argmin(axis=1), "places of pictures"),
    ("06.3", lambda *arguments: distances(*arguments).argmax(axis=1), "farthest away"),
    ("06.3", distances, "Which class do they speak for?"),
    ("06.3", lambda f, labels, new: to_points(class_points(f, labels, np.median), new).argmin(axis=1), "the median"),
    ("06.3", by_products, "by products of features"),
    ("06.3", by_directions, "by products of features"),
    ("06.3", to_single_numbers, "one mean, as long as a row of features"),
    ("06.3", lambda f, labels, new: distances(f, labels, f).argmin(axis=1), "For 6 new pictures, expected 6 classes"),
    ("06.4", lambda familiar, strange, share, most: np.quantile(strange, 1 - most), "When need it be higher?"),
    ("06.4", lambda familiar, *rest: evaluation.rejection_threshold(familiar, 0.95), "When need it be higher?"),
    ("06.4", lambda f, s, share, most: choose_threshold(f, s, share, 2 * most), "too low"),
    ("06.4", lambda f, s, share, most: choose_threshold(f, s, share, most / 2), "too high"),
]


@pytest.mark.parametrize(("exercise", "answer", "hint"), WRONG)
def test_a_usual_wrong_answer_gets_its_own_hint(exercise, answer, hint, capsys):
    printed = answer_to(exercise, answer, capsys)
    assert printed.startswith(f"Exercise {exercise}: not yet. ") and hint in printed

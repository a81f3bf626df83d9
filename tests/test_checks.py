"""The checks of the exercises know right answers, have a hint for the usual wrong ones, and never raise."""

import math
from functools import partial
from itertools import product

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from notebooks.checks import check
from utils.photos import to_cifar_size

RIGHT = "✅ right."


class Several(tuple):
    """More than one answer to the same exercise."""


ANSWERS = {}  # by exercise: what a reader may answer, and after it a part of what the check says to that


def clipped(images, amount):
    return np.clip(images.astype("float32") + amount, 0, 255)


ANSWERS["01.1"] = [
    (lambda images, amount: np.uint8(clipped(images, amount)), RIGHT),
    (lambda images, amount: images + np.uint8(amount), "200 + 100 came out as 44"),
    (lambda images, amount: images.astype(int) + amount, "came out as 300: brighter than a pixel can be"),
    (lambda images, amount: np.minimum(images.astype(int) + amount, 255), "became 140, 40 and -20 with"),
    (clipped, "But they are float32"),
    (lambda images, amount: np.add(images, amount, out=images, casting="unsafe"), "changes the images it is given"),
    (lambda images, amount: None, "`return` may be missing"),
]
ANSWERS["01.2"] = [
    (lambda images: images.mean(axis=3), RIGHT),
    (lambda images: images[:, ::4, ::4], RIGHT),
    (lambda images: tf.image.resize(images, (8, 8), method="area"), RIGHT),
    (lambda images: images, "It gives 3,072 numbers an image"),
    (lambda images: images[:, :0], "It gives 0 numbers an image"),
    (lambda images: images[0], "returns the shape (32, 32, 3)"),
    (lambda images: images.mean(axis=(1, 2)) / 0, "not finite"),
    (lambda images: images[:, ::4, ::4] / 255, "Bring them to 0–255"),
    (lambda images: images.mean(axis=(1, 2)) * 0, "the same numbers"),
    (lambda images: images.mean(axis=(1, 2)) - images.mean(axis=(0, 1, 2)), "alone than among others"),
]

AS_IS, MIRRORED, UPSIDE_DOWN = np.s_[:], np.s_[:, :, ::-1], np.s_[:, ::-1]


def fingerprint(images):
    blocks = np.float32(images).reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(len(images), -1)
    blocks -= blocks.mean(axis=1, keepdims=True)
    return blocks / np.linalg.norm(blocks, axis=1, keepdims=True)


def most_similar(images, known, sides=(AS_IS, MIRRORED), join=np.max):
    return join([fingerprint(images[side]) @ fingerprint(known).T for side in sides], axis=0).argmax(axis=1)


def in_both_halves(images, known):
    return most_similar(images, np.concatenate([known, known[MIRRORED]]), [AS_IS])


ANSWERS["01.3"] = [
    (most_similar, RIGHT),
    (lambda images, known: in_both_halves(images, known) % len(known), RIGHT),
    (partial(most_similar, sides=[AS_IS]), "mirrored ones are not"),
    (partial(most_similar, sides=[AS_IS, UPSIDE_DOWN]), "Which axis"),
    (in_both_halves, "Row numbers above 11"),
    (lambda images, known: fingerprint(images) @ fingerprint(known).T, "returns the shape (3, 12)"),
    (partial(most_similar, join=np.sum), "how do you join the two similarities?"),
    (lambda images, known: None, "`return` may be missing"),
]
ANSWERS["01.4"] = [
    (lambda labels, buffer, batch: min(batch, len(np.unique(labels[: buffer + batch - 1]))), RIGHT),
    (lambda labels, buffer, batch: min(batch, len(set(labels[: buffer + batch]))), "a buffer of 1 shuffles nothing"),
    (lambda labels, buffer, batch: len(set(labels[:batch])), "more than the class that stands first"),
    (lambda labels, buffer, batch: len(set(labels[:buffer])), "it is refilled"),
    (lambda labels, buffer, batch: len(set(labels[: buffer + batch])), "expects 5 classes in a batch of 3"),
    (lambda labels, buffer, batch: min(batch, -(-(buffer + batch - 1) // 10)), "need not be in order"),
    (lambda labels, buffer, batch: None, "`return` may be missing"),
]


def own_network(
    convolutions=(32, 32, 64, 64), classes=10, scale=1 / 255, last=None, pooling=keras.layers.MaxPooling2D, bias=True
):
    """The network of exercise 02.1 with a fourth convolution: 99,754 parameters, 99,424 without biases."""
    stack = [keras.Input((32, 32, 3)), keras.layers.Rescaling(scale)]
    for filters in convolutions:
        convolution = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", use_bias=bias)
        stack += [convolution, pooling(2)]
    dense = keras.layers.Dense(128, activation="relu", use_bias=bias)
    stack += [keras.layers.Dropout(0.2), keras.layers.Flatten(), dense]
    return keras.Sequential([*stack, keras.layers.Dense(classes, activation=last, use_bias=bias)])


def larger_pooling(size):
    return keras.layers.MaxPooling2D(size + 1, strides=size, padding="same")


ANSWERS["02.1"] = [
    (Several((own_network, 99_754)), RIGHT),
    (Several((partial(own_network, (32, 32, 64)), 161_130)), "still three_conv_small"),
    (Several((partial(own_network, (32, 32, 64), pooling=keras.layers.AveragePooling2D), 161_130)), RIGHT),
    (Several((partial(own_network, (32, 32, 64), pooling=larger_pooling), 161_130)), RIGHT),
    (Several((partial(own_network, bias=False), 99_424)), RIGHT),
    (Several((own_network, 161_130)), "What does your change add"),
    (Several((partial(own_network, last="softmax"), 99_754)), "does softmax once more"),
    (Several((partial(own_network, scale=1), 99_754)), "far too sure"),
    (Several((own_network, 99_754 - 330)), "one more number besides its weights"),
    (Several((own_network, 99_754 - 1_290)), "one layer is missing"),
    (Several((own_network, 1_000)), "too few"),
    (Several((own_network, 10**6)), "too many"),
    (Several((partial(own_network, classes=11), 99_754)), "has the shape (2, 11)"),
]


def by_softmax(logits, label, limit=0.0):
    powers = np.exp(logits - logits.max())
    return -np.log(powers[label] / powers.sum() + limit)


def by_difference(logits, label, base=math.e):
    largest = max(logits)
    return float(largest + np.log(sum(np.exp(logits - largest))) - logits[label]) / math.log(base)


ANSWERS["02.3"] = [
    (by_difference, RIGHT),
    (lambda logits, label: tf.nn.sparse_softmax_cross_entropy_with_logits([label], [logits]), RIGHT),
    (by_softmax, "the loss is infinite"),
    (partial(by_softmax, limit=1e-7), "the loss stops at 16.1"),
    (lambda logits, label: np.log(np.exp(logits).sum()) - logits[label], "grows too large"),
    (lambda logits, label: -by_difference(logits, label), "the sign is wrong"),
    (partial(by_difference, base=2), "base 2"),
    (lambda logits, label: np.exp(-by_difference(logits, label)), "the probability, not yet"),
    (lambda logits, label: by_difference(logits, 0), "it gives 0.41: that is right if the largest logit"),
    (lambda logits, label: by_difference(logits, 2), "it gives 2.41: that is the logarithm of the sum"),
    (lambda logits, label: np.log(np.exp(logits - max(logits)).sum()) - logits[label], "in the sum only"),
    (lambda logits, label: by_difference(logits, label) * 2, "it gives 2.82. Compare with section 5"),
    (lambda logits, label: by_difference(abs(logits), label), "Nearly: the logits -1000, 0"),
    (lambda logits, label: None, "`return` may be missing"),
]


def network(rescaled=True, last=None, from_logits=True, classes=10, rate=0.001):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Rescaling(1 / 255)] if rescaled else []
    layers += [keras.layers.Conv2D(16, 3, activation="relu"), keras.layers.MaxPooling2D(4), keras.layers.Flatten()]
    layers += [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(classes, activation=last)]
    built = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    built.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return built


ANSWERS["02.2"] = [
    (network, RIGHT),
    (partial(network, last="softmax", from_logits=False), RIGHT),
    (partial(network, rescaled=False), "What numbers does its first layer see"),
    (partial(network, from_logits=False), "what does the loss expect?"),
    (partial(network, rate=1e-7), "Memorising fails"),
    (partial(network, classes=11), "has the shape (20, 11)"),
]


def rolled(gradients, rate, share, kept=1, fresh=1, before=True):
    parameter = velocity = 0.0
    for gradient in gradients:
        velocity = (share if before else 0) * velocity - rate * gradient * fresh
        parameter = parameter * kept + velocity
    return parameter


ANSWERS["02.4"] = [
    (rolled, RIGHT),
    (partial(rolled, before=False), "as without momentum"),
    (partial(rolled, fresh=-1), "the wrong way"),
    (partial(rolled, kept=0), "only the last step"),
    (partial(rolled, fresh=0.1), "a mean of the gradients"),
    (lambda gradients, rate, share: rolled(gradients, rate, 0.9), "a gradient of 1, then 0, 0"),
]
ANSWERS["03.1"] = [
    ((3, "better", 0.5, 0.6, 2000), RIGHT),
    ((-1.5, "no difference", 0.5, 0.51, 2000), RIGHT),
    ((0, "worse", 0.6, 0.5, 500), RIGHT),
    ((0, "worse", 0.6, 0.57, 2000), RIGHT),
    ((0, "no difference", 0.6, 0.57, 2000), RIGHT),
    ((0, "better", 0.6, 0.57, 2000), "on which side"),
    ((3, "better", 0.5, 0.51, 2000), "two standard errors are 3.2"),
    ((3, "worse", 0.5, 0.6, 2000), "on which side"),
    ((3, "perhaps", 0.5, 0.6, 2000), "choose one of 'better'"),
    ((np.nan, "better", 0.5, 0.6, 2000), "Write down a guess"),
    ((..., "better", 0.5, 0.6, 2000), "Write down a guess"),
    ((3, ..., 0.5, ..., 2000), "Put an augmentation into"),
]


def grey_half(images, labels, seed, share=0.5, coins=(400, 1, 1, 1)):
    mean = tf.cast(tf.reduce_mean(tf.cast(images, tf.float32), axis=-1, keepdims=True), images.dtype)
    chosen = tf.random.stateless_uniform(coins, seed) < share
    return tf.where(chosen, tf.repeat(mean, 3, axis=-1), images), labels


ANSWERS["03.2"] = [
    (grey_half, RIGHT),
    (partial(grey_half, share=1), "All images come out grey"),
    (partial(grey_half, coins=(1, 1, 1, 1)), "One coin is thrown"),
    (partial(grey_half, coins=(400, 8, 1, 1)), "neither grey nor as"),
    (partial(grey_half, share=0.1), "% of 400 images"),
    (lambda images, *rest: grey_half(tf.cast(images, tf.float32), *rest), "given as uint8 and come back as float32"),
    (lambda images, labels, seed: grey_half(images, labels, [1, 1]), "Another seed gave the same"),
    (lambda *batch: grey_half(*batch[:2], np.random.randint(99, size=2)), "The same seed gave other images"),
    (lambda *batch: grey_half(*batch)[0], "returns two things"),
    (lambda *batch: (grey_half(*batch)[0], batch[1] + 1), "a grey ship is a ship"),
]


def stitch(images, labels, seed, lowest=0, share=lambda width: width / 32, shift=1):
    width = tf.random.stateless_uniform((images.shape[0], 1), seed, lowest, 33, tf.int32)
    stitched = tf.where((tf.range(32) < width)[:, None, :, None], tf.roll(images, shift, axis=0), images)
    shares = tf.cast(share(width), tf.float32)
    return stitched, shares * tf.roll(labels, 1, axis=0) + (1 - shares) * labels


ANSWERS["03.3"] = [
    (stitch, RIGHT),
    (partial(stitch, lowest=32), "the border lies at column 32"),
    (lambda *batch: (stitch(*batch)[0], batch[1]), "those of the right parts"),
    (partial(stitch, share=lambda width: 1 - width / 32), "shares are exchanged"),
    (partial(stitch, share=lambda width: width / 64), "not those of the areas"),
    (partial(stitch, shift=-1), "from the image before it"),
    (lambda images, labels, seed: stitch(images, labels, [1, 1]), "Another seed gave the same"),
]
ANSWERS["03.4"] = [
    (0.87, RIGHT),
    (np.log(10), "an answer that knows nothing"),
    (0, "no answer makes this loss 0"),
    (-np.log(0.82), "only the true class is counted"),
    (-0.8 * np.log(0.8) - 0.2 * np.log(0.2 / 9), "the true one included"),
    (-0.82 * np.log2(0.82) - 0.18 * np.log2(0.02), "base 2"),
    (0.7, "too low"),
    (1.1, "too high"),
    (np.inf, "the logarithm of 0"),
]
ANSWERS["04.1"] = [
    (lambda images, part, count: [part * count, images // (part * count), part * count / 1280], RIGHT),
    (lambda images, part, count: np.float32([part * count, images // (part * count), part * count / 1280]), RIGHT),
    (lambda images, part, count: (part, images // part, 0.1), "all replicas together"),
    (lambda images, part, count: (part * count, -(-images // (part * count)), 0.4), "a part of a batch"),
    (lambda images, part, count: (part * count, images / (part * count), 0.4), "needs a whole batch"),
    (lambda images, part, count: (part * count, images // part, 0.4), "a single replica"),
    (lambda images, part, count: (part * count, 1, 0.1), "stays 0.1"),
    (lambda images, part, count: (part * count, 1, 0.1 * math.sqrt(part * count / 128)), "as for Adam"),
    (lambda images, part, count: (part * count, 1, 0.1 * count), "not for 32"),
]


def convolutions(*widths, outputs=10):
    """The network of the exercise with other widths: their number is the number of convolutions."""
    stack = [keras.Input((32, 32, 3))]
    for filters in widths:
        stack += [keras.layers.Conv2D(filters, 3, padding="same"), keras.layers.MaxPooling2D()]
    return keras.Sequential([*stack, keras.layers.Flatten(), keras.layers.Dense(128), keras.layers.Dense(outputs)])


ANSWERS["04.2"] = [
    (Several((lambda: convolutions(64, 64, 128), 3.6)), RIGHT),
    (Several((lambda: convolutions(64, 64, 128), 3.4)), RIGHT),
    (Several((lambda: convolutions(64, 64, 128), 2)), "grow by more than 2"),
    (Several((lambda: convolutions(64, 64, 128), 8)), "grow by less than 8"),
    (Several((lambda: convolutions(64, 64, 128), 2.33)), "parameters grow by 2.33"),
    (Several((lambda: convolutions(32, 32, 64), 1.0)), "as often as before"),
    (Several((lambda: convolutions(64, 64, 128, outputs=5), 3.6)), "ten logits"),
    (Several((lambda: None, 2)), "`return` may be missing"),
]
ANSWERS["04.3"] = [
    (lambda gradients, counts: np.average(gradients, axis=0, weights=counts), RIGHT),
    (lambda gradients, counts: np.float32(counts @ gradients / sum(counts)).tolist(), RIGHT),
    (lambda gradients, counts: np.mean(gradients, axis=0), "the plain mean"),
    (lambda gradients, counts: np.sum(gradients, axis=0), "the sum"),
    (lambda gradients, counts: counts @ gradients, "How many images are there in all?"),
    (lambda gradients, counts: np.mean(gradients), "Try it by hand"),
    (lambda gradients, counts: None, "`return` may be missing"),
]


def merge(means, variances):
    mean = means.mean(axis=0)
    return mean, (variances + means**2).mean(axis=0) - mean**2


ANSWERS["04.4"] = [
    (merge, RIGHT),
    (lambda means, variances: (means.mean(), merge(means, variances)[1]), "the mean has the shape ()"),
    (lambda means, variances: (means.sum(axis=0), merge(means, variances)[1]), "It was right as it stood"),
    (lambda means, variances: (means.mean(axis=0), variances.mean(axis=0)), "it is too small"),
    (lambda means, variances: (means.mean(axis=0), means.var(axis=0)), "between the parts"),
    (lambda means, variances: (means.mean(axis=0), merge(means, variances)[1] ** 0.5), "standard deviation"),
    (lambda means, variances: (means.mean(axis=0), (variances + means**2).mean(axis=0)), "the mean of the squares"),
    (lambda m, v: (m.mean(axis=0), v.mean(axis=0) + m.var(axis=0, ddof=1)), "divided by 4, or by 3?"),
]


def predict_rate(batch, first, second):
    """Images a second, from the costs of a step that explain two measurements."""
    (small, slow), (large, fast) = first, second
    per_image = (large / fast - small / slow) / (large - small)
    return batch / (small / slow - per_image * small + per_image * batch)


ANSWERS["04.5"] = [
    (predict_rate, RIGHT),
    (lambda batch, first, second: second[1], "the same for every batch"),
    (lambda batch, *two: np.polyval(np.polyfit(*zip(*two, strict=True), 1), batch), "along a straight line"),
    (lambda batch, *two: batch / predict_rate(batch, *two), "the seconds of a step"),
    (lambda batch, *two: predict_rate(batch, *two) / batch, "steps a second"),
]


def cheapest_threshold(is_it, scores, false_alarm, miss, above=(2.0,), grid=()):
    def cost(threshold):
        called = scores >= threshold
        return false_alarm * np.sum(called & ~is_it) + miss * np.sum(~called & is_it)

    return min(grid or [*scores, *above], key=cost)


ANSWERS["05.1"] = [
    (cheapest_threshold, RIGHT),
    (lambda *arguments: np.float32(cheapest_threshold(*arguments) - 1e-5), RIGHT),
    (partial(cheapest_threshold, grid=np.linspace(0, 1, 101).tolist()), "scores may lie close together"),
    (lambda *arguments: 0.5, "whatever the mistakes cost"),
    (lambda is_it, scores, alarm, miss: cheapest_threshold(is_it, scores, miss, alarm), "changed places"),
    (partial(cheapest_threshold, above=()), "call nothing so"),
    (lambda is_it, scores, alarm, miss: alarm / (alarm + miss), "there is a threshold that costs less"),
]


LABELS = np.repeat(np.arange(10), 100)
ANSWERED = np.where((LABELS == 3) & (np.arange(1_000) % 2 == 0), 5, LABELS)  # half of the cats are taken for dogs

ANSWERS["05.2"] = [
    (("cat", LABELS, ANSWERED), RIGHT),
    (("dog", LABELS, np.where(np.arange(1_000) % 7, LABELS, 0)), RIGHT),  # few enough to tell
    (("kitten", LABELS, ANSWERED), "Put the name of a class"),
    (("dog", LABELS, ANSWERED), "lower in 1 of the ten classes"),
    ((..., LABELS, ANSWERED), "in the place of your guess"),
]


def know_nothing(labels):
    return np.tile(np.bincount(labels, minlength=10) / len(labels), (len(labels), 1))


ANSWERS["05.3"] = [
    (know_nothing, RIGHT),
    (lambda labels: np.float32(know_nothing(labels)).tolist(), RIGHT),
    (lambda labels: know_nothing(labels)[0], "expected the shape"),
    (lambda labels: np.full((len(labels), 10), 0.2), "no probabilities"),
    (lambda labels: np.eye(10)[labels], "The rows differ"),
    (lambda labels: np.eye(10)[0 * labels], "always class 0, 100% sure, and right for 10%"),
    (lambda labels: np.full((len(labels), 10), 0.1), "Not calibrated where 55% of the labels are class 9"),
]


def images_needed(accuracy, half_width, standard_errors=1.96):
    return accuracy * (1 - accuracy) * (standard_errors / half_width) ** 2


ANSWERS["05.4"] = [
    (images_needed, RIGHT),
    (lambda accuracy, half_width: math.ceil(images_needed(accuracy, half_width, 2)), RIGHT),
    (lambda accuracy, half_width: 10_000, "asks for just as many. Look at section 2"),
    (lambda accuracy, half_width: images_needed(0.5, half_width), "The accuracy has an influence"),
    (lambda accuracy, half_width: accuracy * (1.96 / half_width) ** 2, "How does the accuracy stand in the formula"),
    (lambda accuracy, half_width: images_needed(accuracy, half_width / 2), "four times too many"),
    (lambda accuracy, half_width: images_needed(accuracy, half_width, 1.64), "stands before the root"),
    (lambda accuracy, half_width: images_needed(accuracy, half_width / 100), "is one of them in percent?"),
]


def best_reported(accuracy, images, models, choose=np.max, repeat=1000):
    drawn = np.random.default_rng(3).binomial(images, accuracy, size=(repeat, models)) / images
    return choose(drawn, axis=1).mean()


ANSWERS["05.5"] = [
    (best_reported, RIGHT),
    (lambda accuracy, images, models: best_reported(accuracy, images, models) * 100, "not a count or percent"),
    (partial(best_reported, choose=np.mean), "on average"),
    (partial(best_reported, choose=lambda drawn, axis: drawn.max()), "single model"),
    (partial(best_reported, repeat=1), "many repetitions"),
]


def closer(photo, guess_size=(32, 32), resample=Image.Resampling.BOX):
    side = min(photo.size) * 0.8
    left, upper = (photo.width - side) / 2, (photo.height - side) / 2
    return np.array(photo.resize(guess_size, resample, (left, upper, left + side, upper + side)))


ANSWERS["06.1"] = [
    (Several((closer, 18)), RIGHT),
    (Several((lambda photo: to_cifar_size(photo) // 2, 3)), RIGHT),
    (Several((lambda photo: to_cifar_size(photo.convert("L").convert("RGB")), 3)), RIGHT),
    (Several((lambda photo: to_cifar_size(ImageOps.crop(photo, 60)), 18)), RIGHT),
    (Several((lambda photo: to_cifar_size(ImageOps.autocontrast(photo)), 18)), RIGHT),
    (Several((lambda photo: np.array(ImageOps.autocontrast(Image.fromarray(to_cifar_size(photo)))), 18)), RIGHT),
    (Several((lambda photo: tf.constant(closer(photo)), 18)), RIGHT),
    (Several((lambda photo: closer(photo) + np.uint8(40), 18)), "How far does uint8 reach?"),
    (Several((lambda photo: (closer(photo) * 1.5).astype(np.uint8), 18)), "How far does uint8 reach?"),
    (Several((lambda photo: closer(photo) * 0, 3)), "a single colour"),
    (Several((to_cifar_size, 18)), "the same pixels as one of the ways"),
    (Several((partial(to_cifar_size, how="pad"), 18)), "the same pixels as one of the ways"),
    (Several((lambda photo: closer(photo, (64, 64)), 18)), "expects uint8 of shape (32, 32, 3)"),
    (Several((lambda photo: closer(photo) / 255, 18)), "float64 of shape"),
    (Several((lambda photo: Image.fromarray(closer(photo)), 18)), "the network expects"),
    (Several((lambda photo: closer(photo)[..., ::-1], 18)), "A red picture came back blue"),
    (Several((partial(closer, resample=Image.Resampling.NEAREST), 18)), "one of them?"),
    (Several((closer, -1)), "a whole one"),
    (Several((closer, 0.9)), "a whole one"),
]


def class_means(features, labels, mean=np.mean):
    return np.stack([mean(features[labels == label], axis=0) for label in np.unique(labels)])


def distances(features, labels, new, order=2, mean=np.mean):
    return np.linalg.norm(new[:, np.newaxis] - class_means(features, labels, mean), ord=order, axis=2)


def nearest(features, labels, new, **options):
    return distances(features, labels, new, **options).argmin(axis=1)


ANSWERS["06.2"] = [
    (nearest, RIGHT),
    (partial(nearest, order=1), RIGHT),
    (lambda features, labels, new: np.zeros(len(new), int), "the same class"),
    (lambda features, labels, new: labels[nearest(features, np.arange(7), new)], "the nearest picture"),
    (lambda features, labels, new: nearest(features, np.arange(7), new), "places of pictures"),
    (lambda *arguments: distances(*arguments).argmax(axis=1), "farthest away"),
    (distances, "Which class do they speak for?"),
    (partial(nearest, mean=np.median), "the median"),
    (lambda features, labels, new: (new @ class_means(features, labels).T).argmax(axis=1), "by products of features"),
    (partial(nearest, mean=lambda rows, axis: [rows.mean()]), "one mean, as long as a row of features"),
]


def choose_threshold(familiar, strange, strange_share, most):
    for threshold in sorted(familiar):
        wrong = strange_share * np.mean(strange >= threshold)
        if wrong <= most * (wrong + (1 - strange_share) * np.mean(familiar >= threshold)):
            return threshold


ANSWERS["06.3"] = [
    (choose_threshold, RIGHT),
    (lambda *arguments: float(choose_threshold(*arguments)) - 0.01, RIGHT),
    (lambda familiar, strange, share, most: np.quantile(strange, 1 - most), "When need it be higher?"),
    (lambda familiar, strange, share, most: np.quantile(familiar, 0.05), "When need it be higher?"),
    (lambda familiar, strange, share, most: choose_threshold(familiar, strange, share, 2 * most), "too low"),
    (lambda familiar, strange, share, most: choose_threshold(familiar, strange, share, most / 2), "too high"),
]


def most_harmful(score, image, size, best=min, once=np.asarray, each=np.copy):
    changes, image = {}, once(image)
    for row, column in product(range(0, 33 - size, size), repeat=2):
        hidden = each(image)
        hidden[row : row + size, column : column + size] = (125, 123, 114)
        changes[row, column] = score(hidden)
    return best(changes, key=changes.get)


ANSWERS["06.4"] = [
    (most_harmful, RIGHT),
    (partial(most_harmful, each=np.asarray), "another one afterwards"),
    (partial(most_harmful, once=np.copy, each=np.asarray), "Is there ever a second?"),
    (partial(most_harmful, best=max), "but raises it"),
    (lambda *arguments: most_harmful(*arguments)[::-1], "changed places"),
]


@pytest.mark.parametrize(
    ("exercise", "answer", "said"),
    [(exercise, *case) for exercise, cases in ANSWERS.items() for case in cases],
)
def test_right_answers_are_right_in_any_form_and_usual_wrong_ones_get_their_own_hint(exercise, answer, said, capsys):
    check(exercise, *(answer if isinstance(answer, Several) else [answer]))
    printed, errors = capsys.readouterr()
    verdict = f"Exercise {exercise}: {RIGHT if said == RIGHT else 'not yet. '}"
    assert printed.startswith(verdict) and said in printed and printed.count("\n") == 1 and errors == ""


@pytest.mark.parametrize("exercise", ANSWERS)
def test_three_dots_are_no_answer_yet(exercise, capsys):
    check(exercise, ...)
    assert capsys.readouterr().out.startswith(f"Exercise {exercise}: not answered yet")


def test_an_unknown_number_names_those_there_are_all_of_which_are_tested_here(capsys):
    check("99.1", 0)
    known = ", ".join(sorted(ANSWERS))
    assert capsys.readouterr().out == f"Exercise 99.1: there is none of this number; there are: {known}.\n"

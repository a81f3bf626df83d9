"""The answers of the exercises: ✅, or a hint that helps without giving the answer away."""

import copy

import numpy as np
from PIL import Image, ImageOps

from utils import photos
from utils.data import CLASS_NAMES
from utils.evaluation import are_probabilities
from utils.networks import build_model, count_flops

_CHECKS = {}


def check(exercise, *answers):
    """Say whether the answer to an exercise is right.

    Prints one line and never raises, whatever an answer does: a wrong one is part of learning and stops no notebook.

    Args:
        exercise: number of the notebook and of the exercise in it, as in "01.2".
        *answers: what the exercise asks for; `...` stands for an answer that is still missing.
    """
    print(f"Exercise {exercise}: {_shown(_judge(exercise, answers))}")


def _judge(exercise, answers):
    if exercise not in _CHECKS:
        return f"there is none of this number; there are: {', '.join(sorted(_CHECKS))}."
    if any(answer is ... for answer in answers):
        return "not answered yet: put your own code in the place of the three dots."
    try:
        with np.errstate(all="ignore"):  # what NumPy warns of is told by the hint
            hint = _CHECKS[exercise](*answers)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an answer of the wrong kind can fail anywhere, and in any way
        return f"not yet. The check cannot use this answer ({_described(error)}). Is it what was asked for?"
    return f"not yet. {hint}" if hint else "✅ right."


def _described(error):
    try:
        return f"{type(error).__name__}: {_shown(str(error), 300)}"
    except Exception:  # the text of an exception of the reader's own can fail, too
        return type(error).__name__


def _shown(text, most=600):
    """A text that every output can show, and not endless."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= most else f"{text[:most]} …"


def _exercise(number):
    """Register a function from the answers to a hint, or to None where they are right."""

    def register(function):
        _CHECKS[number] = function
        return function

    return register


# What several notebooks use


def _call(function, *arguments):
    """What a reader's function gives back for copies of these arguments."""
    return _given_back(function(*copy.deepcopy(arguments)))


def _given_back(answer):
    if answer is None:
        raise ValueError("the function gives back None, so its `return` may be missing")
    return answer


def _close(answer, right, tolerance=1e-3):
    """Whether numbers or arrays have the same shape and agree but for rounding."""
    answer, right = np.asarray(answer, float), np.asarray(right, float)
    return answer.shape == right.shape and np.allclose(answer, right, rtol=tolerance, atol=1e-6)


def _hint(answer, right, wrong, otherwise, tolerance=1e-3):
    """None for the right answer; else the hint of the usual wrong one that it equals, or a general one."""
    if _close(answer, right, tolerance):
        return None
    return next((hint for value, hint in wrong if _close(answer, value, tolerance)), otherwise)


# Notebook 01


@_exercise("01.1")
def _brighten(brighten):
    pixels = np.array([[[[200, 100, 40]]]], np.uint8)
    given = pixels.copy()
    brighter = np.asarray(_given_back(brighten(given, 100)))
    if not np.array_equal(given, pixels):
        return "The function changes the images it is given. Leave them as they are, and return new ones."
    if brighter.shape != pixels.shape:
        return f"Images of shape {pixels.shape} came back with shape {brighter.shape}."
    first = brighter.ravel()[0]
    if first == 44:
        return "200 + 100 came out as 44. In which type is the sum made, and how far does that type reach?"
    if first > 255:
        return f"200 + 100 came out as {first:.0f}: brighter than a pixel can be."
    if not np.array_equal(brighter.ravel(), [255, 200, 140]):
        return f"Pixels of 200, 100 and 40 became {_values(brighter)} when brightened by 100."
    darker = np.asarray(brighten(given, -60))
    if not np.array_equal(darker.ravel(), [140, 40, 0]):
        return f"Brightening is right. Pixels of 200, 100 and 40 became {_values(darker)} with an amount of -60."
    if brighter.dtype != np.uint8 or darker.dtype != np.uint8:
        return f"The values are right. But they are {brighter.dtype}, and images are stored as uint8."


@_exercise("01.2")
def _fewer_numbers(fewer_numbers):
    images = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    found = np.asarray(_call(fewer_numbers, images), float)
    if found.shape[:1] != (6,):
        return f"For 6 images your function returns the shape {found.shape}: one row or picture for each."
    if not 0 < found[0].size < 3_072:
        return f"It gives {found[0].size:,} numbers an image, where fewer than 3,072 are asked for. Which can go?"
    if not np.isfinite(found).all():
        return "Some of the numbers are not finite. Is something divided by zero?"
    if np.ptp(found, axis=0).max() == 0:
        return "Six different images give the same numbers, so nothing is left to tell them apart by."
    if np.abs(found).max() <= 1:
        return "Its numbers reach 1 at most, and `to_features` divides by 64: little is left. Bring them to 0–255."
    if not _close(_call(fewer_numbers, images[3:4]), found[3:4]):
        return "An image gets other numbers alone than among others. What does your function compute over all images?"


@_exercise("01.3")
def _most_similar(most_similar):
    known = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    found = np.asarray(_call(most_similar, known[[7, 2, 9]], known))
    if found.shape != (3,):
        return f"For 3 images your function returns the shape {found.shape}: one row number for each was asked for."
    mirrored = np.asarray(most_similar(known[[5, 0, 4, 11], :, ::-1], known))
    if max(found.max(), mirrored.max()) > 11:
        return "Row numbers above 11 came out, although 12 images are known. Which known image does row 12 stand for?"
    if not np.array_equal(found, [7, 2, 9]):
        return "Images that are known as they are, not mirrored, are no longer found."
    if not np.array_equal(mirrored, [5, 0, 4, 11]):
        if np.array_equal(most_similar(known[[5, 0], ::-1], known), [5, 0]):
            return "It finds images that stand on their head. Which axis of (image, row, column, channel) is mirrored?"
        return "Copies are found, mirrored ones are not. How similar is an image to the mirror image of a known one?"
    alike_both_ways = known // 2 + known[:, :, ::-1] // 2
    if not np.array_equal(most_similar(known[[7, 2, 9]], np.concatenate([known, alike_both_ways])), [7, 2, 9]):
        return (
            "Mirrored copies are found. But a known image that is rather like the given one both ways round now counts "
            "for more than a perfect copy. A copy fits in one way only: how do you join the two similarities?"
        )
    if not np.array_equal(most_similar(np.uint8(known[[3, 8]] * 0.5 + 60), known), [3, 8]):
        return "Mirrored copies are found, copies of other brightness are not. What in `fingerprint` sees to that?"


@_exercise("01.4")
def _most_classes(most_classes):
    labels = np.repeat(np.arange(5), 10)
    sorted_data = "Take 50 labels in order, ten of each class"
    counted = _call(most_classes, labels, 20, 5)
    if counted == 1:
        return f"{sorted_data}, and a buffer of 20: a batch of 5 can hold more than the class that stands first."
    if counted == 2:
        return f"{sorted_data}, and a buffer of 20: it is refilled while the batch of 5 is drawn. By which labels?"
    if counted != 3:
        return f"{sorted_data}, a buffer of 20 and a batch of 5: your function says {counted}. Draw it on paper."
    counted = most_classes(labels, 50, 3)
    if counted != 3:
        return f"The buffer is right. But your function expects {counted} classes in a batch of 3."
    if most_classes(labels, 1, 10) == 2:
        return "Nearly: a buffer of 1 shuffles nothing, so a batch of 10 holds the first ten labels. How many came in?"
    if most_classes(np.array([3, 3, 7, 3, 7, 7]), 1, 3) != 2:
        return "For labels in order it is right. But labels need not be in order: look at which ones there are."


def _values(array):
    """The numbers of an array as a reader would write them."""
    *front, last = (f"{value:g}" for value in np.ravel(array))
    return f"{', '.join(front)} and {last}"


# Notebook 02


@_exercise("02.1")
def _network_of_ones_own(build, guess):
    network = build()
    shape = tuple(network(np.zeros((2, 32, 32, 3), "float32")).shape)
    if shape != (2, 10):
        return f"For 2 images the output has the shape {shape}: ten classes need ten numbers for each image."
    right, guess = network.count_params(), float(guess)
    kinds = "Rescaling Conv2D MaxPooling2D Conv2D MaxPooling2D Conv2D MaxPooling2D Dropout Flatten Dense Dense".split()
    pooling = [layer.pool_size for layer in network.layers if hasattr(layer, "pool_size")]
    if (right, pooling) == (161_130, [(2, 2)] * 3) and [type(layer).__name__ for layer in network.layers] == kinds:
        return "This is still three_conv_small. Change a layer or add one, and your guess with it."
    biases = sum(weights.size for weights in network.get_weights() if weights.ndim == 1)
    if guess == right - biases != right:
        return "Nearly: each filter and each unit has one more number besides its weights."
    if guess in [right - layer.count_params() for layer in network.layers if layer.count_params()]:
        return "Nearly: one layer is missing in your sum."
    if guess == 161_130 != right:
        return "So many has three_conv_small. What does your change add or take away?"
    if guess != right:
        size = "few" if guess < right else "many"
        return f"That is too {size}. Count layer by layer, by the two formulas of section 4: which maps does each read?"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype("float32")
    outputs = np.asarray(network(pixels))
    if are_probabilities(outputs):
        return "The guess is right. But its ten outputs add up to 1, and the loss does softmax once more."
    if np.abs(outputs).max() > 5:
        return "The guess is right. But the first answers are far too sure. What numbers does its first layer see?"


@_exercise("02.2")
def _build_network(build_network):
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (20, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2).astype("float32")
    labels = np.arange(20) % 10
    network = build_network()
    outputs = np.asarray(network(images))
    if outputs.shape != (20, 10):
        return f"For 20 images the output has the shape {outputs.shape}: ten classes need ten numbers for each image."
    if not np.isfinite(outputs).all():
        return "Before any training, its outputs are not all finite numbers. Which layer makes them so large?"
    if np.abs(outputs).max() > (0.9 if are_probabilities(outputs) else 5):
        return "The first loss fails: knowing nothing, it is far too sure. What numbers does its first layer see?"
    if not network.evaluate(images, labels, batch_size=20, verbose=0, return_dict=True)["loss"] <= 4:
        return "The first loss fails: it is far above ln 10. What does the last layer give, what does the loss expect?"
    often = np.tile(images, (60, 1, 1, 1)), np.tile(labels, 60)  # as 60 epochs, without what each epoch costs
    network.fit(*often, batch_size=20, shuffle=False, verbose=0)
    if not network.evaluate(images, labels, batch_size=20, verbose=0, return_dict=True)["loss"] <= 1:
        return "Memorising fails: 60 epochs do not memorise twenty images. Is the learning rate too small or too large?"


@_exercise("02.3")
def _cross_entropy(cross_entropy):
    loss = _loss(cross_entropy, [2.0, 1.0, 0.0], 1)
    usual = {
        -1.4076: "the sign is wrong.",
        2.0307: "that is the logarithm to base 2, not e.",
        0.6113: "that is the logarithm to base 10, not e.",
        0.2447: "that is the probability, not yet the loss.",
        2.4076: "that is the logarithm of the sum. Where does the label come in?",
        0.4076: "that is right if the largest logit is that of the true class. Where does the label come in?",
        -0.5924: "the largest logit is subtracted in the sum only. What does that change in the result?",
    }
    for value, mistake in usual.items():
        if np.isclose(loss, value, atol=0.001):
            return f"For the logits 2, 1, 0 and label 1 it gives {value:.2f}: {mistake}"
    if not np.isclose(loss, 1.4076, atol=0.001):
        return f"For the logits 2, 1, 0 and label 1 it gives {loss:.2f}. Compare with section 5 of notebook 02."
    sure = _loss(cross_entropy, [1000.0, 0.0], 1)
    if np.isnan(sure) or not np.isfinite(_loss(cross_entropy, [1000.0, 0.0], 0)):
        return "For logits of 1000 and 0 a power of e grows too large. Which remedy was in the code?"
    if np.isinf(sure):
        return (
            "For the logits 1000, 0 and label 1 the loss is infinite: the probability was rounded to 0 before its "
            "logarithm was taken. What is the logarithm of a fraction, and of a power of e?"
        )
    if sure < 900:
        return f"For the logits 1000, 0 and label 1 the loss stops at {sure:.1f}: some limit hides how wrong that is."
    cases = (
        ([1000.0, 0.0], 1, 1000),
        ([1000.0, 0.0], 0, 0),
        ([-1000.0, 0.0], 0, 1000),
        ([-1000.0, -1000.0], 1, np.log(2)),
    )
    for logits, label, right in cases:
        if not np.isclose(_loss(cross_entropy, logits, label), right, rtol=0.001, atol=0.001):
            return f"Nearly: the logits {logits[0]:.0f}, {logits[1]:.0f} with label {label} give a wrong loss."


def _loss(cross_entropy, logits, label):
    """A loss as a number; not a number where Python refuses to compute a power."""
    try:
        return np.asarray(_call(cross_entropy, np.array(logits), label), float).item()
    except OverflowError:
        return np.nan


@_exercise("02.4")
def _momentum(momentum):
    cases = {
        "gradients of 1, 1, 1": ([1.0, 1.0, 1.0], 0.1, 0.9, -0.561),
        "gradients of 1, -1": ([1.0, -1.0], 0.1, 0.9, -0.09),
        "a gradient of 1, then 0, 0": ([1.0, 0.0, 0.0], 0.1, 0.5, -0.175),
        "no momentum": ([1.0, 2.0], 0.1, 0.0, -0.3),
    }
    usual = {
        -0.3: "as without momentum. Where does the velocity of the step before come in?",
        0.561: "the wrong way: a step goes against the gradient.",
        -0.271: "only the last step. Does the parameter keep the steps before?",
        -0.0561: "a mean of the gradients, in which each has the share 1 - share. Here each counts in full.",
    }
    for name, (gradients, rate, share, right) in cases.items():
        moved = float(momentum(gradients, rate, share))
        if not np.isclose(moved, right, rtol=1e-4, atol=1e-6):
            near = [hint for value, hint in usual.items() if np.isclose(moved, value, rtol=1e-3)]
            hint = near[0] if near and name.endswith("1, 1, 1") else f"to {moved:.4g} instead of {right:.4g}."
            return f"With {name}, a rate of {rate} and a share of {share}, the parameter moves {hint}"


# Notebook 03


@_exercise("03.1")
def _verdict(answers):
    guess, verdict, with_flip_and_crop, with_yours, count = answers
    if guess is ... or not np.isfinite(float(guess)):
        return "Write down a guess in points before you train, such as -1.5."
    if with_yours is ...:
        return "Put an augmentation into `your_augmentation`, and run the first cell again."
    verdicts = ("better", "worse", "no difference")
    if verdict not in verdicts:
        return f"As a verdict, choose one of {', '.join(map(repr, verdicts))}."
    gain = with_yours - with_flip_and_crop
    share = (with_yours + with_flip_and_crop) / 2
    chance = 2 * np.sqrt(2 * share * (1 - share) / count)  # two standard errors, as if on separate images
    ratio = gain / chance  # near to 1 or -1, two verdicts may be given
    fits = {"better": ratio > 0.85, "worse": ratio < -0.85, "no difference": abs(ratio) < 1.15}[verdict]
    numbers = f"It changed the accuracy by {100 * gain:+.1f} points; two standard errors are {100 * chance:.1f}"
    if not fits:
        return f"{numbers}. Does it lie outside of what chance alone does, and on which side?"


@_exercise("03.2")
def _grey_half(grey_half):
    import tensorflow as tf

    images = np.random.default_rng(3).integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
    seeds = [tf.constant([number, 7]) for number in range(6)]
    results = [grey_half(tf.constant(images), tf.range(400), seed) for seed in seeds]
    if hint := _form_hint(results[0], images, tf.range(400)):
        return hint
    low, high = images.min(axis=-1, keepdims=True), images.max(axis=-1, keepdims=True)
    shares = []
    for changed in (np.asarray(result[0]) for result in results):
        grey = np.all((changed == changed[..., :1]) & (changed >= low) & (changed <= high), axis=(1, 2, 3))
        if not np.all(grey | np.all(changed == images, axis=(1, 2, 3))):
            return "Some images are neither grey nor as they were. Does each coin decide for all pixels of its image?"
        shares.append(grey.mean())
    if set(shares) == {1}:
        return "All images come out grey. Throw a coin for each."
    if set(shares) == {0}:
        return "No image comes out grey."
    if set(shares) == {0, 1}:
        return "Either all images of a batch are grey or none. One coin is thrown where there should be one an image."
    if not 0.4 < shares[0] < 0.6:
        return f"{shares[0]:.0%} of 400 images came out grey. About half were asked for."
    if changed.dtype != images.dtype:
        return f"The images are right. But they were given as {images.dtype} and come back as {changed.dtype}."
    return _seed_hint(grey_half, tf.constant(images), tf.range(400))


@_exercise("03.3")
def _stitch(stitch):
    import tensorflow as tf

    batch, own = 50, np.arange(50)
    images = np.ones((batch, 32, 32, 3), np.uint8) * own.astype(np.uint8)[:, None, None, None]
    one_hot = np.eye(batch, dtype=np.float32)
    result = stitch(tf.constant(images), tf.constant(one_hot), tf.constant([4, 2]))
    if hint := _form_hint(result, images):
        return hint
    pictures, labels = np.asarray(result[0])[..., 0], np.asarray(result[1], np.float64)
    before = np.roll(own, 1)
    width = (pictures[:, 0] == before[:, None]).sum(axis=1)
    expected = np.where(np.arange(32) < width[:, None], before[:, None], own[:, None])
    if not np.array_equal(pictures, np.repeat(expected[:, None], 32, axis=1)):
        return "The left part should come from the image before it in the batch, the right part from the image itself."
    if len(set(width)) == 1:
        return f"In every image the border lies at column {width[0]}. Draw a width for each image."
    if width.min() > 5 or width.max() < 27:  # by chance in less than one of ten thousand batches of fifty
        return f"Of fifty widths the smallest is {width.min()} and the largest {width.max()}. They may go from 0 to 32."
    if np.array_equal(labels, one_hot):
        return "The images are right. The labels are still those of the right parts alone."
    if labels.shape != one_hot.shape or not np.allclose(labels.sum(axis=1), 1, atol=0.01):
        return "The images are right. But not every label sums to 1."
    share = labels[own, before] * 32
    if np.allclose(share, 32 - width, atol=0.1):
        return "The images are right. In the labels the two shares are exchanged."
    if not np.allclose(share, width, atol=0.1):
        return "The images are right. The shares in the labels are not those of the areas in the images."
    return _seed_hint(stitch, tf.constant(images), tf.constant(one_hot))


@_exercise("03.4")
def _lowest_loss(lowest):
    mistakes = {
        2.3026: "That is the loss of an answer that knows nothing. Which answer makes the loss smallest?",
        0: "The label is smoothed, so no answer makes this loss 0: what does the share of the other classes cost?",
        0.1985: "Here only the true class is counted. The other nine have their shares of the label, too.",
        0.2231: "Here only the true class is counted. The other nine have their shares of the label, too.",
        0.5003: "That is the lowest loss with a smoothing of 0.1. Here it is 0.2.",
        0.9398: "Nearly. The share is spread over all ten classes, the true one included. What does the true one get?",
        1.2506: "That is the logarithm to base 2, not e.",
    }
    label = np.where(np.arange(10) == 0, 0.82, 0.02)
    right = -np.sum(label * np.log(label))
    if not np.isfinite(float(lowest)):
        return "That is no finite number. Is the logarithm of 0 taken somewhere?"
    if abs(float(lowest) - right) > 0.006:
        near = [hint for value, hint in mistakes.items() if abs(float(lowest) - value) < 0.006]
        too = "low: no answer reaches it" if float(lowest) < right else "high: another answer does better"
        return near[0] if near else f"That is too {too}."


def _form_hint(result, images, labels=None):
    """What is wrong with the form of an augmented batch; `labels` where they have to stay as they are."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        return "An augmentation returns two things: images and labels."
    changed = np.asarray(result[0])
    if changed.shape != images.shape:
        return f"Images of shape {images.shape} came back with shape {changed.shape}."
    if labels is not None and not np.array_equal(result[1], labels):
        return "The labels should stay as they are: a grey ship is a ship."


def _seed_hint(augmentation, images, labels):
    """What is wrong with the random numbers of an augmentation."""
    import tensorflow as tf

    seeds = (tf.constant([number, 3]) for number in (1, 1, 2))
    one, again, other = (np.asarray(augmentation(images, labels, seed)[0]) for seed in seeds)
    if not np.array_equal(one, again):
        return "The same seed gave other images the second time. Which kind of random numbers avoids that?"
    if np.array_equal(one, other):
        return "Another seed gave the same images, so every batch would be changed alike. Where is `seed` used?"


# Notebook 04


@_exercise("04.1")
def _plan(plan):
    batch, steps, rate = _call(plan, 1_000, 32, 16)
    whole_batches = [
        (2, "the last of the steps gets only a part of a batch. What happens to the images left over?"),
        (1_000 / 512, "a step needs a whole batch. What happens to the images left over?"),
        (1_000 // 32, "these are the steps of a single replica. How many images does a step of all of them take?"),
    ]
    rules = [
        (0.1, "the learning rate stays 0.1, but a larger batch means fewer updates in an epoch."),
        (0.2, "the learning rate grows by a square root, as for Adam. Which rule does section 7 give for SGD?"),
        (1.6, "the learning rate grows with the replicas, but 0.1 was good for 128 images, not for 32."),
    ]
    hint = (
        _hint(batch, 512, [], "the batch is wrong: `fit` wants the images of all replicas together.")
        or _hint(steps, 1, whole_batches, "the steps are wrong: how many whole batches are in the images?")
        or _hint(rate, 0.4, rules, "the learning rate is wrong: by what factor is the batch larger than 128?")
    )
    return hint and f"For 1,000 images and 16 replicas with 32 each, {hint}"


@_exercise("04.2")
def _more_work(network, factor):
    before, now = build_model("three_conv_small"), _call(network)
    if now.output_shape != (None, 10):
        return f"The network should give ten logits for each image. Its output has the shape {now.output_shape}."
    right = count_flops(now) / count_flops(before)
    if abs(right - 1) < 0.01:
        return "The network multiplies as often as before. Give a convolution more filters, or add a layer."
    if abs(factor / right - 1) < 0.1:
        return None
    if abs(factor * before.count_params() / now.count_params() - 1) < 0.1:
        return f"The parameters grow by {factor}. But is each number of a kernel used as often in every layer?"
    direction = "more" if right > factor else "less"
    return (
        f"The multiplications grow by {direction} than {factor}. For each convolution, take the numbers of its kernel "
        "(3 x 3 x channels in x filters) times the places of its output, for each dense layer inputs x units; then "
        "compare the sums."
    )


@_exercise("04.3")
def _combine(combine):
    gradients, counts = np.array([[1.0, 0.0], [4.0, 2.0], [-2.0, 8.0]]), np.array([3, 1, 4])
    wrong_divisor = "The proportions of the parts are right, the size is not. How many images are there in all?"
    weighted = counts @ gradients
    wrong = [
        (gradients.mean(axis=0), "This is the plain mean. In it, images of a small part count for more than others."),
        (gradients.sum(axis=0), "This is the sum, to which every part contributes alike, whether large or small."),
        (weighted, wrong_divisor),
        (weighted / 3, wrong_divisor),
    ]
    otherwise = (
        "Try it by hand for one weight: one image has the gradient 3, three other images have the mean 1. What is the "
        "mean of all four? For three parts and two weights, two numbers should come back."
    )
    return _hint(_call(combine, gradients, counts), weighted / counts.sum(), wrong, otherwise)


@_exercise("04.4")
def _merge(merge):
    parts = np.random.default_rng(0).normal(size=(4, 20, 3)) + np.reshape([-3, 0, 1, 4], (4, 1, 1))
    means, variances, right = parts.mean(axis=1), parts.var(axis=1), parts.var(axis=(0, 1))
    mean, variance = _call(merge, means, variances)
    for name, numbers in (("mean", mean), ("variance", variance)):
        if np.shape(numbers) != (3,):
            return f"For three channels, expected three numbers; the {name} has the shape {np.shape(numbers)}."
    if not _close(mean, means.mean(axis=0)):
        return "The mean is wrong. It was right as it stood, because all parts are equally large."
    within, between = variances.mean(axis=0), means.var(axis=0)
    wrong = [
        (within, "it is too small. If one part is all black and one all white, what is it in each?"),
        (between, "this is only the variance between the parts. What became of that inside them?"),
        (within + np.mean(means**2, axis=0), "this is the mean of the squares. From there, what leads to a variance?"),
        (within + means.var(axis=0, ddof=1), "nearly. Are four squared differences divided by 4, or by 3?"),
        (within + means.std(axis=0), "a variance and a standard deviation seem to be added. Are their units the same?"),
        (variances.sum(axis=0), "this is the sum of the variances. With more parts it would grow and grow."),
        (np.sqrt(right), "this is the standard deviation, its square root."),
    ]
    otherwise = (
        "values differ inside each part, and the parts differ from each other. Or begin with the mean of the squares: "
        "what is it in a part whose mean and variance you know?"
    )
    hint = _hint(variance, right, wrong, otherwise)
    return hint and f"The mean is right. The variance is not: {hint}"


@_exercise("04.5")
def _predict_rate(predict_rate):
    def rate(batch):
        return batch / (0.01 + 0.0001 * batch)  # 10 ms for a step and 0.1 ms for each image

    batches = np.array([64, 512, 2048])
    answers = [float(_call(predict_rate, int(batch), (32, rate(32)), (128, rate(128)))) for batch in batches]
    line = rate(32) + (rate(128) - rate(32)) / 96 * (batches - 32)
    wrong = [
        ([answers[0]] * 3, "It is the same for every batch. But in a large one, more images share the fixed cost."),
        (line, "Throughput does not grow along a straight line, it levels off. What about the seconds of a step?"),
        (batches / rate(batches), "These are the seconds of a step. Asked are images a second."),
        (rate(batches) / batches, "These are steps a second. Asked are images a second."),
    ]
    otherwise = (
        "Work out the seconds of a step for both measured batches. By how much do the additional images lengthen it? "
        "And how long would it be without any image?"
    )
    return _hint(answers, rate(batches), wrong, otherwise, tolerance=0.01)


# Notebook 05


@_exercise("05.1")
def _cheapest_threshold(cheapest_threshold):
    is_it = np.array([0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0]) == 1
    scores = np.array([0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.9, 0.95])
    scores = 0.5 + scores / 50  # as close together as a network's may be

    def cost(threshold, false_alarm, miss):
        called = scores >= threshold
        return false_alarm * np.sum(called & ~is_it) + miss * np.sum(~called & is_it)

    def costs_least(threshold, *price):
        return cost(threshold, *price) == min(cost(other, *price) for other in (*scores, 1.1))

    prices = [(2, 5), (3, 2), (1, 10), (30, 1)]
    chosen = [float(_call(cheapest_threshold, is_it, scores, *price)) for price in prices]
    right = [costs_least(threshold, *price) for threshold, price in zip(chosen, prices, strict=True)]
    if np.isnan(chosen).any():
        return "For some costs the threshold is not a number."
    if all(right):
        return None
    if len(set(chosen)) == 1:
        return "The threshold is the same whatever the mistakes cost. Which of them does a high one avoid?"
    if all(costs_least(threshold, *price[::-1]) for threshold, price in zip(chosen[:3], prices, strict=False)):
        return "The two costs seem to have changed places. Which mistake does a low threshold make?"
    if all(right[:3]):
        return (
            "Right, except where a false alarm costs as much as thirty misses. Then it is best to call nothing so. "
            "Is such a threshold among those that you try?"
        )
    threshold, price = next((t, p) for t, p, is_right in zip(chosen, prices, right, strict=True) if not is_right)
    return (
        f"With {price[0]} for a false alarm and {price[1]} for a miss, there is a threshold that costs less than "
        f"your {threshold:.4g}. (An image at the threshold or above is called so; scores may lie close together.)"
    )


@_exercise("05.2")
def _worst_class(guess_labels_and_answers):
    guess, labels, answers = guess_labels_and_answers
    if guess not in CLASS_NAMES:
        return "Put the name of a class, such as 'ship', in the place of your guess, then train and compare."
    labels, answers = np.ravel(labels), np.ravel(answers)
    counts = np.bincount(labels, minlength=10)
    recalls = np.bincount(labels[answers == labels], minlength=10) / np.maximum(counts, 1)
    worst, guessed = recalls.argmin(), CLASS_NAMES.index(guess)
    error = np.sqrt(sum(recalls[k] * (1 - recalls[k]) / max(counts[k], 1) for k in (worst, guessed)))
    if recalls[guessed] - recalls[worst] > 2 * error:
        below = np.sum(recalls < recalls[guessed])
        return (
            f"{guess} has a recall of {recalls[guessed]:.0%}; it is lower in {below} of the ten classes. Look at the "
            "confusion matrix of this network: which classes does it take for each other?"
        )


@_exercise("05.3")
def _know_nothing(know_nothing):
    for labels in (np.repeat([6, 3, 0], (60, 30, 10)), np.tile(np.arange(10), 8), np.repeat([9, 2], (55, 45))):
        probabilities = np.asarray(_call(know_nothing, labels), float)
        if probabilities.shape != (len(labels), 10):
            return f"For {len(labels)} labels, expected the shape ({len(labels)}, 10), found {probabilities.shape}."
        if not (probabilities >= 0).all() or not np.allclose(probabilities.sum(axis=1), 1, atol=0.01):
            return "These are no probabilities: every row needs the sum 1, and no number may be below 0."
        if not np.allclose(probabilities, probabilities[0], atol=1e-6):
            return "The rows differ, so this model knows something about single images. All must get the same row."
        answer, confidence = probabilities[0].argmax(), probabilities[0].max()
        share = np.mean(labels == answer)
        if not abs(confidence - share) <= 0.006:
            return (
                f"Not calibrated where {np.mean(labels == labels[0]):.0%} of the labels are class {labels[0]}: "
                f"the answer is always class {answer}, {confidence:.0%} sure, and right for {share:.0%} of the images."
            )
    return None


@_exercise("05.4")
def _images_needed(images_needed):
    needed, for_half, for_coin = (
        float(_call(images_needed, *case)) for case in ((0.94, 0.005), (0.94, 0.0025), (0.5, 0.005))
    )
    if not min(needed, for_half, for_coin) > 0:
        return f"For 94% ± 0.5 points, the function asks for {needed:.3g} images."
    growth, for_accuracy = for_half / needed, for_coin / needed
    if not _close(growth, 4, 0.02):
        many = "just as many" if _close(growth, 1, 0.02) else f"{growth:.1f} times as many images"
        return f"For an interval half as wide, the function asks for {many}. Look at section 2 of notebook 05."
    if _close(for_accuracy, 1, 0.02):
        return "The accuracy has an influence too: a coin, with 50%, needs more images than a model with 94%."
    if not _close(for_accuracy, 0.25 / (0.94 * 0.06), 0.02):
        return (
            f"For an accuracy of 50%, the function asks for {for_accuracy:.1f} times as many images as for one of 94%. "
            "How does the accuracy stand in the formula?"
        )
    factor = needed * (0.005 / 1.96) ** 2 / (0.94 * 0.06)
    percent = "Are accuracy and half width both shares from 0 to 1 in your formula, or is one of them in percent?"
    wrong = [
        (4, "four times too many. `half_width` is the distance from the accuracy to one end of the interval."),
        (1 / 4, "about a quarter of what is needed. How long is `half_width`, and how many standard errors is that?"),
        (10_000, f"ten thousand times too many. {percent}"),
        (1 / 10_000, f"a ten thousandth of what is needed. {percent}"),
    ]
    otherwise = f"it is {factor:.2g} times what is needed. Which number stands before the root?"
    hint = _hint(factor, 1, wrong, otherwise, tolerance=0.05)  # 2 standard errors instead of 1.96 are right too
    return hint and f"The number grows as it should, but it is wrong: {hint}"


@_exercise("05.5")
def _expected_report(expected_report):
    error = np.sqrt(0.9 * 0.1 / 10_000)
    right = {1: 0, 5: 1.163, 20: 1.867, 100: 2.508}  # mean of the largest of so many normal numbers
    answers = [(float(_call(expected_report, 0.9, 10_000, count)) - 0.9) / error for count in right]
    if np.allclose(answers, list(right.values()), atol=0.2):  # in standard errors
        return None
    if not np.allclose(answers, 0, atol=10):
        return "Equal models with an accuracy of 0.9 should report something near it: a share, not a count or percent."
    if answers[3] < 1:
        return "This is what a model reports on average. But with a hundred models, the highest figure is reported."
    if answers[0] > 1:
        return "A single model leaves nothing to choose, so on average it reports its true accuracy. This is higher."
    return "Near, but off. Is it the mean of many repetitions, and is the highest figure of each repetition taken?"


# Notebook 06


@_exercise("06.1")
def _my_way(my_way, guess):
    def seen(photo):
        pixels = my_way(photo)
        return np.asarray(pixels) if hasattr(pixels, "numpy") else pixels  # a tensor

    for size in ((600, 400), (200, 500), (150, 150)):
        pixels = seen(Image.new("RGB", size, (200, 40, 90)))
        if getattr(pixels, "dtype", None) != np.uint8 or pixels.shape != (32, 32, 3):
            found = f"{getattr(pixels, 'dtype', type(pixels).__name__)} of shape {np.shape(pixels)}"
            return f"From {size[0]} × {size[1]} pixels came {found}; the network expects uint8 of shape (32, 32, 3)."
    brightening = Image.linear_gradient("L").point(lambda value: min(255, max(0, 2 * value - 128))).convert("RGB")
    if np.diff(seen(brightening)[8:24, 8:24].mean(axis=(1, 2))).min() < -60:
        return "Where a picture grows lighter, yours suddenly turns dark. How far does uint8 reach?"
    red, green, blue = pixels[8:24, 8:24].mean(axis=(0, 1))
    if blue > red:
        return "A red picture came back blue. In which order do the channels stand?"
    noise = np.random.default_rng(0).integers(0, 100, (400, 600), np.uint8)
    noise[:, 300:] += 155  # so that a way which stretches the contrast does not enlarge the noise
    if np.ptp(seen(Image.fromarray(noise).convert("RGB"))[8:24, 8:14].mean(axis=-1)) > 60:
        return "Fine noise stayed as rough as it was. Is each new pixel a mean of old ones, or one of them?"
    fractal = Image.effect_mandelbrot((600, 400), (-2, -1.2, 1, 1.2), 100)
    photo = Image.merge("RGB", (fractal, ImageOps.mirror(fractal), ImageOps.invert(fractal)))
    photo = photo.point(lambda value: 60 + value // 2)  # whose contrast can be stretched
    found = seen(photo)
    if np.ptp(found) == 0:
        return "A picture of many colours became one of a single colour. What is left for the network to see?"
    if any(np.array_equal(found, photos.to_cifar_size(photo, how)) for how in photos.WAYS):
        return "This gives the same pixels as one of the ways of section 2. What would you try that is not there?"
    if not 0 <= float(guess) == int(guess):
        return "The way is one of your own. The guess is a number of pictures: a whole one, from 0 on."
    return None


@_exercise("06.2")
def _nearest_mean(nearest_mean):
    features = np.array([[6.0, 5], [0, 0], [0, 2], [0, 20], [8, 5], [10, 1], [2, 20]])
    labels = np.array([1, 0, 0, 2, 1, 0, 2])
    new = np.array([[9.5, 2.0], [1, 1], [1, 15], [7, 6], [3, 8], [4.5, 2.5]])
    of_class = [features[labels == label] for label in range(3)]
    means = np.stack([rows.mean(axis=0) for rows in of_class])
    medians = np.stack([np.median(rows, axis=0) for rows in of_class])
    to_means, to_medians, to_points = (
        np.linalg.norm(new[:, None] - points, axis=2) for points in (means, medians, features)
    )
    answer = np.asarray(_call(nearest_mean, features, labels, new))
    if _close(answer, to_means):
        return "These are the distances to the means. Which class do they speak for?"
    if answer.shape != (len(new),):
        return f"For {len(new)} new pictures, expected {len(new)} classes; the shape here is {answer.shape}."
    products = new @ means.T
    wrong = [
        (np.full(len(new), answer[0]), "Every new picture gets the same class. Which of the means is nearest to each?"),
        (labels[to_points.argmin(axis=1)], "This is the class of the nearest picture. Asked is the nearest mean."),
        (to_points.argmin(axis=1), "These are places of pictures in the list. Asked are classes: 0, 1 or 2 here."),
        (to_means.argmax(axis=1), "These are the classes whose means are farthest away."),
        (
            to_medians.argmin(axis=1),
            "This fits the median of each feature. In a mean, a picture far from the others of its class counts too.",
        ),
    ]
    directions = "This goes by products of features, not by distances. How long is the way from a picture to a mean?"
    wrong += [(p.argmax(axis=1), directions) for p in (products, products / np.linalg.norm(means, axis=1))]
    otherwise = (
        "Each class should have one mean, as long as a row of features, and each new picture a distance to every mean. "
        "Then the class of the smallest one comes back."
    )
    return _hint(answer, to_means.argmin(axis=1), wrong, otherwise)


@_exercise("06.3")
def _choose_threshold(choose_threshold):
    familiar = np.arange(2.0, 12)
    strange = np.array([*np.linspace(0.1, 1.9, 14), 2.5, 3.5, 4.5, 6.5, 7.5, 8.5])

    def outcome(threshold, strange_share):
        kept = np.mean(familiar >= threshold)
        answered = strange_share * np.mean(strange >= threshold), (1 - strange_share) * kept
        return answered[0] / max(sum(answered), 1e-9), kept

    cases = [(0.1, 0.15), (0.9, 0.15), (0.5, 0.19), (0.5, 0.12)]
    chosen = [float(_call(choose_threshold, familiar, strange, *case)) for case in cases]
    if chosen[0] == chosen[1]:
        return "The threshold is the same if 10% of the pictures are strange and if 90% are. When need it be higher?"
    for threshold, (strange_share, most) in zip(chosen, cases, strict=True):
        case = f"If {strange_share:.0%} of the pictures are strange and {most:.0%} of the answers may be about them,"
        found, kept = outcome(threshold, strange_share)
        if not found <= most:
            return f"{case} the threshold is too low: {found:.0%} of the answers would be."
        allowed = [outcome(other, strange_share) for other in familiar]
        if kept < max(kept for found, kept in allowed if found <= most):
            return f"{case} the threshold is too high: a lower one would do, and keep more of the familiar pictures."
    return None


@_exercise("06.4")
def _most_harmful(most_harmful):
    for size, place in ((8, (8, 16)), (16, (16, 0))):
        weights = np.ones((32, 32, 1))
        weights[:size, :size] = -5
        weights[place[0] : place[0] + size, place[1] : place[1] + size] = 3
        image = np.full((32, 32, 3), 200, np.uint8)
        answer = most_harmful(lambda picture, weights=weights: float((weights * picture).sum()), image, size)
        if (image != 200).any():
            return "The picture that was given is another one afterwards. Into which array are the squares painted?"
        wrong = [
            ((0, 0), "At this place a square changes the score most, but raises it."),
            (place[::-1], "Row and column have changed places: the row comes first."),
        ]
        otherwise = "Expected the row and column where one square alone does most harm. Is there ever a second?"
        if hint := _hint(answer, place, wrong, otherwise):
            return hint
    return None

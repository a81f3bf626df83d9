"""The answers of the exercises: ✅, or a hint that helps without giving the answer away."""

import numpy as np

_CHECKS = {}


def check(exercise, *answers):
    """Say whether the answer to an exercise is right.

    Prints one line and never raises: a wrong answer is part of learning and stops no notebook.

    Args:
        exercise: number of the notebook and of the exercise in it, as in "01.2".
        *answers: what the exercise asks for; `...` stands for an answer that is still missing.
    """
    print(f"Exercise {exercise}: {_judge(exercise, answers)}")


def _judge(exercise, answers):
    if exercise not in _CHECKS:
        return f"there is none of this number; there are: {', '.join(sorted(_CHECKS))}."
    if any(answer is ... for answer in answers):
        return "not answered yet: put your own code in the place of the three dots."
    try:
        with np.errstate(all="ignore"):  # what NumPy warns of is told by the hint
            hint = _CHECKS[exercise](*answers)
    except Exception as error:  # an answer of the wrong kind can fail anywhere
        return f"not yet. The check cannot use this answer ({type(error).__name__}: {error}). Is it what was asked for?"
    return f"not yet. {hint}" if hint else "✅ right."


def _exercise(number):
    """Register a function from the answers to a hint, or to None where they are right."""

    def register(function):
        _CHECKS[number] = function
        return function

    return register


# Notebook 01


@_exercise("01.1")
def _brighten(brighten):
    pixels = np.array([[[[200, 100, 40]]]], np.uint8)
    given = pixels.copy()
    brighter = np.asarray(brighten(given, 100))
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
def _most_classes(most_classes):
    labels = np.repeat(np.arange(5), 10)
    sorted_data = "Take 50 labels in order, ten of each class"
    counted = most_classes(labels, 20, 5)
    if counted == 1:
        return f"{sorted_data}, and a buffer of 20: a batch of 5 can hold more than the class that stands first."
    if counted == 2:
        return f"{sorted_data}, and a buffer of 20: it is refilled while the batch of 5 is drawn. By which labels?"
    if counted != 3:
        return f"{sorted_data}, a buffer of 20 and a batch of 5: your function says {counted}. Draw it on paper."
    counted = most_classes(labels, 50, 3)
    if counted != 3:
        return f"The buffer is right. But your function expects {counted} classes in a batch of 3."
    if most_classes(np.array([3, 3, 7, 3, 7, 7]), 1, 3) != 2:
        return "For labels in order it is right. But labels need not be in order: look at which ones there are."


@_exercise("01.3")
def _most_similar(most_similar):
    known = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    found = np.asarray(most_similar(known[[7, 2, 9]], known))
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
    if not np.array_equal(most_similar(np.uint8(known[[3, 8]] * 0.5 + 60), known), [3, 8]):
        return "Mirrored copies are found, copies of other brightness are not. What takes care of these in section 15?"


def _values(array):
    """The numbers of an array as a reader would write them."""
    *front, last = (f"{value:g}" for value in np.ravel(array))
    return f"{', '.join(front)} and {last}"


# Notebook 02


@_exercise("02.1")
def _count_parameters(prediction):
    count = float(prediction)
    mistakes = {
        1_216: "That is the first convolution. Three more layers have parameters.",
        72_640: "Nearly: each filter and each unit has one more number besides its weights.",
        994_330: "The dense layer seems to read maps of 32 × 32. What does pooling make of them?",
        257_050: "The dense layer seems to read maps of 16 × 16. How often is there pooling?",
        65_818: "These are filters of 3 × 3. How large are they here?",
        64_930: "Each filter of the second convolution seems to read three channels. How many maps are there to read?",
        13_850: "The dense layer seems to read one map of 8 × 8. How many maps are flattened?",
        72_320: "The last layer is missing.",
    }
    if count != 72_730:
        size = "few" if count < 72_730 else "many"
        return mistakes.get(count, f"That is too {size}. Count layer by layer, with the two formulas of section 6.")


@_exercise("02.2")
def _cross_entropy(cross_entropy):
    loss = _loss(cross_entropy, [2.0, 1.0, 0.0], 1)
    usual = {-1.4076: "the sign is wrong", 2.0307: "that is the logarithm to base 2, not e"}
    usual |= {0.6113: "that is the logarithm to base 10, not e", 0.2447: "that is the probability, not yet the loss"}
    for value, mistake in usual.items():
        if np.isclose(loss, value, atol=0.001):
            return f"For the logits 2, 1, 0 and label 1 it gives {value:.2f}: {mistake}."
    if not np.isclose(loss, 1.4076, atol=0.001):
        return f"For the logits 2, 1, 0 and label 1 it gives {loss:.2f}. Compare with section 7."
    sure = _loss(cross_entropy, [1000.0, 0.0], 1)
    if np.isnan(sure) or np.isnan(_loss(cross_entropy, [1000.0, 0.0], 0)):
        return "For logits of 1000 and 0 a power of e grows too large for the computer. Which remedy has section 7?"
    if np.isinf(sure):
        return (
            "For the logits 1000, 0 and label 1 the loss is infinite: the probability was rounded to 0 before its "
            "logarithm was taken. What is the logarithm of a fraction, and of a power of e?"
        )
    if sure < 900:
        return f"For the logits 1000, 0 and label 1 the loss stops at {sure:.1f}: some limit hides how wrong that is."
    cases = (([1000.0, 0.0], 1, 1000), ([1000.0, 0.0], 0, 0), ([-1000.0, 0.0], 0, 1000))
    for logits, label, right in cases:
        if not np.isclose(_loss(cross_entropy, logits, label), right, rtol=0.001, atol=0.001):
            return f"Nearly: the logits {logits[0]:.0f}, {logits[1]:.0f} with label {label} give a wrong loss."


def _loss(cross_entropy, logits, label):
    """A loss as a number; not a number where Python refuses to compute a power."""
    try:
        return np.asarray(cross_entropy(np.array(logits), label), float).item()
    except OverflowError:
        return np.nan


@_exercise("02.3")
def _build_network(build_network):
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (20, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2).astype("float32")
    labels = np.arange(20) % 10
    network = build_network()
    outputs = np.asarray(network(images))
    if outputs.shape != (20, 10):
        return f"For 20 images the output has the shape {outputs.shape}: ten classes need ten numbers for each image."
    are_probabilities = outputs.min() >= 0 and np.allclose(outputs.sum(axis=1), 1, atol=0.01)
    if np.abs(outputs).max() > (0.9 if are_probabilities else 5):
        return "Check 1 fails: a network that knows nothing is far too sure. What numbers does its first layer see?"
    if network.evaluate(images, labels, batch_size=20, verbose=0, return_dict=True)["loss"] > 4:
        return "Check 1 fails: the loss is far above ln 10. What does the last layer give, what does the loss expect?"
    often = np.tile(images, (60, 1, 1, 1)), np.tile(labels, 60)  # as 60 epochs, without what each epoch costs
    network.fit(*often, batch_size=20, shuffle=False, verbose=0)
    if network.evaluate(images, labels, batch_size=20, verbose=0, return_dict=True)["loss"] > 1:
        return "Check 2 fails: 60 epochs do not memorise twenty images. Is the learning rate too small or too large?"


# Notebook 03


@_exercise("03.1")
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
    if abs(float(lowest) - right) > 0.006:
        near = [hint for value, hint in mistakes.items() if abs(float(lowest) - value) < 0.006]
        too = "low: no answer reaches it" if float(lowest) < right else "high: another answer does better"
        return near[0] if near else f"That is too {too}."


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

"""The checks of the exercises answer and never raise."""

import math

import numpy as np
import pytest

from utils import checks, evaluation


@pytest.mark.parametrize("exercise", sorted(checks._CHECKS))
@pytest.mark.parametrize("answer", [..., None, "nonsense", [], lambda *_: None], ids=repr)
def test_no_answer_raises_and_nonsense_is_not_right(exercise, answer, capsys):
    checks.check(exercise, answer)
    printed = capsys.readouterr().out
    assert printed.startswith(f"Exercise {exercise}: ") and "✅" not in printed


def test_an_unknown_number_names_those_there_are(capsys):
    checks.check("99.1", 0)
    assert "there is none of this number" in capsys.readouterr().out


def said(exercise, answer, capsys):
    """What the check prints about an answer."""
    checks.check(exercise, answer)
    return capsys.readouterr().out


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
    means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
    return np.linalg.norm(new_features[:, np.newaxis] - means, axis=2)


def to_pictures(features, new_features):
    return np.linalg.norm(new_features[:, np.newaxis] - features, axis=2)


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
    ("06.3", lambda *arguments: [float(number) for number in distances(*arguments).argmin(axis=1)]),
    ("06.4", choose_threshold),
    ("06.4", lambda *arguments: float(choose_threshold(*arguments)) - 0.01),
]


@pytest.mark.parametrize(("exercise", "answer"), RIGHT)
def test_a_right_answer_is_right_in_any_form(exercise, answer, capsys):
    assert said(exercise, answer, capsys) == f"Exercise {exercise}: ✅ right.\n"


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
    ("04.4", lambda means, variances: (means.mean(), merge(means, variances)[1]), "The mean is wrong"),
    ("04.4", lambda means, variances: (means.mean(axis=0), variances.mean(axis=0)), "it is too small"),
    ("04.4", lambda means, variances: (means.mean(axis=0), means.var(axis=0)), "between the parts"),
    ("04.4", lambda means, variances: (means.mean(axis=0), merge(means, variances)[1] ** 0.5), "standard deviation"),
    ("04.4", lambda means, variances: (means.mean(axis=0), variances.sum(axis=0)), "What is a part's mean square?"),
    ("05.1", lambda accuracy, half_width: 10_000, "1.0 times as many"),
    ("05.1", lambda accuracy, half_width: math.sqrt(images_needed(accuracy, half_width)), "2.0 times as many"),
    ("05.1", lambda accuracy, half_width: images_needed(0.5, half_width), "The accuracy has an influence"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width / 2), "four times too many"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width, 1), "a quarter"),
    ("05.1", lambda accuracy, half_width: images_needed(accuracy, half_width, 3), "solve it for n"),
    ("05.2", lambda labels: know_nothing(labels)[0], "expected the shape"),
    ("05.2", always(np.full(10, 0.2)), "no probabilities"),
    ("05.2", lambda labels: np.eye(10)[labels], "The rows differ"),
    ("05.2", always(np.eye(10)[0]), "always class 0, 100% sure, and right for 10%"),
    ("05.2", always(np.full(10, 0.1)), "Not calibrated where 55% of the labels are class 9"),
    ("05.3", lambda *arguments: 0.5, "whatever the mistakes cost"),
    ("05.3", lambda is_it, scores, alarm, miss: cheapest_threshold(is_it, scores, miss, alarm), "changed places"),
    ("05.3", lambda *arguments: cheapest_threshold(*arguments, above=()), "call nothing so"),
    ("05.3", lambda is_it, scores, alarm, miss: alarm / (alarm + miss), "there is a threshold that costs less"),
    ("05.4", lambda accuracy, images, models: best_reported(accuracy, images, models) * 100, "not a count or percent"),
    ("05.4", lambda *arguments: best_reported(*arguments, choose=np.mean), "on average"),
    ("05.4", lambda *arguments: best_reported(*arguments, choose=lambda drawn, axis: drawn.max()), "single model"),
    ("05.4", lambda *arguments: best_reported(*arguments, repeat=1), "many repetitions"),
    ("06.1", most_harmful, "another one afterwards"),
    ("06.1", lambda *arguments: most_harmful(*arguments, start=lambda image: image + 0), "Is there ever a second?"),
    ("06.1", lambda *arguments: one_square(*arguments, best=max), "the least harm"),
    ("06.1", lambda *arguments: one_square(*arguments)[::-1], "changed places"),
    ("06.2", lambda twice: twice, "as they were"),
    ("06.2", np.log, "the sum is not 1"),
    ("06.2", lambda twice: np.log(twice) / np.log(twice).sum(), "Undo its steps in turn"),
    ("06.2", lambda twice: undo(twice)[:2], "expected 10 numbers"),
    ("06.3", lambda features, labels, new: np.zeros(len(new), int), "the same class"),
    ("06.3", lambda features, labels, new: labels[to_pictures(features, new).argmin(axis=1)], "the nearest picture"),
    ("06.3", lambda features, labels, new: to_pictures(features, new).argmin(axis=1), "places of pictures"),
    ("06.3", lambda *arguments: distances(*arguments).argmax(axis=1), "farthest away"),
    ("06.3", distances, "one mean, as long as a row of features"),
    ("06.4", lambda familiar, *rest: evaluation.rejection_threshold(familiar, 0.95), "When need it be higher?"),
    ("06.4", lambda f, s, share, most: choose_threshold(f, s, share, 2 * most), "too low"),
    ("06.4", lambda f, s, share, most: choose_threshold(f, s, share, most / 2), "too high"),
]


@pytest.mark.parametrize(("exercise", "answer", "hint"), WRONG)
def test_a_usual_wrong_answer_gets_its_own_hint(exercise, answer, hint, capsys):
    printed = said(exercise, answer, capsys)
    assert printed.startswith(f"Exercise {exercise}: not yet. ") and hint in printed

"""One measurement of one side of a row, in a process of its own: the last line it prints is its answer as JSON.

python -m tests.benchmarks.sides SIDE FOLDER [--quick]

SIDE is the name of a function here. FOLDER is shared by all measurements of a row. An answer has a `value`, in the
unit of the row, and `facts`, numbers by name; that of a training says also whether its target was `reached`.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree as ElementTree
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from keras.datasets import cifar10

from models.train import RECIPES, build, train
from tests.benchmarks import rows
from tests.benchmarks.peak import peak_memory, peak_of_the_bare_import
from tests.benchmarks.reader import first_answer_ours, first_epoch_ours, lesson_ours, photo_ours  # noqa: F401
from utils.data import load_cifar10, subset
from utils.machine import PROFILES, describe_machine, fastest_precision
from utils.networks import CIFAR_SHAPE, build_model, count_flops
from utils.pipelines import affine, compose, crop, flip, make_dataset


def machine(run):
    """Where and on what is measured; also fills the cache of images."""
    return {"machine": f"{describe_machine()}, numpy {np.__version__}", "data": images(run).source}


def images(run):
    """The images of every row: all of them, or a few for a quick run."""
    data = load_cifar10()
    return subset(data, replace(PROFILES["test"], train=300, validation=50, test=50)) if run.quick else data


def divided_pixels(run):
    """Training and validation images as two of the articles prepare them: float64, 0 to 1."""
    data = images(run)
    return (data.x_train / 255.0, data.y_train), (data.x_validation / 255.0, data.y_validation)


def article_network(name):
    """A network as articles write it that divide the pixels beforehand: no rescaling inside, and probabilities out."""
    stack = build_model(name).layers[1:]
    stack[-1].activation = keras.activations.softmax
    model = keras.Sequential([keras.Input(CIFAR_SHAPE), *stack])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def time_to_70_theirs(run):
    data = images(run)

    def batches(pixels, labels, shuffle):
        dataset = tf.data.Dataset.from_tensor_slices((pixels, labels.astype("uint8")[:, None])).cache()
        return (dataset.shuffle(1_000) if shuffle else dataset).batch(256).prefetch(tf.data.AUTOTUNE)

    training = batches(data.x_train, data.y_train, shuffle=True)
    validation = batches(data.x_validation, data.y_validation, shuffle=False)
    start = time.time()
    model = build_model("three_conv_small")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)
    return fit_until(model, "time_to_70", run, start, 50, stopping, x=training, validation_data=validation)


def time_to_80_theirs(run):
    (x, y), validation = divided_pixels(run)
    start = time.time()
    model = article_network("three_block_dense1024")
    return fit_until(model, "time_to_80", run, start, rows.MOST_EPOCHS, x=x, y=y, validation_data=validation)


def fit_until(model, row, run, start, epochs, *callbacks, **data):
    """Train until a validation accuracy is reached, and say when that was; `start` is when the training began."""
    accuracies, ends = [], []

    def watch(epoch, logs):
        accuracies.append(logs["val_accuracy"])
        ends.append(time.time())
        model.stop_training |= reached(row, run, accuracies[-1])

    callbacks = [*callbacks, keras.callbacks.LambdaCallback(on_epoch_end=watch)]
    model.fit(**data, epochs=2 if run.quick else epochs, callbacks=callbacks, verbose=0)
    return trained(row, run, accuracies, start, ends[-1])


def train_ours(row, run):
    """Our recipe on its whole schedule; what comes after the epoch that reaches the target does not count."""
    data = images(run)
    recipe, epochs = rows.SCHEDULES[row]
    start = time.time()
    _, history = train(replace(RECIPES[recipe], epochs=epochs), data, verbose=0)
    end = time.time()
    accuracies = history["val_accuracy"]
    counted = next((n for n, accuracy in enumerate(accuracies, 1) if reached(row, run, accuracy)), epochs)
    return trained(row, run, accuracies[:counted], start, end - sum(history["seconds"][counted:]))


time_to_70_ours, time_to_80_ours = partial(train_ours, "time_to_70"), partial(train_ours, "time_to_80")


def reached(row, run, accuracy):
    return round(accuracy, 6) >= (0.2 if run.quick else rows.TARGETS[row])  # 0.7 in single precision is a little less


def trained(row, run, accuracies, start, end):
    facts = {
        "seconds from the start of the process": end - run.started,
        "epochs": len(accuracies),
        "best validation accuracy, %": 100 * max(accuracies),
    }
    return {"value": end - start, "reached": reached(row, run, max(accuracies)), "facts": facts}


def memory_theirs(run):
    (x, y), validation = divided_pixels(run)
    model = article_network("three_block_dense1024")
    return memory_at_first_step(model, x=x, y=y, epochs=20, validation_data=validation)


def memory_ours(run):
    model, batches, _ = our_training(run)
    return memory_at_first_step(model, x=batches, shuffle=False)


def memory_at_first_step(model, **options):
    """What a training needs up to its first step, with which it ends, above the bare import."""
    peaks = []

    def stop(batch, logs):
        peaks.append(peak_memory())
        model.stop_training = True

    model.fit(**options, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=stop)], verbose=0)
    bare = peak_of_the_bare_import()
    return {"value": peaks[0] - bare, "facts": {"MB after the bare import": bare, "MB in all": peaks[0]}}


def our_training(run):
    """`fast_cnn` and its batches as `models.train.train` makes them, and the recipe."""
    data = images(run)
    recipe = replace(RECIPES["fast_cnn"], batch_size=100) if run.quick else RECIPES["fast_cnn"]
    model = build(recipe, data.x_train, seed=0)
    options = {"training": True, "augment": recipe.augment[0], "one_hot": True, "seed": 0, "drop_remainder": True}
    return model, make_dataset(data.x_train, data.y_train, recipe.batch_size, **options), recipe


def augment_theirs(run):
    (x_train, y_train), _ = divided_pixels(run)
    settings = {"width_shift_range": 0.1, "height_shift_range": 0.1, "horizontal_flip": True}
    batches = tf.keras.preprocessing.image.ImageDataGenerator(**settings).flow(x_train, y_train, batch_size=32)
    return {"value": images_per_second(next(batches)[0] for _ in range(len(batches))), "facts": {}}


def augment_ours(run):
    data = images(run)
    whole_pixels = partial(crop, padding=3)
    parts_of_pixels = partial(affine, rotation=0.0, zoom=0.0)

    def speed(shift, batch_size=100 if run.quick else 512):
        augment = compose(flip, shift)
        batches = make_dataset(data.x_train, data.y_train, batch_size, training=True, augment=augment)
        return images_per_second(pixels for pixels, _ in batches)

    facts = {
        "images/s with `affine`": speed(parts_of_pixels),
        "images/s in batches of 32": speed(whole_pixels, 32),
    }
    return {"value": speed(whole_pixels), "facts": facts}


def images_per_second(batches):
    """How fast batches come after the first one."""
    next(batches)
    start = time.perf_counter()
    count = sum(len(batch) for batch in batches)
    return count / (time.perf_counter() - start)


def load_theirs(run):
    """Keras' own function, with another address and hash of the archive, and another folder for what it unpacks."""
    archive = packed_archive(run.folder)
    ours = {"origin": archive.as_uri(), "file_hash": hashlib.sha256(archive.read_bytes()).hexdigest()}
    get_file = partial(keras.utils.get_file, cache_dir=run.folder)
    with mock.patch(f"{cifar10.load_data.__module__}.get_file", lambda **options: get_file(**options | ours)):
        cifar10.load_data()
        start = time.perf_counter()
        cifar10.load_data()
    return {"value": time.perf_counter() - start, "facts": {}}


def packed_archive(folder):
    """The archive of CIFAR10_DIR, packed in the official layout where that is a folder; packed once for all repeats."""
    source = Path(os.environ["CIFAR10_DIR"])
    if source.is_file():
        return source.resolve()
    source = next(path for path in (source / "cifar-10-batches-py", source) if path.is_dir())
    archive = folder / "cifar-10-python.tar.gz"
    if not archive.exists():
        with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
            for path in sorted(source.glob("*batch*")):
                tar.add(path, f"cifar-10-batches-py/{path.name}")
    return archive


def load_ours(run):
    load_cifar10()
    start = time.perf_counter()
    data = load_cifar10()
    loaded = time.perf_counter()
    copies = [split.copy() for split in (data.x_train, data.x_validation, data.x_test)]
    copied = time.perf_counter() - start
    assert sum(len(copy) for copy in copies) == 60_000
    return {"value": loaded - start, "facts": {"seconds with all pixels copied": copied}}


def predict_theirs(run):
    model = build_model("three_conv_small")

    def name(photo):
        logits = model.predict(tf.expand_dims(photo.astype("float32"), 0), verbose=0)
        return np.argmax(tf.nn.softmax(logits[0]))

    return seconds_after_the_first(lambda photos: [name(photo) for photo in photos], run)


def predict_ours(run):
    from utils.photos import classify  # with Pandas, whose memory would count in the row `memory`

    return seconds_after_the_first(partial(classify, build_model("three_conv_small")), run)


def seconds_after_the_first(classify_all, run):
    """How long a function needs for all photos, after it had one of them."""
    photos = images(run).x_test[: 20 if run.quick else 1_000]
    classify_all(photos[:1])
    start = time.perf_counter()
    classify_all(photos)
    return {"value": time.perf_counter() - start, "facts": {}}


def roofline_theirs(run):
    sizes = (256, 512) if run.quick else (1_024, 2_048, 4_096)
    peaks = {kind: max(matrix_speed(size, kind) for size in sizes) for kind in ("float32", "bfloat16")}
    facts = {f"GFLOP/s in {kind}": peak for kind, peak in peaks.items()}
    return {"value": peaks[fastest_precision().removeprefix("mixed_")], "facts": facts}


def matrix_speed(size, kind, repeats=5):
    """The fastest of several products of two square matrices, in GFLOP/s."""
    first, second = (tf.cast(tf.random.normal((size, size)), kind) for _ in range(2))
    seconds = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        tf.linalg.matmul(first, second)[0, 0].numpy()  # waits for the product
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


def roofline_ours(run, steps=30):
    model, batches, recipe = our_training(run)
    ends = []
    clock = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter()))
    model.fit(batches.take(steps), epochs=1, callbacks=[clock], shuffle=False, verbose=0)
    step = statistics.median(later - earlier for earlier, later in pairwise(ends[len(ends) // 3 :]))
    operations = step_flops(model) * recipe.batch_size
    return {"value": operations / step / 1e9, "facts": {"ms a step": 1e3 * step, "GFLOP a step": operations / 1e9}}


def step_flops(model):
    """Floating-point operations for one image in a training step of a `fast_cnn`.

    Backwards costs twice as much as forwards, one gradient of the weights and one of the inputs. The frozen first
    convolution needs neither, the second one none of its inputs.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    first, two = (count_flops(keras.Model(model.input, layer.output)) for layer in convolutions[:2])
    return 3 * count_flops(model) - 2 * first - (two - first)


def suite_ours(run):
    report = run.folder / "report.xml"
    arguments = f"--junitxml={report} {'-n 1 tests/test_machine.py' if run.quick else ''}"
    command = ["make", "-o", ".venv/.installed", "test", f"PYTEST_ARGS={arguments}"]
    settings = {key: value for key, value in os.environ.items() if key != "TUTORIAL_PROFILE"}
    start = time.perf_counter()
    subprocess.run(command, env=settings, stdout=sys.stderr, check=True)
    return {"value": (time.perf_counter() - start) / 60, "facts": minutes_by_file(report)}


def minutes_by_file(report):
    """Minutes of each notebook, and of all other tests together, from pytest's report."""
    minutes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        place = case.get("classname")
        name = place.removesuffix(".ipynb").rpartition(".")[2] if place.startswith("notebooks.") else "other tests"
        minutes[f"min in {name}"] = minutes.get(f"min in {name}", 0) + float(case.get("time")) / 60
    return dict(sorted(minutes.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--started", type=float, default=time.time(), help="when the process was started")
    parser.add_argument("--quick", action="store_true", help="few images, few repeats: only to see whether it runs")
    run = parser.parse_args()
    try:
        with redirect_stdout(sys.stderr):  # what the measured code prints is not the answer
            answer = globals()[run.side](run)
    except Exception as error:
        sys.exit(f"{run.side} could not run: {type(error).__name__}: {error}")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

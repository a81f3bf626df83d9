"""Profile, description of the machine, and devices: `connect` says why, survives what TPUs are known to do, and
computes the same on two.

Every case of `connect` runs in a process of its own, since devices are fixed once a backend has begun to compute. The
backend is the one that is installed here: TensorFlow, or JAX where there is no TensorFlow, as on Colab's TPU runtimes.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.machine import (
    PROFILES,
    TPU_PACKAGES,
    choose_profile,
    describe_machine,
    describe_processor,
    fastest_precision,
    native_log_discarded,
)

ROOT = Path(__file__).parents[1]
HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
BACKEND = os.environ.get("KERAS_BACKEND") or ("tensorflow" if HAS_TENSORFLOW else "jax")
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="about TensorFlow, which is not used here")
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="about JAX, which is not used here")


@pytest.mark.parametrize("name", ["full", "class", "test"])
def test_the_variable_decides_and_one_line_says_which_why_and_how_to_change_it(name, monkeypatch, capsys):
    monkeypatch.setenv("TUTORIAL_PROFILE", name)
    assert choose_profile() is PROFILES[name]
    printed = capsys.readouterr().out
    assert printed.startswith(f"Profile {name} (set by TUTORIAL_PROFILE)")
    assert printed.count("\n") == 1
    assert "To change it, set TUTORIAL_PROFILE" in printed


def test_without_the_variable_the_accelerator_decides(monkeypatch, capsys):
    tf = pytest.importorskip("tensorflow")
    monkeypatch.delenv("TUTORIAL_PROFILE")
    has_accelerator = bool(tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"))
    assert choose_profile().name == ("full" if has_accelerator else "class")
    assert "found" in capsys.readouterr().out


def test_an_unknown_name_is_refused_with_the_names_that_exist(monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    with pytest.raises(ValueError, match="TUTORIAL_PROFILE=quick: expected one of full, class, test"):
        choose_profile()


def test_the_full_profile_is_all_of_cifar10_and_every_size_divides_by_the_ten_classes():
    assert (PROFILES["full"].train, PROFILES["full"].validation, PROFILES["full"].test) == (45_000, 5_000, 10_000)
    for profile in PROFILES.values():
        assert all(size % 10 == 0 for size in (profile.train, profile.validation, profile.test))


def test_epochs_shrink_with_the_profile_but_never_to_none():
    assert PROFILES["full"].epochs(30) == 30
    assert PROFILES["full"].epochs(30) > PROFILES["class"].epochs(30) > PROFILES["test"].epochs(30) >= 1
    assert PROFILES["test"].epochs(1) == 1


def test_the_machine_is_described_in_one_line_with_versions():
    import keras

    line = describe_machine()
    assert "\n" not in line and f"keras {keras.__version__}" in line
    assert line.startswith(f"{describe_processor()}, ") and f"{os.cpu_count()} cores of " in line


def test_a_16_bit_unit_is_named_if_and_only_if_the_processor_has_one_and_decides_the_precision():
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    has_one = bool({"amx_bf16", "avx512_bf16"} & flags)
    assert ("_bf16)" in describe_processor()) == has_one == (fastest_precision() == "mixed_bfloat16")


def test_a_machine_without_tensorflow_is_told_what_to_do_in_one_sentence():
    """A real interpreter whose TensorFlow cannot be found, as on Colab's TPU runtime."""
    hide = (
        "import importlib.util as u, sys\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'tensorflow' else find(name, *rest)\n"
        "from utils.machine import describe_machine\n"
        "try: describe_machine()\n"
        "except RuntimeError as error: print(error)\n"
    )
    settings = os.environ | {"KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", hide]
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("tensorflow is not installed here."), done.stderr
    assert "Change runtime type" in done.stdout


def test_what_native_code_logs_is_dropped_and_only_meanwhile(capfd):
    os.write(2, b"before ")
    with pytest.raises(KeyError), native_log_discarded():
        os.write(2, b"meanwhile ")
        raise KeyError
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


TRAIN = """
import tempfile
import keras
import numpy as np
from utils.networks import build_model

def train(devices, **options):
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    labels = np.arange(64) % 10
    with devices.scope():
        model = build_model("three_conv_small", **options)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        history = model.fit(images, labels, batch_size=32, epochs=2, verbose=0).history
        model.evaluate(images, labels, batch_size=32, verbose=0)
        logits = model.predict(images, batch_size=32, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        model.save_weights(folder + "/a.weights.h5")
        restored = build_model("three_conv_small", **options)
        restored.load_weights(folder + "/a.weights.h5")
    np.testing.assert_allclose(restored.predict(images, verbose=0), logits, atol=1e-3)
    print("trained", np.isfinite(history["loss"]).all(), len(history["loss"]))
"""


def run(code, **environment):
    """Run Python code in a new process; what it printed, and what it wrote to stderr."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("TUTORIAL_DEVICES", "XLA_FLAGS")}
    settings = {"KERAS_BACKEND": BACKEND, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "", **environment}
    command = [sys.executable, "-c", "from utils.machine import connect\n" + code]
    done = subprocess.run(command, cwd=ROOT, env=inherited | settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


REFUSED = """
try:
    connect({})
except (RuntimeError, ValueError) as error:
    print(type(error).__name__, error)
"""


def test_without_an_accelerator_auto_takes_the_cpu_says_so_in_one_line_and_trains():
    said, _ = run(TRAIN + "train(connect())")
    line, trained = said.splitlines()
    assert line.startswith("Training on ") and "(1 replica), since no GPU" in line and "TPU" in line
    assert trained == "trained True 2"


def test_the_cpu_can_play_two_devices_that_train_evaluate_save_and_load():
    said, stderr = run(
        TRAIN + "devices = connect('cpu-mirrored')\nprint(devices.replicas)\ntrain(devices)\nconnect('cpu-mirrored')"
    )
    first, replicas, trained, again = said.splitlines()
    assert "2 replicas" in first and 'asked for by kind="cpu-mirrored"' in first and again == first
    assert (replicas, trained) == ("2", "trained True 2")
    assert "WARNING:tensorflow" not in stderr


def test_the_environment_variable_replaces_auto_and_an_unknown_kind_is_refused():
    said, _ = run(REFUSED.format("") + REFUSED.format("'abacus'"), TUTORIAL_DEVICES="quantum")
    expected = "expected one of auto, tpu, gpu, cpu, cpu-mirrored"
    assert f"ValueError connect: TUTORIAL_DEVICES=quantum: {expected}" in said
    assert f'ValueError connect: kind="abacus": {expected}' in said


def test_an_accelerator_that_is_insisted_on_and_missing_is_one_sentence_that_says_how_to_get_it():
    said, _ = run(REFUSED.format("'tpu'") + REFUSED.format("'gpu'"))
    for line, name, place in zip(said.splitlines(), ("TPU", "GPU"), ("TPU v5e-1", "T4 GPU"), strict=True):
        assert line.startswith("RuntimeError connect: kind=") and f"expected a {name} and found none" in line
        assert f"Runtime > Change runtime type > {place}" in line


def test_a_backend_that_the_series_does_not_know_is_refused():
    said, _ = run(REFUSED.format(""), KERAS_BACKEND="torch")
    assert said == "RuntimeError KERAS_BACKEND=torch: expected tensorflow or jax; set one of them.\n"


def test_two_devices_asked_for_too_late_is_one_sentence():
    compute = "import keras\nkeras.ops.ones(3) + 1\n"
    said, _ = run(compute + REFUSED.format("'cpu-mirrored'"))
    assert "restart the kernel" in said and said.count("\n") == 1


@on_jax
def test_jax_trains_on_all_its_devices_at_once():
    said, _ = run(TRAIN + "train(connect(), normalised=True)", XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert "8 CPU devices (8 replicas), since no GPU or TPU was found" in said and "trained True 2" in said


@pytest.fixture
def fake_libtpu(tmp_path):
    """An installed package libtpu without anything that runs; TensorFlow without TPU support never opens it."""

    def make(version):
        about = tmp_path / ("other.dist-info" if version == "of unknown version" else f"libtpu-{version}.dist-info")
        about.mkdir()
        (about / "METADATA").write_text(f"Name: libtpu\nVersion: {version}\n")
        (tmp_path / "libtpu").mkdir()
        (tmp_path / "libtpu/__init__.py").touch()
        return {"PYTHONPATH": str(tmp_path), "TPU_NAME": "local"}  # as on a machine that has a TPU

    return make


@on_tensorflow
@pytest.mark.parametrize("version", ["0.0.32.1", "0.0.29.dev20251001", "of unknown version"])
def test_a_libtpu_that_would_abort_tensorflow_is_found_before_it_is_opened(fake_libtpu, version):
    code = "connect()\nimport os\nprint(os.environ['TPU_LIBRARY_PATH'])" + REFUSED.format("'tpu'")
    said, _ = run(code, **fake_libtpu(version))
    line, path, refusal = said.splitlines()
    assert f"no TPU: libtpu {version} would abort TensorFlow" in line and "libtpu<0.0.30" in line
    assert not Path(path).exists()
    assert refusal.startswith("RuntimeError") and f"libtpu {version} would abort" in refusal
    assert "pip install" in refusal


@on_tensorflow
def test_a_tensorflow_without_tpu_support_falls_back_from_its_not_found_error(fake_libtpu):
    said, _ = run("connect()" + REFUSED.format("'tpu'"), **fake_libtpu("0.0.29"))
    line, refusal = said.splitlines()
    assert "Training on the CPU" in line and "could not connect, NotFoundError" in line
    assert refusal.startswith("RuntimeError") and "NotFoundError" in refusal


@on_tensorflow
def test_a_resolver_that_finds_no_name_falls_back_from_its_value_error(fake_libtpu):
    unnamed = """
import tensorflow as tf
resolver = tf.distribute.cluster_resolver.TPUClusterResolver
tf.distribute.cluster_resolver.TPUClusterResolver = lambda tpu: resolver()
connect()
"""
    settings = fake_libtpu("0.0.29")
    said, _ = run(unnamed, PYTHONPATH=settings["PYTHONPATH"], TPU_ACCELERATOR_TYPE="v5litepod-1")
    assert "could not connect, ValueError" in said


STEP = """
import contextlib, json
import keras
import numpy as np
from utils.networks import build_model

RATE = 1024.0
images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
labels = np.arange(64) % 10

def gradients(scope, **options):
    with scope():
        keras.utils.set_random_seed(0)
        model = build_model("three_conv_small", dropout=0.0, **options)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(RATE), loss)
        before = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
        model.fit(images, labels, batch_size=64, shuffle=False, verbose=0)
        after = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    return [np.ravel(old.astype(float) - new) / RATE for old, new in zip(before, after, strict=True)]

def difference(one, two):
    return float(np.linalg.norm(one - two) / np.linalg.norm(one))


two = connect("cpu-mirrored")
for options in ({}, {"normalised": True}):
    one_device, two_devices = gradients(contextlib.nullcontext, **options), gradients(two.scope, **options)
    by_array = [difference(*pair) for pair in zip(one_device, two_devices, strict=True)]
    print(json.dumps([max(by_array), difference(np.concatenate(one_device), np.concatenate(two_devices))]))
"""


def test_gradients_on_two_devices_are_those_of_one_until_each_normalises_its_own_half():
    said, _ = run(STEP)
    (largest, plain), (_, normalised) = (json.loads(line) for line in said.splitlines()[1:])
    assert max(largest, plain) < 1e-5
    # TensorFlow normalises each half of the batch by itself; JAX writes one program for the whole batch, and differs by
    # rounding that normalisation and pooling enlarge, no more than if the order of the images changes on one device.
    assert normalised > 0.05 if BACKEND == "tensorflow" else normalised < 0.05


def test_all_modules_but_those_of_the_input_pipeline_do_without_tensorflow():
    """Where the backend is TensorFlow, Keras imports it; so there only modules without Keras can show it."""
    names = {path.stem for path in (ROOT / "utils").glob("[a-z]*.py")} - {"pipelines"}
    if BACKEND == "tensorflow":
        names -= {"networks", "training", "photos"}
    assert {"data", "machine", "plotting"} < names
    forbid = "import sys\nsys.modules['tensorflow'] = None\nimport importlib\n"
    said, _ = run(forbid + f"for name in {sorted(names)}: importlib.import_module('utils.' + name)\nprint('imported')")
    assert said == "imported\n"


NEEDED_BY_UTILS = ["psutil", "filelock", "pooch", "matplotlib"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("libtpu", "reason"),
    [
        (TPU_PACKAGES[1], "this machine has none"),
        ("libtpu==0.0.43.2", "libtpu 0.0.43.2 would abort"),
        ("libtpu==0.0.45", "would abort"),
    ],
)
def test_connect_neither_aborts_nor_waits(tmp_path, libtpu, reason):
    python = tmp_path / "env/bin/python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    subprocess.run([*install, TPU_PACKAGES[0], libtpu, *NEEDED_BY_UTILS], check=True)
    seems_to_have_one = {} if reason.startswith("this") else {"TPU_NAME": "local"}
    done = subprocess.run(
        [str(python), "-c", "from utils.machine import connect; connect()"],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"} | seems_to_have_one,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Training on the CPU" in done.stdout and reason in done.stdout

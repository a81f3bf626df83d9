"""Profile, description of the machine, and devices: `connect` says why, survives what TPUs are known to do, and
computes the same on two.

Every case of `connect` runs in a process of its own, since devices are fixed once a backend has begun to compute. The
backend is the one that is installed here: TensorFlow, or JAX where there is no TensorFlow, as on Colab's TPU runtimes.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import parts
from utils import machine
from utils.machine import PROFILES, TPU_PACKAGES

ROOT = Path(__file__).parents[1]
HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
BACKEND = os.environ.get("KERAS_BACKEND") or ("tensorflow" if HAS_TENSORFLOW else "jax")
OTHER = "jax" if BACKEND == "tensorflow" else "tensorflow"
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="about TensorFlow: `make test` runs it")
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="about JAX: `make test-colab` runs it")


@pytest.mark.parametrize(
    "variable, accelerator, name, reason",
    [
        ("full", "", "full", "set by TUTORIAL_PROFILE"),
        ("class", "1 GPU", "class", "set by TUTORIAL_PROFILE"),
        ("test", "", "test", "set by TUTORIAL_PROFILE"),
        (None, "1 GPU", "full", "1 GPU found"),
        (None, "", "class", "no GPU or TPU found"),
    ],
)
def test_one_line_says_which_profile_why_and_how_to_change_it(variable, accelerator, name, reason, monkeypatch, capsys):
    monkeypatch.setattr(machine, "find_accelerator", lambda: accelerator)
    monkeypatch.setenv("TUTORIAL_PROFILE", variable or "")
    if not variable:
        monkeypatch.delenv("TUTORIAL_PROFILE")
    assert machine.choose_profile() is PROFILES[name]
    printed = capsys.readouterr().out
    assert printed.startswith(f"Profile {name} ({reason})") and printed.count("\n") == 1
    assert "To change it, set TUTORIAL_PROFILE" in printed


def test_an_unknown_profile_is_refused_with_the_names_that_exist(monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    with pytest.raises(ValueError, match="TUTORIAL_PROFILE=quick: expected one of full, class, test"):
        machine.choose_profile()


def test_the_full_profile_is_all_of_cifar10_every_size_divides_by_ten_classes_and_no_epochs_shrink_to_none():
    full, lesson, test = (PROFILES[name] for name in ("full", "class", "test"))
    assert (full.train, full.validation, full.test, full.epochs(30)) == (45_000, 5_000, 10_000, 30)
    for profile in PROFILES.values():
        assert all(size % 10 == 0 for size in (profile.train, profile.validation, profile.test))
    assert 30 > lesson.epochs(30) > test.epochs(30) >= test.epochs(1) == 1


def test_the_machine_is_described_in_one_line_with_its_16_bit_unit_which_decides_the_precision():
    import keras

    line = machine.describe_machine()
    assert "\n" not in line and f"keras {keras.__version__}" in line
    assert line.startswith(f"{machine.describe_processor()}, ") and f"{os.cpu_count()} cores of " in line
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    has_one = bool({"amx_bf16", "avx512_bf16"} & flags)
    assert ("_bf16)" in line) == has_one == (machine.fastest_precision() == "mixed_bfloat16")


def test_what_native_code_logs_is_dropped_and_only_meanwhile(capfd):
    os.write(2, b"before ")
    with pytest.raises(KeyError), machine.native_log_discarded():
        os.write(2, b"meanwhile ")
        raise KeyError
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def run(code, python=sys.executable, timeout=300, **environment):
    """Run code that begins with `connect` imported in a new process; the lines that it printed, and what on stderr."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("TUTORIAL_DEVICES", "XLA_FLAGS")}
    settings = {"KERAS_BACKEND": BACKEND, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "", **environment}
    command = [python, "-c", "from utils.machine import connect\n" + code]
    done = subprocess.run(command, cwd=ROOT, env=inherited | settings, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


@on_jax
def test_jax_takes_all_its_devices():
    (line,), _ = run("connect()", XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert "8 CPU devices (8 replicas), since no GPU or TPU was found" in line


PLAYED = {  # a machine with accelerators, as far as the choice looks at it
    "tensorflow": "import tensorflow as tf\ntf.config.list_physical_devices = lambda kind: ['one'] * (kind == 'GPU')",
    "jax": "import jax, keras\njax.default_backend = lambda: 'tpu'\n"
    "keras.distribution.list_devices = lambda kind: [f'{kind}:{number}' for number in range(8)]",
}
CHOSEN = {"tensorflow": ("gpu", "1 GPU (1 replica)"), "jax": ("tpu", "8 TPU devices (8 replicas)")}


def test_an_accelerator_is_taken_before_the_cpu_but_for_who_insists():
    kind, chosen = CHOSEN[BACKEND]
    (none, auto, asked, cpu), _ = run(f"connect()\n{PLAYED[BACKEND]}\nconnect()\nconnect('{kind}')\nconnect('cpu')")
    assert none.startswith("Training on ") and "(1 replica), since no GPU" in none and "TPU" in none
    assert auto.startswith(f"Training on {chosen}, since ") and " found" in auto
    assert asked == f'Training on {chosen}, asked for by kind="{kind}".'
    assert cpu.startswith("Training on ") and "CPU" in cpu and cpu.endswith('asked for by kind="cpu".')


REFUSED = """
try:
    connect({})
except (RuntimeError, ValueError) as error:
    print(type(error).__name__, error)
"""


def test_devices_that_cannot_be_had_are_refused_in_one_sentence_that_says_what_to_do():
    compute = "import keras\nkeras.ops.ones(3) + 1\n"
    kinds = "".join(REFUSED.format(kind) for kind in ("", "'abacus'", "'tpu'", "'gpu'", "'cpu-mirrored'"))
    said, _ = run(compute + kinds, TUTORIAL_DEVICES="quantum")
    expected = [
        "ValueError connect: TUTORIAL_DEVICES=quantum: expected one of auto, tpu, gpu, cpu, cpu-mirrored",
        'ValueError connect: kind="abacus": expected one of auto, tpu, gpu, cpu, cpu-mirrored',
        'RuntimeError connect: kind="tpu": expected a TPU and found none.* Change runtime type > TPU v5e-1',
        'RuntimeError connect: kind="gpu": expected a GPU and found none.* Change runtime type > T4 GPU',
        'RuntimeError connect: kind="cpu-mirrored": expected to be called before .*: restart the kernel',
    ]
    assert all(re.match(*pair) for pair in zip(expected, said, strict=True)), said


@pytest.mark.parametrize(
    "backend, sentence",
    [
        ("torch", "RuntimeError KERAS_BACKEND=torch: expected tensorflow or jax; set one of them."),
        (OTHER, f"RuntimeError {OTHER} is not installed here. In Colab, choose Runtime > Change runtime type"),
    ],
)
def test_a_backend_that_is_unknown_or_not_installed_is_refused_in_one_sentence(backend, sentence):
    (said,), _ = run(REFUSED.format(""), KERAS_BACKEND=backend)
    assert said.startswith(sentence)


def fake_libtpu(folder, version):
    """An installed package libtpu without anything that runs; TensorFlow without TPU support never opens it."""
    about = folder / ("other.dist-info" if version == "of unknown version" else f"libtpu-{version}.dist-info")
    about.mkdir()
    (about / "METADATA").write_text(f"Name: libtpu\nVersion: {version}\n")
    (folder / "libtpu").mkdir()
    (folder / "libtpu/__init__.py").touch()
    return {"PYTHONPATH": str(folder), "TPU_NAME": "local"}  # as on a machine that has a TPU


@pytest.mark.parametrize("version", ["0.0.32.1", "0.0.29.dev20251001", "of unknown version"])
def test_a_libtpu_that_would_abort_tensorflow_is_found_before_it_is_opened(tmp_path, version):
    code = "import os\nfrom utils.machine import why_no_tpu\nprint(why_no_tpu())\nprint(os.environ['TPU_LIBRARY_PATH'])"
    (problem, path), _ = run(code, **fake_libtpu(tmp_path, version))
    assert problem.startswith(f"libtpu {version} would abort TensorFlow: pip install ") and "libtpu<0.0.30" in problem
    assert not Path(path).exists()


@on_tensorflow
@pytest.mark.parametrize(
    ("version", "reason"),
    [("0.0.29", "could not connect, NotFoundError"), ("0.0.32.1", "libtpu 0.0.32.1 would abort TensorFlow")],
)
def test_a_tpu_that_tensorflow_cannot_reach_is_named_with_the_reason_and_the_cpu_is_taken(tmp_path, version, reason):
    (line, refusal), _ = run("connect()" + REFUSED.format("'tpu'"), **fake_libtpu(tmp_path, version))
    assert "Training on the CPU" in line and reason in line
    assert refusal.startswith("RuntimeError") and reason in refusal


STUBS = {  # packages as a machine with a TPU has them, as far as a notebook's start looks at them
    "tensorflow": "__version__, config = '2', __import__('types').SimpleNamespace(list_physical_devices=lambda _: [])",
    "jax": "__version__, default_backend, device_count = '1', lambda: 'tpu', lambda: 8",
    "libtpu": "",
    "keras": "config = __import__('types').SimpleNamespace(set_image_data_format=print)",
}
HIDE = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {missing} else find(name, *rest)
"""


@pytest.mark.parametrize(
    "packages, found, profile",
    [
        ("keras tensorflow", "no GPU or TPU; .*, tensorflow 2", "class"),
        ("keras tensorflow jax", "no GPU or TPU; .*, tensorflow 2", "class"),  # Colab's CPU and GPU runtimes
        ("keras jax libtpu", "8 TPUs; .*, jax 1", "full"),  # Colab's for TPUs
        ("keras tensorflow jax libtpu", "8 TPUs; .*, jax 1", "full"),  # Kaggle's, whose TensorFlow knows no TPU
    ],
)
def test_notebook_04_starts_on_jax_where_only_jax_reaches_a_tpu(packages, found, profile, tmp_path, monkeypatch):
    monkeypatch.delenv("TUTORIAL_PROFILE", raising=False)
    for package in packages.split():
        (tmp_path / f"{package}.py").write_text(STUBS[package])
    choice = parts.find_cell(parts.read_notebook(ROOT / "notebooks/04_tpu_training.ipynb"), "backend").source
    code = HIDE.format(missing={*STUBS} - {*packages.split()}) + choice + "\nmachine.start()"
    lines, _ = run(f"from utils import machine\n{code}", PYTHONPATH=str(tmp_path))
    assert re.search(f", {found}, keras ", lines[0]) and lines[1].startswith(f"Profile {profile} "), lines


TWO_DEVICES = """
import contextlib
import json
import keras
import numpy as np
from utils.networks import build_model

images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
labels = np.arange(64) % 10

def gradients(scope, normalised):
    with scope():
        keras.utils.set_random_seed(0)
        model = build_model("three_conv_small", dropout=0.0, normalised=normalised)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(1024.0), loss)
        before = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
        model.fit(images, labels, batch_size=64, shuffle=False, verbose=0)
        after = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    return [np.ravel(old.astype(float) - new) for old, new in zip(before, after, strict=True)]

def difference(one, two):
    return float(np.linalg.norm(one - two) / np.linalg.norm(one))

two = connect("cpu-mirrored")
for normalised in (False, True):
    pair = gradients(contextlib.nullcontext, normalised), gradients(two.scope, normalised)
    print(json.dumps([max(map(difference, *pair)), difference(*map(np.concatenate, pair))]))
connect("cpu-mirrored")
print(two.replicas)
"""


def test_gradients_on_two_devices_are_those_of_one_until_each_normalises_its_own_half():
    (first, plain, normalised, again, replicas), stderr = run(TWO_DEVICES)
    assert max(json.loads(plain)) < 1e-5
    # TensorFlow normalises each half of the batch by itself; JAX writes one program for the whole batch, and differs by
    # rounding that normalisation and pooling enlarge, no more than if the order of the images changes on one device.
    in_all = json.loads(normalised)[1]
    assert in_all > 0.05 if BACKEND == "tensorflow" else in_all < 0.05
    assert "2 replicas" in first and 'asked for by kind="cpu-mirrored"' in first and again == first
    assert replicas == "2" and "WARNING:tensorflow" not in stderr


def test_all_modules_but_those_of_the_input_pipeline_do_without_tensorflow():
    """Where the backend is TensorFlow, Keras imports it; so there only modules without Keras can show it."""
    names = {path.stem for path in (ROOT / "utils").glob("[a-z]*.py")} - {"pipelines"}
    if BACKEND == "tensorflow":
        names -= {"networks", "training", "photos"}
    assert {"data", "machine", "plotting", "evaluation"} < names
    forbid = "import sys\nsys.modules['tensorflow'] = None\nimport importlib\n"
    said, _ = run(forbid + f"for name in {sorted(names)}: importlib.import_module('utils.' + name)\nprint('imported')")
    assert said == ["imported"]


@pytest.mark.slow
def test_connect_with_tensorflow_for_tpus_neither_aborts_nor_waits(tmp_path):
    python = str(tmp_path / "bin/python")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-cache", "--python", python]
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path)], check=True)
    subprocess.run([*install, TPU_PACKAGES[0], "psutil", "matplotlib"], check=True)
    for libtpu, settings, reason in (
        (TPU_PACKAGES[1], {}, "this machine has none"),
        ("libtpu==0.0.43.2", {"TPU_NAME": "local"}, "libtpu 0.0.43.2 would abort"),
        ("libtpu==0.0.45", {"TPU_NAME": "local"}, "libtpu 0.0.45 would abort"),
    ):
        subprocess.run([*install, libtpu], check=True)
        (line,), _ = run("connect()", python, timeout=60, KERAS_BACKEND="tensorflow", **settings)
        assert "Training on the CPU" in line and reason in line

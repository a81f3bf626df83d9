"""What runs here: the start of a notebook, its profile, the processor, and the devices to train on."""

import contextlib
import functools
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import distributions, version
from pathlib import Path

import matplotlib.style
import psutil

KINDS = ("auto", "tpu", "gpu", "cpu", "cpu-mirrored")
COLAB = {"tpu": "TPU v5e-1", "gpu": "T4 GPU"}  # the runtime that has one
TPU_PACKAGES = ("tensorflow-tpu==2.20.0", "libtpu<0.0.30")
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Profile:
    """How much this machine should do: numbers of images, and the share of the full number of epochs."""

    name: str
    train: int
    validation: int
    test: int
    epoch_share: float

    def epochs(self, full):
        """Epochs to train where the full profile trains `full` of them; at least one."""
        return max(1, round(full * self.epoch_share))


PROFILES = {
    "full": Profile("full", train=45_000, validation=5_000, test=10_000, epoch_share=1.0),
    "class": Profile("class", train=12_000, validation=2_000, test=4_000, epoch_share=0.25),
    "test": Profile("test", train=500, validation=200, test=200, epoch_share=0.05),
}


def start():
    """Begin a notebook on `TUTORIAL_BACKEND` or TensorFlow: print machine and profile, set the style of figures."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # 1.5 times as fast where it is off, without AVX512_VNNI
    os.environ["KERAS_BACKEND"] = os.environ.get("TUTORIAL_BACKEND", "tensorflow")
    for name, module in [*sys.modules.items()]:  # parts of another package called utils
        if name.startswith("utils.") and Path(getattr(module, "__file__", None) or "").parent != FOLDER:
            del sys.modules[name]
    print(describe_machine())
    profile = choose_profile()
    import keras

    keras.config.set_image_data_format("channels_last")  # a file keras.json may say otherwise
    shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    if hasattr(shell, "kernel") and "inline" not in os.environ.get("MPLBACKEND", ""):
        shell.run_line_magic("matplotlib", "inline")
    matplotlib.style.use(FOLDER / "tutorial.mplstyle")
    return profile


def choose_profile():
    """The profile that `TUTORIAL_PROFILE` names, else "full" with a GPU or TPU and "class" without; prints which."""
    name, reason = os.environ.get("TUTORIAL_PROFILE"), "set by TUTORIAL_PROFILE"
    if name is None:
        accelerator = find_accelerator()
        name, reason = ("full", f"{accelerator} found") if accelerator else ("class", "no GPU or TPU found")
    if name not in PROFILES:
        raise ValueError(f"TUTORIAL_PROFILE={name}: expected one of {', '.join(PROFILES)}; set one or unset it.")
    others = " or ".join(other for other in PROFILES if other != name)
    print(
        f"Profile {name} ({reason}): trains on {PROFILES[name].train:,} images. "
        f"To change it, set TUTORIAL_PROFILE to {others} before the notebook starts."
    )
    return PROFILES[name]


def describe_machine():
    """One line about this machine: processor, memory, accelerator, versions."""
    backend, accelerator = find_backend(), find_accelerator() or "no GPU or TPU"
    processor = f"{describe_processor()}, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory"
    versions = f"{backend} {sys.modules[backend].__version__}, keras {version('keras')}"
    return f"{processor}, {accelerator}; Python {platform.python_version()}, {versions}"


def describe_processor():
    """The processor in words: "2 cores of ...", and its unit for 16-bit floating-point numbers if it has one."""
    path = Path("/proc/cpuinfo")  # of Linux
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name") or platform.processor() or platform.machine()
    units = [f" ({unit})" for unit in ("amx_bf16", "avx512_bf16") if unit in facts.get("flags", "").split()]
    return f"{os.cpu_count()} cores of {name}{(units or [''])[0]}"


def fastest_precision():
    """The dtype policy of Keras that trains fastest on this CPU: "mixed_bfloat16" where it has it, else "float32"."""
    return "mixed_bfloat16" if describe_processor().endswith("_bf16)") else "float32"


def find_backend():
    """Name Keras' backend, after seeing to it that it can be imported without harm."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in ("tensorflow", "jax"):
        raise RuntimeError(f"KERAS_BACKEND={backend}: expected tensorflow or jax; set one of them.")
    if importlib.util.find_spec(backend) is None:
        raise RuntimeError(
            f"{backend} is not installed here. In Colab, choose Runtime > Change runtime type > CPU or GPU and run "
            "this cell again (a TPU runtime has no TensorFlow; notebook 04 is made for it); elsewhere, run "
            "`pip install -r requirements.txt`."
        )
    if backend == "tensorflow":
        why_no_tpu()
    return backend


def find_accelerator():
    """Name the GPUs or TPUs that the backend of Keras can use: "1 GPU", "4 TPUs", or "" where there is none."""
    with native_log_discarded():
        backend = importlib.import_module(find_backend())
        if backend.__name__ == "jax":
            counts = {backend.default_backend().upper(): backend.device_count()}
        else:
            counts = {kind: len(backend.config.list_physical_devices(kind)) for kind in ("TPU", "GPU")}
    return next((_count(count, kind) for kind, count in counts.items() if count and kind != "CPU"), "")


@contextlib.contextmanager
def native_log_discarded():
    """Discard what native code, as TensorFlow 2.21 at its import, writes to stderr, where a notebook would save it."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@dataclass(frozen=True)
class Devices:
    """What a network is trained on, by `replicas` copies that share each batch: `with devices.scope():` build, fit."""

    name: str
    replicas: int
    reason: str
    scope: Callable = field(repr=False)


def connect(kind="auto"):
    """Choose the devices to train on, before anything is computed, and print one line: which, and why.

    "auto", which TUTORIAL_DEVICES replaces, takes a TPU, else all GPUs, else the CPU; "tpu", "gpu" and "cpu" insist on
    one, or raise RuntimeError; with "cpu-mirrored" the CPU plays two devices.
    Source: https://www.tensorflow.org/guide/tpu and https://keras.io/api/distribution/.
    """
    wanted = os.environ.get("TUTORIAL_DEVICES") if kind == "auto" else None
    kind, asked_by = (wanted, f"TUTORIAL_DEVICES={wanted}") if wanted else (kind, f'kind="{kind}"')
    if kind not in KINDS:
        raise ValueError(f"connect: {asked_by}: expected one of {', '.join(KINDS)}; correct or omit it.")
    find = _find_on_jax if find_backend() == "jax" else _find_on_tensorflow
    try:
        name, replicas, scope, found = find(kind)
    except RuntimeError as error:
        raise RuntimeError(f"connect: {asked_by}: {error}.") from None
    reason = f"since {found}" if kind == "auto" else f"asked for by {asked_by}"
    print(f"Training on {name} ({_count(replicas, 'replica')}), {reason}.")
    return Devices(name, replicas, reason, scope)


def _find_on_tensorflow(kind):
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # strategies log each reduction, and that a CPU is no GPU
    if kind == "cpu-mirrored":
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        with contextlib.suppress(RuntimeError):  # TensorFlow has begun to compute
            tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
        _expect(len(tf.config.list_logical_devices("CPU")) > 1, kind)
        return "the CPU as 2 logical devices", 2, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope, ""
    tpu, no_tpu = _find_tpu(tf) if kind in ("auto", "tpu") else (None, "")
    if tpu:
        return _count(tpu.num_replicas_in_sync, "TPU core"), tpu.num_replicas_in_sync, tpu.scope, "a TPU was found"
    gpus = len(tf.config.list_physical_devices("GPU"))
    _expect(kind != "tpu" and (gpus or kind != "gpu"), kind, no_tpu)
    if gpus and kind != "cpu":
        scope = tf.distribute.MirroredStrategy().scope if gpus > 1 else contextlib.nullcontext
        return _count(gpus, "GPU"), gpus, scope, f"the best that was found; no TPU: {no_tpu}"
    return "the CPU", 1, lambda: tf.device("CPU:0"), f"no GPU was found, and no TPU: {no_tpu}"


def _find_tpu(tf):
    """A `TPUStrategy` and an empty string, or None and the reason why there is none."""
    if problem := why_no_tpu():
        return None, problem
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver), ""
    except (ValueError, OSError, tf.errors.OpError) as error:  # no name, network, TensorFlow for TPUs, or TPU
        return None, f"TensorFlow {tf.__version__} could not connect, {type(error).__name__}"


def _find_on_jax(kind):
    import jax
    import keras

    if kind == "cpu-mirrored":
        with contextlib.suppress(RuntimeError):  # JAX has begun to compute
            jax.config.update("jax_num_cpu_devices", 2)
        _expect(jax.device_count("cpu") > 1, kind)
    best = jax.default_backend()
    _expect(kind not in COLAB or kind == best, kind)
    used = best if kind == "auto" else kind.removesuffix("-mirrored")
    names = keras.distribution.list_devices(used)[: 2 if kind == "cpu-mirrored" else None]
    scope = keras.distribution.DataParallel(devices=names).scope
    found = "no GPU or TPU was found" if best == "cpu" else f"a {best.upper()} was found"
    return _count(len(names), f"{used.upper()} device"), len(names), scope, found


def _expect(there, kind, reason=""):
    """Say in one sentence what to do where the devices of this kind are not there."""
    if not there and kind in COLAB:
        remedy = f"in Colab, choose Runtime > Change runtime type > {COLAB[kind]} and run the notebook from its top"
        raise RuntimeError(f"expected a {kind.upper()} and found none{reason and f' ({reason})'}: {remedy}")
    if not there:
        remedy = "restart the kernel and call it first (on JAX with XLA_FLAGS=--xla_force_host_platform_device_count=2)"
        raise RuntimeError(f"expected to be called before anything is computed: {remedy}")


def _count(number, thing):
    return f"{number} {thing}{'s' if number > 1 else ''}"


@functools.cache
def why_no_tpu():
    """Why a TPU cannot be used, or "" where one may be tried; keeps TensorFlow, not yet imported, from harm by libtpu.

    `tensorflow-tpu` 2.20.0 opens this library at its import. Functions that it needs are gone since libtpu 0.0.30,
    and the process ends; where there is no TPU, it asks servers of Google Cloud for one for over four minutes.
    """
    makers = [path.read_text().strip() for path in Path("/sys/bus/pci/devices").glob("*/vendor")]
    files = [*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]
    named = {"TPU_NAME", "TPU_ACCELERATOR_TYPE"} & {*os.environ}
    has_package, problem = importlib.util.find_spec("libtpu") is not None, ""
    release = next((package.version for package in distributions(name="libtpu")), "of unknown version")
    if not (named or files or "0x1ae0" in makers):  # Google's number on the PCI bus
        problem = "this machine has none"
    elif has_package and not re.fullmatch(r"0\.0\.[12]?\d(\.\d+)?", release):
        problem = f"libtpu {release} would abort TensorFlow: pip install {' '.join(map(repr, TPU_PACKAGES))}"
    if problem and has_package:
        os.environ["TPU_LIBRARY_PATH"] = "no libtpu"  # a name that no file has
    return problem

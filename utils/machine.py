"""What runs here: the profile (how much work this machine should do), its processor, and the devices to train on."""

import contextlib
import functools
import importlib
import importlib.util
import mmap
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import matplotlib.style
import psutil


@dataclass(frozen=True)
class Profile:
    """The size of every training and prediction in the notebooks.

    Attributes:
        name: "full", "class" or "test".
        train: number of training images to use, at most 45,000.
        validation: number of validation images to use, at most 5,000.
        test: number of test images to use, at most 10,000.
        epoch_share: the part of the full number of epochs that is trained, 0 to 1.
    """

    name: str
    train: int
    validation: int
    test: int
    epoch_share: float

    def epochs(self, full):
        """Epochs to train where the full profile trains `full` of them; at least one.

        Args:
            full: positive int, the epochs of the full profile.
        """
        return max(1, round(full * self.epoch_share))


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("full", train=45_000, validation=5_000, test=10_000, epoch_share=1.0),
        Profile("class", train=12_000, validation=2_000, test=4_000, epoch_share=0.4),
        Profile("test", train=1_000, validation=500, test=500, epoch_share=0.05),
    )
}


def current_profile():
    """Choose the profile and print one line: which, why, and how to change it.

    `TUTORIAL_PROFILE` decides where it is set; otherwise "full" on a machine with a GPU or TPU, "class" on any other.

    Returns:
        The chosen `Profile`.

    Raises:
        ValueError: if `TUTORIAL_PROFILE` names no profile.
    """
    name = os.environ.get("TUTORIAL_PROFILE")
    if name is None:
        accelerator = find_accelerator()
        name = "full" if accelerator else "class"
        reason = f"{accelerator} found" if accelerator else "no GPU or TPU found"
    elif name not in PROFILES:
        raise ValueError(f"TUTORIAL_PROFILE={name}: expected one of {', '.join(PROFILES)}; set one or unset it.")
    else:
        reason = "set by TUTORIAL_PROFILE"
    profile = PROFILES[name]
    others = " or ".join(other for other in PROFILES if other != name)
    print(
        f"Profile {name} ({reason}): trains on {profile.train:,} images. "
        f"To change it, set TUTORIAL_PROFILE to {others} before the notebook starts."
    )
    return profile


def start():
    """Begin a notebook: say what it runs on and with which profile, and set the style of its figures.

    Returns:
        The chosen `Profile`.
    """
    print(describe_machine())
    profile = current_profile()
    matplotlib.style.use(Path(__file__).with_name("tutorial.mplstyle"))
    return profile


def describe_machine():
    """One line about this machine: processor, memory, accelerator, versions.

    Raises:
        RuntimeError: if the backend of Keras (TensorFlow unless `KERAS_BACKEND` says otherwise) is not installed.
    """
    backend, accelerator = find_backend(), find_accelerator()
    backend_version = importlib.import_module(backend).__version__
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{describe_processor()}, {memory:.0f} GiB of memory, {accelerator or 'no GPU or TPU'}; "
        f"Python {platform.python_version()}, {backend} {backend_version}, keras {version('keras')}"
    )


def describe_processor():
    """The processor in words: "2 cores of ...", and its unit for 16-bit floating-point numbers if it has one."""
    name = next((line.partition(":")[2].strip() for line in _processor_lines() if line.startswith("model name")), "")
    unit = next((f" ({unit})" for unit in ("amx_bf16", "avx512_bf16") if unit in processor_flags()), "")
    return f"{os.cpu_count()} cores of {name or platform.processor() or platform.machine()}{unit}"


def processor_flags():
    """Names of the instruction sets that the processor offers, as Linux lists them; elsewhere none."""
    return next((line.partition(":")[2].split() for line in _processor_lines() if line.startswith("flags")), [])


def _processor_lines():
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def find_accelerator():
    """Name the GPUs or TPU that the backend of Keras can use: "1 GPU", "4 TPUs", or "" where there is none."""
    if find_backend() == "jax":
        import jax

        counts = {jax.default_backend().upper(): jax.device_count()}
    else:
        with native_log_discarded():
            import tensorflow as tf

            counts = {kind: len(tf.config.list_physical_devices(kind)) for kind in ("TPU", "GPU")}
    found = ((kind, count) for kind, count in counts.items() if count and kind != "CPU")
    return next((f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in found), "")


@contextlib.contextmanager
def native_log_discarded():
    """Discard what native code writes to stderr: TensorFlow 2.21 logs there at its import and when it looks for a GPU,
    whatever TF_CPP_MIN_LOG_LEVEL says, and a notebook would save it."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def find_backend():
    """Name the backend of Keras, "tensorflow" or what `KERAS_BACKEND` says, and see to it that it can be imported.

    Raises:
        RuntimeError: if it is not installed.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if importlib.util.find_spec(backend) is None:
        raise RuntimeError(
            f"{backend} is not installed here. In Colab, choose Runtime > Change runtime type > CPU or GPU and run "
            "this cell again (a TPU runtime has no TensorFlow; notebook 04 is made for it); elsewhere, run "
            "`pip install -r requirements.txt`."
        )
    if backend == "tensorflow":
        guard()
    return backend


def fastest_precision():
    """The dtype policy of Keras that trains fastest here: "mixed_bfloat16" where the CPU has it, else "float32"."""
    return "mixed_bfloat16" if {"amx_bf16", "avx512_bf16"} & set(processor_flags()) else "float32"


KINDS = ("auto", "tpu", "gpu", "cpu", "cpu-mirrored")
_ADVICE = {
    "tpu": "in Colab, choose Runtime > Change runtime type > TPU v5e-1 and run notebook 04 from its top",
    "gpu": "in Colab, choose Runtime > Change runtime type > T4 GPU and run the notebook from its top",
}


@dataclass(frozen=True)
class Devices:
    """What a network is trained on.

    Attributes:
        name: the devices in words, such as "1 GPU".
        replicas: how many copies of the network share each batch; batch sizes must be multiples of it.
        reason: why these devices.
        scope: call it for a context to build, compile, fit and predict in: `with devices.scope(): ...`.
    """

    name: str
    replicas: int
    reason: str
    scope: Callable[[], AbstractContextManager] = field(default=nullcontext, repr=False)


def connect(kind="auto"):
    """Choose the devices to train on, and print one line: which, and why.

    Call it before anything is computed. TensorFlow gets a `TPUStrategy`, or a `MirroredStrategy` for several GPUs; one
    GPU or the CPU needs no strategy. Its log is reduced to errors. JAX gets `keras.distribution.DataParallel` over all
    devices of a kind.

    Args:
        kind: "auto" for the best there is: a TPU, all GPUs, or the CPU; "tpu", "gpu" or "cpu" to insist on one;
            "cpu-mirrored" to let the CPU play two devices, so that everything about several devices can be tried
            anywhere. The environment variable TUTORIAL_DEVICES replaces "auto".

    Returns:
        A `Devices`.

    Raises:
        ValueError: if there is no such kind.
        RuntimeError: if the devices that were insisted on are not there, it is too late to make two of the CPU, or the
            backend of Keras is not installed or neither TensorFlow nor JAX.

    Source: https://www.tensorflow.org/guide/tpu and https://keras.io/api/distribution/.
    """
    asked_by = f'kind="{kind}"'
    if kind == "auto" and os.environ.get("TUTORIAL_DEVICES"):
        kind = os.environ["TUTORIAL_DEVICES"]
        asked_by = f"TUTORIAL_DEVICES={kind}"
    if kind not in KINDS:
        raise ValueError(f"connect: {asked_by}: expected one of {', '.join(KINDS)}; correct it or leave it out.")
    backends = {"tensorflow": _connect_tensorflow, "jax": _connect_jax}
    backend = find_backend()
    if backend not in backends:
        raise RuntimeError(f"connect: KERAS_BACKEND={backend}: expected tensorflow or jax; set one of them.")
    devices = backends[backend](kind, asked_by)
    copies = "1 replica" if devices.replicas == 1 else f"{devices.replicas} replicas"
    print(f"Training on {devices.name} ({copies}), {devices.reason}.")
    return devices


def _connect_tensorflow(kind, asked_by):
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # strategies log each reduction, and that a CPU is no GPU
    if kind == "cpu-mirrored":
        return _mirror_cpu(tf, asked_by)
    no_tpu = ""
    if kind in ("auto", "tpu"):
        strategy, no_tpu = _find_tpu(tf)
        if strategy:
            count = strategy.num_replicas_in_sync
            return Devices(_count(count, "TPU core"), count, _reason(kind, asked_by, "a TPU was found"), strategy.scope)
        if kind == "tpu":
            raise RuntimeError(f"connect: {asked_by}: expected a TPU and found none ({no_tpu}): {_ADVICE['tpu']}.")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and kind != "cpu":
        found = _reason(kind, asked_by, f"the best that was found; no TPU: {no_tpu}")
        scope = tf.distribute.MirroredStrategy().scope if len(gpus) > 1 else nullcontext
        return Devices(_count(len(gpus), "GPU"), len(gpus), found, scope)
    if kind == "gpu":
        raise RuntimeError(f"connect: {asked_by}: expected a GPU and found none: {_ADVICE['gpu']}.")
    scope = (lambda: tf.device("CPU:0")) if gpus else nullcontext
    return Devices("the CPU", 1, _reason(kind, asked_by, f"no GPU was found, and no TPU: {no_tpu}"), scope)


def _find_tpu(tf):
    """A `TPUStrategy` and an empty string, or None and the reason why there is none."""
    problem = guard()
    if problem:
        return None, problem
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver), ""
    except (ValueError, OSError, tf.errors.OpError) as error:
        # seen: ValueError without a name, URLError without network, NotFoundError of a TensorFlow without TPU support,
        # InternalError of one with it on a machine without TPU
        return None, f"TensorFlow {tf.__version__} could not connect, {type(error).__name__}"


def _mirror_cpu(tf, asked_by):
    """Two logical CPU devices, made now or by an earlier call."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    except RuntimeError:  # TensorFlow has begun to compute
        if len(tf.config.list_logical_devices("CPU")) < 2:
            raise RuntimeError(
                f"connect: {asked_by}: expected to be called before TensorFlow computes anything: restart the kernel "
                "and call it first."
            ) from None
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return Devices("the CPU as 2 logical devices", 2, _reason("", asked_by), strategy.scope)


def _connect_jax(kind, asked_by):
    import jax
    import keras

    if kind == "cpu-mirrored":
        try:
            jax.config.update("jax_num_cpu_devices", 2)
        except RuntimeError:  # JAX has begun to compute
            if jax.device_count("cpu") < 2:
                raise RuntimeError(
                    f"connect: {asked_by}: expected to be called before JAX computes anything: restart the kernel, "
                    "and set XLA_FLAGS=--xla_force_host_platform_device_count=2 before it starts."
                ) from None
    best = jax.default_backend()
    if kind in ("tpu", "gpu") and best != kind:
        raise RuntimeError(f"connect: {asked_by}: expected a {kind.upper()} and found none: {_ADVICE[kind]}.")
    platform = best if kind == "auto" else kind.removesuffix("-mirrored")
    names = keras.distribution.list_devices(platform)[: 2 if kind == "cpu-mirrored" else None]
    found = f"a {best.upper()} was found" if best != "cpu" else "no GPU or TPU was found"
    distribution = keras.distribution.DataParallel(devices=names)
    name = _count(len(names), f"{platform.upper()} device")
    return Devices(name, len(names), _reason(kind, asked_by, found), distribution.scope)


def _reason(kind, asked_by, found=""):
    return f"since {found}" if kind == "auto" else f"asked for by {asked_by}"


def _count(number, thing):
    return f"{number} {thing}{'s' if number > 1 else ''}"


PACKAGES = ("tensorflow-tpu==2.20.0", "libtpu<0.0.30")
# What tensorflow-tpu 2.20.0 needs and newer versions of libtpu lack: the first was missing in 0.0.32.1 (0.0.29 has it),
# the second in 0.0.43.2, the third in 0.0.45. There are 212 such names; these are the ones whose absence was seen.
NEEDED = (
    b"TpuExecutable_FreeMaybeOwningDeviceMemoryArray",
    b"TpuCompile_CompileAndBuild",
    b"ConfigureDistributedTpuOp_DoWork",
)
_GOOGLE = "0x1ae0"  # the maker of a device on the PCI bus


@functools.cache
def guard():
    """Keep TensorFlow from opening libtpu where that would do harm; call it before TensorFlow is imported.

    Returns:
        Why a TPU cannot be used, or an empty string where one may be tried.
    """
    library = _library()
    problem = _lack(library) if _may_have_tpu() else "this machine has none"
    if problem and library:
        os.environ["TPU_LIBRARY_PATH"] = "no libtpu"  # a name that no file has
    return problem


def _may_have_tpu():
    """Whether anything here looks like a TPU: better one try too many than a TPU overlooked."""
    makers = [path.read_text().strip() for path in Path("/sys/bus/pci/devices").glob("*/vendor")]
    files = [*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]
    named = any(os.environ.get(name) for name in ("TPU_NAME", "TPU_ACCELERATOR_TYPE"))
    return _GOOGLE in makers or bool(files) or named


def _library():
    """The file of libtpu, or None."""
    if os.environ.get("TPU_LIBRARY_PATH"):
        return Path(os.environ["TPU_LIBRARY_PATH"])
    package = importlib.util.find_spec("libtpu")
    return Path(package.origin).with_name("libtpu.so") if package else None


def _lack(library):
    """What a library lacks, in words; an empty string if it lacks nothing or is not there to be looked at."""
    if library is None or not library.is_file() or not library.stat().st_size:
        return ""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        missing = [name.decode() for name in NEEDED if content.find(name) < 0]
    if not missing:
        return ""
    try:
        found = f"libtpu {version('libtpu')}"
    except PackageNotFoundError:
        found = "the libtpu here"
    wanted = " ".join(f'"{package}"' for package in PACKAGES)
    return f"{found} lacks {missing[0]}, without which TensorFlow would abort: pip install {wanted}"

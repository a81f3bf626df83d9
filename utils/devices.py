"""Where a network is trained: on a TPU, several GPUs, one GPU or the CPU, by TensorFlow or by JAX.

Imports neither of them before `connect` is called.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from utils import libtpu
from utils.profiles import find_backend

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
    problem = libtpu.guard()
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

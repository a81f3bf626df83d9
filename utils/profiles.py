"""How much work this machine should do: everything, a classroom's worth, or a test's worth."""

import contextlib
import importlib
import importlib.util
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from utils import libtpu


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
        libtpu.guard()
    return backend

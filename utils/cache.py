"""Arrays kept on disk between loads, memory-mapped and read-only, whole or not at all. Imports no TensorFlow."""

import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pooch
from filelock import FileLock, Timeout

_VERSION = 1  # to be raised with any change to the validation split or to the files of the cache


def cache_folder():
    """The folder that keeps the downloaded archive and the arrays.

    Returns:
        Path: the environment variable TUTORIAL_CACHE, or the user's cache folder for "cifar10-tutorial".
    """
    return Path(os.environ.get("TUTORIAL_CACHE") or pooch.os_cache("cifar10-tutorial")).expanduser()


def digest(value):
    """Sixteen hexadecimal digits for anything whose `str` says what it is."""
    return hashlib.sha256(f"{_VERSION} {value}".encode()).hexdigest()[:16]


@contextmanager
def exclusive(lock_file, patience=5):
    """Hold a lock between processes; print one line if another process keeps it for longer than `patience` seconds.

    Args:
        lock_file: path of the lock file, in a folder that exists.
        patience: seconds to wait in silence.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        print(f"Waiting for another process that is getting the images into {Path(lock_file).parent}.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def open_arrays(name, state, layout):
    """Memory-map what was kept under `name`, as long as what it was made from is in the same state.

    Args:
        name: what the arrays are, usable as the name of a folder.
        state: anything whose `str` changes with what the arrays are made from.
        layout: dictionary from the name of each array to its `(shape, dtype)`.

    Returns:
        `(arrays, source)`, a dictionary of read-only arrays and a sentence saying what they are; or None where
        nothing is kept, or an array is cut short or of another shape.
    """
    folder = _folder(name, state)
    try:
        arrays = {key: np.asarray(np.load(folder / f"{key}.npy", mmap_mode="r")) for key in layout}
        source = (folder / "source.txt").read_text(encoding="utf-8")
    except (OSError, ValueError, EOFError):
        return None
    intact = all((arrays[key].shape, arrays[key].dtype) == (shape, dtype) for key, (shape, dtype) in layout.items())
    return (arrays, source) if intact and source else None


def open_or_build(name, state, layout, build):
    """Open what is kept, or build and keep it, in one process at a time.

    Where the folder cannot be written, one line says so and the arrays stay in memory.

    Args:
        name, state, layout: as in `open_arrays`.
        build: function without arguments that returns `(arrays, source)`.

    Returns:
        `(arrays, source)`, the arrays read-only.
    """
    kept, built = open_arrays(name, state, layout), None
    if kept:
        return kept
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with exclusive(cache_folder() / f"{name}.lock"):
            kept = open_arrays(name, state, layout)
            if kept is None:
                built = build()
                _save(name, state, *built)
                kept = open_arrays(name, state, layout)
    except OSError as error:
        arrays, source = built or build()
        reason = error.strerror or error
        print(f"Not cached in {cache_folder()} ({reason}), so every load reads the images anew.", flush=True)
        for array in arrays.values():
            array.setflags(write=False)
        return arrays, source
    return kept


def _folder(name, state):
    return cache_folder() / name / digest(state)


def _save(name, state, arrays, source):
    """Write the arrays beside their final folder, then rename: a killed writer leaves nothing that would be read."""
    folder = _folder(name, state)
    shutil.rmtree(folder.parent, ignore_errors=True)  # other states, damaged ones, and what a killed writer left
    unfinished = folder.with_name("unfinished")
    try:
        unfinished.mkdir(parents=True)
        for key, array in arrays.items():
            np.save(unfinished / f"{key}.npy", array)
        (unfinished / "source.txt").write_text(source, encoding="utf-8")
        unfinished.rename(folder)
    except OSError:
        shutil.rmtree(folder.parent, ignore_errors=True)
        raise

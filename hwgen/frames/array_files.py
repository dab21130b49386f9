"""Arrays in ``.npy`` and ``.npz`` files, and what can be said of them from the heads of the files alone."""

import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from hwgen.graph.errors import InputError


def split_key(source: str) -> tuple[Path, str | None]:
    """``FILE.npz:KEY`` in its parts."""
    file, colon, key = source.rpartition(":")
    if colon and file.lower().endswith(".npz"):
        return Path(file), key
    return Path(source), None


def array(path: Path, key: str) -> np.ndarray:
    """The array ``key`` of a file; that of an npy file is ``""``."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return loaded[key]
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise _unreadable(path, error) from None


def heads(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by key, as zeros that take no memory: of their shapes and types, but nothing is read."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as held:
                return {name.removesuffix(".npy"): _head(held.open(name)) for name in held.namelist()}
        with path.open("rb") as file:
            head = _head(file)
            if path.stat().st_size < file.tell() + head.size * head.itemsize:
                raise ValueError("its end is missing")
            return {"": head}
    except Exception as error:
        raise _unreadable(path, error) from None


def _head(file: IO[bytes]) -> np.ndarray:
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("objects are not read")
    return np.broadcast_to(np.zeros((), dtype), shape)


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, OSError):
        return InputError(f"cannot read {str(path)!r}: {error.strerror or 'it is damaged'}")
    return InputError(f"{str(path)!r} is not a file of plain numpy arrays, or is damaged; save it again")


def keyed(path: Path, held: dict[str, np.ndarray], key: str) -> np.ndarray:
    """The array ``key`` of those ``held`` by the file; InputError where there is none."""
    if key not in held:
        raise InputError(f"{str(path)!r} holds no array {key!r}; it holds {listed(held)}")
    return held[key]


def listed(held: dict[str, np.ndarray]) -> str:
    """The keys of a file and the shapes of their arrays, for errors."""
    return ", ".join(f"{key} {list(array.shape)}" for key, array in held.items()) or "nothing"

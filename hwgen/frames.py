"""Frames from files: pictures, numpy arrays and folders of them, brought to what a network's input takes.

Arrays may have the input's shape or that of many frames ``[N, ...]``, with channels first or last, and dimensions of
1 may be missing. :mod:`hwgen.inputs` says what becomes of pictures and numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from hwgen.graph.errors import InputError
from hwgen.inputs import USUAL, FrameSpec, Preparation, picture_pixels, prepared

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
ARRAYS = (".npy", ".npz")
_MOST_PROBLEMS = 10  # lines of errors for a folder full of wrong files


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames ``values`` [N, *shape] as the model takes them, and where each came from."""

    values: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)


def load_frames(
    sources: Iterable[str | Path],
    spec: FrameSpec,
    preparation: Preparation = USUAL,
    limit: int | None = None,
    spread: bool = False,
) -> Frames:
    """The frames in ``sources``: files, folders, or ``FILE.npz:KEY``; at most ``limit`` of them.

    Those are the first ones, or with ``spread`` ones evenly spaced over all. Raises InputError with a line for
    every file that cannot be used.
    """
    files = [file for source in sources for file in _expand(str(source))]
    opened = _try_each(files, lambda file: _open(file, spec))
    picks = _picks([len(item) for item in opened], limit, spread)
    chosen = [(item, indices) for item, indices in zip(opened, picks, strict=True) if len(indices)]
    parts = _try_each(chosen, lambda pair: _load(*pair, spec, preparation))
    names = tuple(item.name(index) for item, indices in chosen for index in indices)
    if not names:
        raise InputError("no frames given")
    return Frames(np.concatenate(parts), names)


def load_labels(source: str, count: int) -> np.ndarray:
    """``count`` class numbers from an npy file or ``FILE.npz:KEY``; InputError where there are fewer."""
    path, key = _split(source)
    arrays = _arrays(path)
    if key is None and len(arrays) != 1:
        raise InputError(f"{str(path)!r} holds {_listed(arrays)}; choose the labels with {path.name}:KEY")
    labels = _keyed(path, arrays, key or next(iter(arrays)))
    if labels.dtype.kind not in "iu" or labels.size < count:
        raise InputError(f"{source!r} holds {labels.size} values of type {labels.dtype}; {count} class numbers needed")
    return labels.reshape(-1)[:count].astype(np.int64)


# Files


@dataclass(frozen=True, eq=False)
class _Item:
    """Raw frames [N, *shape] of one file; a picture is read only when it is needed."""

    path: Path
    key: str | None
    count: int
    frames: np.ndarray | None = None

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        label = self.path.name if self.key is None else f"{self.path.name}:{self.key}"
        return f"{label}[{index}]" if self.count > 1 else label


def _split(source: str) -> tuple[Path, str | None]:
    """``FILE.npz:KEY`` in its parts."""
    file, colon, key = source.rpartition(":")
    if colon and file.lower().endswith(".npz"):
        return Path(file), key
    return Path(source), None


def _expand(source: str) -> list[str]:
    """A folder stands for the pictures and npy files in it and below, by name."""
    path = Path(source)
    if not path.is_dir():
        return [source]
    suffixes = (*PICTURES, ".npy")
    files = sorted(str(file) for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
    if not files:
        raise InputError(f"the folder {source!r} holds no pictures ({', '.join(PICTURES)}) and no .npy files")
    return files


def _try_each(items, action):
    """``action`` on every item; all that is wrong is reported together."""
    results, problems = [], []
    for item in items:
        try:
            results.append(action(item))
        except InputError as error:
            problems += error.problems
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"... and {len(problems) - _MOST_PROBLEMS} more files that do not fit"]
    if problems:
        raise InputError(*problems)
    return results


def _open(source: str, spec: FrameSpec) -> _Item:
    path, key = _split(source)
    suffix = path.suffix.lower()
    if not path.exists():
        raise InputError(f"cannot read {str(path)!r}: there is no such file; check the path")
    if suffix in PICTURES:
        return _Item(path, None, 1)
    if suffix not in ARRAYS:
        known = ", ".join((*PICTURES[:3], *ARRAYS))
        raise InputError(f"{str(path)!r} is of an unknown kind ({suffix or 'no suffix'}); give {known} or a folder")
    arrays = _arrays(path)
    if key is None:
        key = _only_fitting(path, arrays, spec)
    frames = _framed(_keyed(path, arrays, key), spec)
    if frames is None:
        array = arrays[key]
        raise InputError(f"{_label(path, key)} has the shape {list(array.shape)}; the input takes {spec.describe()}")
    return _Item(path, key or None, len(frames), frames)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by key; that of an npy file is ``""``."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or 'it is damaged'}") from None
    except Exception:  # numpy and zipfile raise many kinds for damaged files
        raise InputError(f"{str(path)!r} is not a file of plain numpy arrays, or is damaged; save it again") from None


def _keyed(path: Path, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    if key not in arrays:
        raise InputError(f"{str(path)!r} holds no array {key!r}; it holds {_listed(arrays)}")
    return arrays[key]


def _only_fitting(path: Path, arrays: dict[str, np.ndarray], spec: FrameSpec) -> str:
    """The key of the one array that can be frames."""
    if "" in arrays:
        return ""
    fitting = [key for key, array in arrays.items() if _framed(array, spec) is not None]
    if len(fitting) == 1:
        return fitting[0]
    held = f"{str(path)!r} holds {_listed(arrays)}"
    if fitting:
        raise InputError(f"{held}; choose one with {path}:{fitting[0]}")
    raise InputError(f"{held}; none fits the input, which takes {spec.describe()}")


def _listed(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{key} {list(array.shape)}" for key, array in arrays.items()) or "nothing"


def _label(path: Path, key: str) -> str:
    return repr(f"{path}:{key}" if key else str(path))


def _framed(array: np.ndarray, spec: FrameSpec) -> np.ndarray | None:
    """``array`` as [N, *shape]: one frame or many, channels first or last, ones left out; None if it does not fit."""
    if array.dtype.kind not in "fiub":
        return None
    shape = spec.shape
    squeezed = tuple(size for size in shape if size != 1)
    for like in dict.fromkeys((shape, squeezed)):
        if like and like in (array.shape, array.shape[1:]):
            return array.reshape(-1, *shape)
    if spec.channel_axis is None:
        return None
    source, target = (2, 0) if spec.channel_axis == 0 else (0, 2)
    moved = list(shape)
    moved.insert(source, moved.pop(target))
    if tuple(moved) in (array.shape, array.shape[1:]):
        return np.moveaxis(array.reshape(-1, *moved), source + 1, target + 1)
    return None


def _load(item: _Item, indices: np.ndarray, spec: FrameSpec, preparation: Preparation) -> np.ndarray:
    """The chosen frames of ``item`` as the model takes them."""
    raw = picture_pixels(item.path, spec, preparation.resize) if item.frames is None else item.frames[indices]
    if raw.dtype.kind == "f":
        bad = ~np.isfinite(raw).reshape(len(raw), -1).all(axis=1)
        if bad.any():
            name = item.name(int(indices[bad.argmax()]))
            raise InputError(f"{name!r} holds numbers that are NaN or infinite; give finite ones")
    return prepared(raw, spec, preparation, str(item.path))


def _picks(counts: Sequence[int], limit: int | None, spread: bool) -> list[np.ndarray]:
    """Which frames of each file to take."""
    total = sum(counts)
    taken = total if limit is None else min(limit, total)
    chosen = np.arange(taken) * total // max(taken, 1) if spread else np.arange(taken)
    ends = np.cumsum([0, *counts])
    return [chosen[(chosen >= low) & (chosen < high)] - low for low, high in pairwise(ends)]

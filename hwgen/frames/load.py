"""Frames from files: pictures, numpy arrays and folders of them, brought to what a network's input takes.

Arrays may have the input's shape or that of many frames ``[N, ...]``, with channels first or last, and dimensions of
1 may be missing. :mod:`hwgen.frames.inputs` says what becomes of pictures and numbers.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np

from hwgen.frames.array_files import array, heads, keyed, listed, split_key
from hwgen.frames.inputs import (
    USUAL,
    FrameSpec,
    Preparation,
    check_numbers,
    check_picture,
    picture_pixels,
    prepared,
)
from hwgen.graph.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
ARRAYS = (".npy", ".npz")
CALIBRATION_FRAMES = 1000  # the most that are used, evenly spaced over all that are given
_PIXELS = np.dtype(np.uint8)
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
    return raw_frames(sources, spec, preparation.resize, limit, spread).prepared(spec, preparation)


@dataclass(frozen=True, eq=False)
class RawFrames:
    """Frames as their files hold them: of each file its path and frames [n, *shape], and the names of all."""

    parts: tuple[tuple[str, np.ndarray], ...]
    names: tuple[str, ...]

    def prepared(self, spec: FrameSpec, preparation: Preparation = USUAL) -> Frames:
        """The same as the model takes them. InputError where their type does not fit it."""
        parts = _try_each(self.parts, lambda part: prepared(part[1], spec, preparation, part[0]))
        return Frames(np.concatenate(parts), self.names)


def raw_frames(
    sources: Iterable[str | Path],
    spec: FrameSpec,
    resize: bool = False,
    limit: int | None = None,
    spread: bool = False,
) -> RawFrames:
    """:func:`load_frames` as far as nothing of the network need be known but the shape of its input."""
    chosen = _chosen(sources, spec, resize, limit, spread)
    parts = _try_each(chosen, lambda pair: (str(pair[0].path), _load(pair[0], pair[1], spec, resize)))
    return RawFrames(tuple(parts), tuple(item.name(index) for item, indices in chosen for index in indices))


def count_frames(
    sources: Iterable[str | Path],
    spec: FrameSpec,
    preparation: Preparation = USUAL,
    limit: int | None = None,
    spread: bool = False,
) -> int:
    """How many frames :func:`load_frames` would give, from the heads of files: no pixel and no number is read.

    Raises InputError as that does, for all that shows without.
    """
    chosen = _chosen(sources, spec, preparation.resize, limit, spread)
    _try_each(chosen, lambda pair: check_numbers(pair[0].type, spec, preparation, str(pair[0].path)))
    return sum(len(indices) for _, indices in chosen)


def load_labels(source: str, count: int) -> np.ndarray:
    """``count`` class numbers from an npy file or ``FILE.npz:KEY``; InputError where there are fewer."""
    return array(*check_labels(source, count)).reshape(-1)[:count].astype(np.int64)


def check_labels(source: str, count: int) -> tuple[Path, str]:
    """The file and the key of the array that :func:`load_labels` takes; InputError as that, but nothing is read."""
    path, key = split_key(source)
    held = heads(path)
    if key is None and len(held) != 1:
        raise InputError(f"{str(path)!r} holds {listed(held)}; choose the labels with {path.name}:KEY")
    key = next(iter(held)) if key is None else key
    labels = keyed(path, held, key)
    if labels.dtype.kind not in "iu" or labels.size < count:
        raise InputError(f"{source!r} holds {labels.size} values of type {labels.dtype}; {count} class numbers needed")
    return path, key


# Files


@dataclass(frozen=True, eq=False)
class _Item:
    """The ``count`` frames of ``type`` in one file: a picture, or the array ``key``."""

    path: Path
    count: int = 1
    type: np.dtype = _PIXELS
    key: str | None = None

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        label = f"{self.path.name}:{self.key}" if self.key else self.path.name
        return f"{label}[{index}]" if self.count > 1 else label


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


Item = TypeVar("Item")
Result = TypeVar("Result")


def _try_each(items: Iterable[Item], action: Callable[[Item], Result]) -> list[Result]:
    """``action`` on every item; all that is wrong is reported together."""
    results: list[Result] = []
    problems: list[str] = []
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


def find_files(sources: Iterable[str | Path]) -> list[str]:
    """The files that ``sources`` stand for; InputError with a line for every one that is not there, or of a kind that
    holds no frames."""
    return _try_each([file for source in sources for file in _expand(str(source))], _known)


def _known(source: str) -> str:
    path, _ = split_key(source)
    suffix = path.suffix.lower()
    if not path.exists():
        raise InputError(f"cannot read {str(path)!r}: there is no such file; check the path")
    if suffix not in (*PICTURES, *ARRAYS):
        known = ", ".join((*PICTURES[:3], *ARRAYS))
        raise InputError(f"{str(path)!r} is of an unknown kind ({suffix or 'no suffix'}); give {known} or a folder")
    return source


def _chosen(
    sources: Iterable[str | Path], spec: FrameSpec, resize: bool, limit: int | None, spread: bool
) -> list[tuple[_Item, np.ndarray]]:
    """The files from which frames are taken, and which of theirs."""
    opened = _try_each(find_files(sources), lambda file: _open(file, spec))
    picks = _picks([len(item) for item in opened], limit, spread)
    chosen = [(item, indices) for item, indices in zip(opened, picks, strict=True) if len(indices)]
    if not chosen:
        raise InputError("no frames given")
    pictures = [item.path for item, _ in chosen if item.key is None]
    _try_each(pictures, lambda path: check_picture(path, spec, resize))
    return chosen


def _open(source: str, spec: FrameSpec) -> _Item:
    path, key = split_key(source)
    if path.suffix.lower() in PICTURES:
        return _Item(path)
    held = heads(path)
    if key is None:
        key = _only_fitting(path, held, spec)
    frames = _framed(keyed(path, held, key), spec)
    if frames is None:
        shape = list(held[key].shape)
        raise InputError(f"{_label(path, key)} has the shape {shape}; the input takes {spec.describe()}")
    return _Item(path, len(frames), frames.dtype, key)


def _only_fitting(path: Path, held: dict[str, np.ndarray], spec: FrameSpec) -> str:
    """The key of the one array that can be frames."""
    if "" in held:
        return ""
    fitting = [key for key, array in held.items() if _framed(array, spec) is not None]
    if len(fitting) == 1:
        return fitting[0]
    said = f"{str(path)!r} holds {listed(held)}"
    if fitting:
        raise InputError(f"{said}; choose one with {path}:{fitting[0]}")
    raise InputError(f"{said}; none fits the input, which takes {spec.describe()}")


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


def _load(item: _Item, indices: np.ndarray, spec: FrameSpec, resize: bool) -> np.ndarray:
    """The chosen frames of ``item`` as it holds them; InputError where a number is none."""
    if item.key is None:
        return picture_pixels(item.path, spec, resize)
    held = _framed(array(item.path, item.key), spec)
    if held is None:
        raise InputError(f"{str(item.path)!r} has changed since its shape was read; try again")
    raw = held[indices]
    if raw.dtype.kind == "f":
        bad = ~np.isfinite(raw).reshape(len(raw), -1).all(axis=1)
        if bad.any():
            name = item.name(int(indices[bad.argmax()]))
            raise InputError(f"{name!r} holds numbers that are NaN or infinite; give finite ones")
    return raw


def _picks(counts: Sequence[int], limit: int | None, spread: bool) -> list[np.ndarray]:
    """Which frames of each file to take."""
    total = sum(counts)
    taken = total if limit is None else min(limit, total)
    chosen = np.arange(taken) * total // max(taken, 1) if spread else np.arange(taken)
    ends = np.cumsum([0, *counts])
    return [chosen[(chosen >= low) & (chosen < high)] - low for low, high in pairwise(ends)]

"""Frames from files: pictures, numpy arrays and folders of them, brought to what a network's input takes.

**Shape.** Pictures become grey or RGB as the input needs; transparent parts are black. Arrays may have the input's
shape or that of many frames ``[N, ...]``, with channels first or last, and dimensions of 1 may be missing.

**Numbers.** Pictures and ``uint8`` arrays hold *pixels* from 0 to 255; every other array holds *numbers*.

=========================  ==========================================  ======================================
the model's input          pixels                                      numbers
=========================  ==========================================  ======================================
float                      divided by 255                              taken as they are
8-bit integer              shifted onto its range (int8: minus 128)    integers of its very type: as they are;
                                                                       floats: quantised like the model does it
other integer              divided by 255, then quantised              likewise
=========================  ==========================================  ======================================

A :class:`Preparation` with any of ``scale``, ``mean`` or ``std`` replaces this: real values are then
``(x * scale - mean) / std`` for pixels and numbers alike (``scale`` is 1/255 for pixels and 1 for numbers unless
given), and quantised where the input is an integer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from hwgen.graph.errors import InputError
from hwgen.graph.ir import Graph
from hwgen.graph.network import Network
from hwgen.graph.types import Quantization

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
ARRAYS = (".npy", ".npz")
_MOST_PROBLEMS = 10  # lines of errors for a folder full of wrong files


@dataclass(frozen=True)
class FrameSpec:
    """What an input takes: its name, its shape without the batch, its type in the model.

    ``quantization`` is needed only to bring real values to an integer input.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    quantization: Quantization | None = None

    @staticmethod
    def of_graph(graph: Graph) -> "FrameSpec":
        info = graph.tensors[graph.inputs[0]]
        return FrameSpec(graph.inputs[0], tuple(info.shape[1:]), np.dtype(info.dtype))

    @staticmethod
    def of_network(network: Network) -> "FrameSpec":
        dtype = network.input.map.type.dtype if network.integer_input else np.dtype(np.float32)
        return FrameSpec(network.input.name, tuple(network.input_shape), dtype, network.input.quantization)

    @property
    def channel_axis(self) -> int | None:
        """Where ``shape`` holds the channels: 0, 2, or None where it has none."""
        if len(self.shape) != 3:
            return None
        return 2 if self.shape[0] not in (1, 3) and self.shape[2] in (1, 3) else 0

    @property
    def picture(self) -> tuple[int, int, int] | None:
        """(height, width, channels) of a picture that fits; None where only arrays do."""
        if len(self.shape) == 2:
            return (*self.shape, 1)
        axis = self.channel_axis
        if axis is None or self.shape[axis] not in (1, 3):
            return None
        height, width = (size for at, size in enumerate(self.shape) if at != axis)
        return height, width, self.shape[axis]

    def describe(self) -> str:
        return f"{['N', *self.shape]}, or one frame of {list(self.shape)}"


@dataclass(frozen=True)
class Preparation:
    """How numbers are brought to what the network was trained on: ``(x * scale - mean) / std``.

    ``mean`` and ``std`` hold one value or one per channel. ``resize`` crops pictures around the centre to the
    right proportions and scales them to the right size.
    """

    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: bool = False

    def __post_init__(self):
        numbers = [*self.mean, *self.std, *([] if self.scale is None else [self.scale])]
        if not np.isfinite(numbers).all():
            raise InputError("scale, mean and std must be finite numbers")
        if 0 in self.std:
            raise InputError("a standard deviation of 0 divides by zero; leave it out or give a positive one")

    @property
    def given(self) -> bool:
        """Whether anything replaces the usual treatment of numbers."""
        return self.scale is not None or bool(self.mean) or bool(self.std)


USUAL = Preparation()


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
    parts = _try_each(chosen, lambda pair: _prepare(*pair, spec, preparation))
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


def _picks(counts: Sequence[int], limit: int | None, spread: bool) -> list[np.ndarray]:
    """Which frames of each file to take."""
    total = sum(counts)
    taken = total if limit is None else min(limit, total)
    chosen = np.arange(taken) * total // max(taken, 1) if spread else np.arange(taken)
    ends = np.cumsum([0, *counts])
    return [chosen[(chosen >= low) & (chosen < high)] - low for low, high in pairwise(ends)]


# Pictures


def _picture(path: Path, spec: FrameSpec, resize: bool) -> np.ndarray:
    """Pixels uint8 [1, *shape]."""
    image = _read_picture(path)
    if len(spec.shape) == 1:
        return _flat_picture(path, image, spec)
    if spec.picture is None:
        raise InputError(
            f"{str(path)!r} is a picture, of 1 or 3 channels; the input takes {spec.describe()}: give an .npy file"
        )
    height, width, channels = spec.picture
    if resize and image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    if image.size != (width, height):
        raise InputError(
            f"{str(path)!r} is {image.width}x{image.height} pixels; the network takes {width}x{height}: "
            f"give pictures of that size, or --resize to have them scaled"
        )
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(height, width, channels)
    return (pixels.transpose(2, 0, 1) if spec.channel_axis == 0 else pixels).reshape(1, *spec.shape)


def _flat_picture(path: Path, image: Image.Image, spec: FrameSpec) -> np.ndarray:
    if image.width * image.height != spec.shape[0]:
        raise InputError(
            f"{str(path)!r} is {image.width}x{image.height} pixels, {image.width * image.height} in all; "
            f"the network takes {spec.shape[0]} numbers: give pictures of that size"
        )
    return np.asarray(image.convert("L")).reshape(1, -1)


def _read_picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            image.load()
    except Exception as error:  # decoders raise many kinds for damaged files
        reason = getattr(error, "strerror", None) or "it is damaged, or not a picture"
        raise InputError(f"cannot read {str(path)!r}: {reason}") from None
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{str(path)!r} has pixels of more than 8 bits; save it with 8 bits, or give an .npy file")
    if "A" in image.mode or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return image


# Numbers


def _prepare(item: _Item, indices: np.ndarray, spec: FrameSpec, preparation: Preparation) -> np.ndarray:
    """The chosen frames of ``item`` as the model takes them."""
    raw = _picture(item.path, spec, preparation.resize) if item.frames is None else item.frames[indices]
    if raw.dtype.kind == "f":
        bad = ~np.isfinite(raw).reshape(len(raw), -1).all(axis=1)
        if bad.any():
            name = item.name(int(indices[bad.argmax()]))
            raise InputError(f"{name!r} holds numbers that are NaN or infinite; give finite ones")
    if spec.dtype.kind == "f":
        return _real(raw, spec, preparation)
    if not preparation.given:
        if raw.dtype == spec.dtype:
            return raw
        if raw.dtype == np.uint8 and spec.dtype == np.int8:
            return (raw ^ 0x80).view(np.int8)
        if raw.dtype.kind not in "f" and raw.dtype != np.uint8:
            raise InputError(
                f"{str(item.path)!r} holds {raw.dtype}; the network takes {spec.dtype}: save it with "
                f".astype({str(spec.dtype)!r}), or say with --scale what its numbers mean"
            )
    return _quantized(_real(raw, spec, preparation), spec)


def _real(raw: np.ndarray, spec: FrameSpec, preparation: Preparation) -> np.ndarray:
    real = raw.astype(np.float32)
    if preparation.scale is not None:
        real = real * np.float32(preparation.scale)
    elif raw.dtype == np.uint8:
        real = real / np.float32(255)  # not times 1/255, which rounds differently from what training scripts do
    if preparation.mean:
        real = real - _per_channel("mean", preparation.mean, spec)
    if preparation.std:
        real = real / _per_channel("std", preparation.std, spec)
    return real


def _per_channel(name: str, values: tuple[float, ...], spec: FrameSpec) -> np.ndarray:
    if len(values) == 1:
        return np.float32(values[0])
    axis = spec.channel_axis
    channels = 1 if axis is None else spec.shape[axis]
    if len(values) != channels:
        raise InputError(f"--{name} has {len(values)} values; the input has {channels} channels: give 1 or {channels}")
    shape = [channels if at == axis else 1 for at in range(len(spec.shape))]
    return np.array(values, np.float32).reshape(shape)


def _quantized(real: np.ndarray, spec: FrameSpec) -> np.ndarray:
    if spec.quantization is None:
        raise InputError(f"the input {spec.name!r} takes {spec.dtype}; give frames of that type")
    return spec.quantization.quantize(real)

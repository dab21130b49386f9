"""What an input takes, and how pictures and numbers become it.

Pictures become grey or RGB as the input needs; transparent parts are black.
Pictures and ``uint8`` arrays hold *pixels* from 0 to 255; every other array holds *numbers*.

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

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwgen.graph.errors import InputError
from hwgen.graph.ir import Graph
from hwgen.graph.network import Network
from hwgen.graph.onnx.model_input import model_input
from hwgen.graph.types import Quantization

if TYPE_CHECKING:
    from PIL import Image


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
        """The frames that the only input of ``graph`` takes."""
        info = graph.tensors[graph.inputs[0]]
        return FrameSpec(graph.inputs[0], tuple(info.shape[1:]), np.dtype(info.dtype))

    @staticmethod
    def of_network(network: Network) -> "FrameSpec":
        """The frames that ``network`` takes, and how it quantises them."""
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
        """The shapes of arrays that fit, for messages."""
        return f"{['N', *self.shape]}, or one frame of {list(self.shape)}"


def file_spec(model: str | Path, input_shape: Mapping[str, tuple[int, ...]] | None = None) -> FrameSpec | None:
    """What the input of the ONNX file ``model`` takes, without reading all of it; None where that cannot be told."""
    found = model_input(model, input_shape)
    return found and FrameSpec(found[0], tuple(found[1].shape[1:]), np.dtype(found[1].dtype))


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
#: In Exif: how a picture is to be turned, where that is beyond ``_UPRIGHT`` with its width and height exchanged.
_ORIENTATION, _UPRIGHT = 0x0112, 4


# Pictures


def picture_pixels(path: Path, spec: FrameSpec, resize: bool = False) -> np.ndarray:
    """The picture at ``path`` as uint8 [1, *shape]; InputError where it cannot be read or has another size."""
    from PIL import Image, ImageOps

    image = _read_picture(path)
    _check_size(path, image.size, spec, resize)
    if spec.picture is None:
        return np.asarray(image.convert("L")).reshape(1, -1)
    height, width, channels = spec.picture
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(height, width, channels)
    return (pixels.transpose(2, 0, 1) if spec.channel_axis == 0 else pixels).reshape(1, *spec.shape)


def check_picture(path: Path, spec: FrameSpec, resize: bool = False) -> None:
    """InputError where :func:`picture_pixels` refuses the picture at ``path``, as far as its head tells."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            size = image.size
            turned = image.getexif().get(_ORIENTATION, 1) > _UPRIGHT
    except Exception as error:
        raise _unreadable(path, error) from None
    _check_size(path, size[::-1] if turned else size, spec, resize)


def _check_size(path: Path, size: tuple[int, int], spec: FrameSpec, resize: bool) -> None:
    """InputError unless a picture of ``size``, width and height, becomes what the input takes."""
    width, height = size
    what = f"{str(path)!r} is {width}x{height} pixels"
    if len(spec.shape) == 1:
        if width * height != spec.shape[0]:
            raise InputError(
                f"{what}, {width * height} in all; the network takes {spec.shape[0]} numbers: give pictures of that "
                "size"
            )
        return
    if spec.picture is None:
        raise InputError(
            f"{str(path)!r} is a picture, of 1 or 3 channels; the input takes {spec.describe()}: give an .npy file"
        )
    high, wide, _ = spec.picture
    if size != (wide, high) and not resize:
        raise InputError(
            f"{what}; the network takes {wide}x{high}: give pictures of that size, or --resize to have them scaled"
        )


def _read_picture(path: Path) -> "Image.Image":
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            image.load()
    except Exception as error:
        raise _unreadable(path, error) from None
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{str(path)!r} has pixels of more than 8 bits; save it with 8 bits, or give an .npy file")
    if "A" in image.mode or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return image


def _unreadable(path: Path, error: Exception) -> InputError:
    """Decoders raise many kinds of errors for damaged files."""
    reason = getattr(error, "strerror", None) or "it is damaged, or not a picture"
    return InputError(f"cannot read {str(path)!r}: {reason}")


# Numbers


def prepared(raw: np.ndarray, spec: FrameSpec, preparation: Preparation, source: str) -> np.ndarray:
    """Frames [N, *shape] of any type as the model takes them; ``source`` names them in errors."""
    check_numbers(raw.dtype, spec, preparation, source)
    if spec.dtype.kind == "f":
        return _real(raw, spec, preparation)
    if preparation.given or raw.dtype.kind == "f":
        return _quantized(_real(raw, spec, preparation), spec)
    if raw.dtype == spec.dtype:
        return raw
    if spec.dtype == np.int8:  # pixels
        return (raw ^ 0x80).view(np.int8)
    return _quantized(_real(raw, spec, preparation), spec)


def check_numbers(kind: np.dtype, spec: FrameSpec, preparation: Preparation, source: str) -> None:
    """InputError where numbers of type ``kind`` are not for this input, or are not prepared for its channels."""
    for name in ("mean", "std"):
        values = getattr(preparation, name)
        if values:
            _per_channel(name, values, spec)
    real = spec.dtype.kind == "f" or preparation.given or kind.kind == "f"
    if not (real or kind == spec.dtype or kind == np.uint8):
        raise InputError(
            f"{source!r} holds {kind}; the network takes {spec.dtype}: save it with "
            f".astype({str(spec.dtype)!r}), or say with --scale what its numbers mean"
        )


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
        return np.array(values[0], np.float32)
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

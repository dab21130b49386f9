"""How a float model is quantised: what the user may choose."""

from dataclasses import dataclass

from hwgen.graph.errors import InputError
from hwgen.graph.quantize.calibrate import METHODS
from hwgen.graph.types import Quantization


@dataclass(frozen=True)
class Recipe:
    """The choices of :func:`hwgen.graph.quantize.quantize.quantize`; the defaults are the best measured
    (docs/accuracy.md).

    - ``ranges``: how the range of an activation follows from what calibration saw, one of
      :data:`hwgen.graph.quantize.calibrate.METHODS`.
    - ``equalize``: channels between two layers are scaled until their ranges are alike.
    - ``correct_bias``: what rounding shifts the mean of a channel by goes into its bias.
    - ``wide``: activations that get 16 bits instead of 8, by name; ``"auto"`` adds those
      that cost the most accuracy in 8 (:mod:`hwgen.graph.quantize.wide`).
    - ``kept``: quantisations of activations that are given, by name, whatever calibration sees.
    - ``random_frames``: how many frames of noise stand in for calibration frames where none are given.

    Raises InputError for an unknown method.
    """

    ranges: str = "mse"
    equalize: bool = True
    correct_bias: bool = True
    wide: tuple[str, ...] = ()
    kept: tuple[tuple[str, Quantization], ...] = ()
    random_frames: int = 16

    def __post_init__(self):
        if self.ranges not in METHODS:
            raise InputError(f"calibration method {self.ranges!r} is unknown; choose one of {', '.join(METHODS)}")


DEFAULT = Recipe()

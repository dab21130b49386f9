"""hwgen turns trained CNNs (ONNX) into bit-exact streaming FPGA accelerators.

>>> import hwgen
>>> design = hwgen.compile("lenet5.onnx", calibration="pictures/")
>>> print(design.report)
>>> design.write("build/lenet5")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwgen.flow import Design, compile, retrained, simulate_loads
    from hwgen.graph.errors import FitError, HwgenError, InputError, ModelError
    from hwgen.graph.quantize.recipe import Recipe

__all__ = [
    "Design", "FitError", "HwgenError", "InputError", "ModelError", "Recipe", "__version__", "compile", "retrained",
    "simulate_loads",
]  # fmt: skip

__version__ = "0.1.0"


def __getattr__(name: str):
    """Public names are imported when they are first used, so that ``import hwgen`` and ``--help`` are quick."""
    if name in ("Design", "compile", "retrained", "simulate_loads"):
        from hwgen import flow

        return getattr(flow, name)
    if name == "Recipe":
        from hwgen.graph.quantize.recipe import Recipe

        return Recipe
    if name in __all__:
        from hwgen.graph import errors

        return getattr(errors, name)
    raise AttributeError(f"module 'hwgen' has no attribute {name!r}")

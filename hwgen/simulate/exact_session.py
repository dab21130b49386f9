"""A session of ONNX Runtime whose integer arithmetic is exact, on any processor.

On x86 without VNNI, ONNX Runtime's kernels for products of u8 and s8 add pairs of them in 16 bits, which saturate (its
documentation of quantisation says so under "When and why do I need to try U8U8?"). There the weights become u8 before
the model is given to it. Its own option for that (``session.x64quantprecision``) takes no model that has s8 activations
anywhere. Weights of fewer than 8 bits, for which it has no kernels on integers at all, become s8.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from hwgen.graph.errors import InputError
from hwgen.graph.onnx.narrow_weights import scales_by_hand, with_whole_bytes
from hwgen.graph.onnx.unsigned_weights import saturation_probe, with_unsigned_weights

#: Convolutions of s8 activations are computed on integers on x86, too, not in float32.
INT8_ALLOWED = {"session.qdqisint8allowed": "1"}

#: Quantises weights anew that are real numbers to it, as those that are scaled by Cast and Mul are.
_REQUANTISING = ("WeightBiasQuantization",)


def exact_session(model: bytes, threads: int = 0) -> Any:
    """A session for ``model`` on the processor, on up to ``threads`` (0: all); None where ONNX Runtime refuses it.

    Raises InputError where ONNX Runtime is not installed, or cannot run this model exactly on this processor.
    """
    model = with_whole_bytes(model)
    left_out = _REQUANTISING if scales_by_hand(model) else ()
    if not saturates():
        return open_session(model, INT8_ALLOWED, threads, left_out=left_out)
    unsigned, left = with_unsigned_weights(model)
    written = [name for name, integers in left.items() if integers]
    if written:
        raise InputError(
            f"node {written[0]!r} multiplies u8 by s8 that is not constant, which ONNX Runtime gets wrong on this "
            f"processor; compare on one with VNNI, or simulate without it"
        )
    if left:
        return open_session(model, threads=threads, optimised=False)
    return open_session(unsigned, INT8_ALLOWED, threads, left_out=left_out)


def open_session(
    model: bytes,
    entries: Mapping[str, str] | None = None,
    threads: int = 0,
    optimised: bool = True,
    left_out: Sequence[str] = (),
) -> Any:
    """A session with these ``entries`` in its configuration, and all optimisations but those ``left_out``; None where
    ONNX Runtime refuses the model."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError("ONNX Runtime is not installed; get it with pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, threads
    for name, value in (entries or {}).items():
        options.add_session_config_entry(name, value)
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(left_out)
        )
    except Exception:  # of the classes that it raises none is public
        return None


@cache
def saturates() -> bool:
    """Whether sums of products of u8 and s8 saturate on this processor."""
    terms = 64
    session = open_session(saturation_probe(terms))
    (found,) = session.run(None, {"x": np.full((1, terms), 255, np.uint8)})
    return int(found[0, 0]) != terms * 255 * 127

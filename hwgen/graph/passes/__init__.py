"""Named passes that bring an imported graph into the form that quantiser and lowering expect."""

from collections.abc import Callable, Iterable

from ..check import check_graph
from ..ir import Graph
from .apart import keep_frames_apart
from .batch import free_batch
from .canonical import canonicalize, means_to_pools
from .constants import dequantize_by_hand, fold_constants, remove_identities
from .head import strip_head
from .integer_input import casts_of_the_input, clips_of_an_integer_input, normalisation_of_the_input
from .integers import clips_of_the_input, clips_to_limits, layout_before_dequantizer, remove_casts
from .linear import fold_batch_normalization, fold_bias_add, fold_scales_and_biases, matmul_to_gemm, normalize_gemm
from .padding import merge_pads
from .shape import clip_before_pick, normalize_reshapes
from .still import still_channels
from .tables import tables_of_gathers
from .transposes import cancel_transposes
from .whole_numbers import quantize_whole_numbers

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    remove_identities,
    remove_casts,
    clips_to_limits,
    dequantize_by_hand,
    fold_constants,
    tables_of_gathers,
    casts_of_the_input,
    clips_of_an_integer_input,
    clips_of_the_input,
    strip_head,
    canonicalize,
    free_batch,
    keep_frames_apart,
    layout_before_dequantizer,
    matmul_to_gemm,
    cancel_transposes,
    normalisation_of_the_input,
    means_to_pools,
    normalize_reshapes,
    quantize_whole_numbers,
    normalize_gemm,
    fold_bias_add,
    fold_batch_normalization,
    fold_scales_and_biases,
    merge_pads,
    clip_before_pick,
    still_channels,
)


def simplify(graph: Graph, passes: Iterable[Pass] = PASSES, trace: Callable[[str, Graph], None] | None = None) -> Graph:
    """``graph`` after ``passes``, checked before and after each; ``trace`` sees every pass's name and result."""
    check_graph(graph)
    for step in passes:
        graph = step(graph)
        try:
            check_graph(graph)
        except ValueError as error:
            raise ValueError(f"pass {step.__name__} broke the graph:\n{error}") from error
        if trace:
            trace(step.__name__, graph)
    return graph

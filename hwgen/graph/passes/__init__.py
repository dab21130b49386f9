"""Named passes that bring an imported graph into the form that quantiser and lowering expect."""

from collections.abc import Callable, Iterable

from ..check import check_graph
from ..ir import Graph
from .constants import fold_constants, remove_identities
from .head import strip_head
from .linear import fold_batch_normalization, fold_bias_add, matmul_to_gemm, normalize_gemm
from .shape import clip_before_pick, normalize_reshapes

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    remove_identities,
    fold_constants,
    strip_head,
    normalize_reshapes,
    matmul_to_gemm,
    normalize_gemm,
    fold_bias_add,
    fold_batch_normalization,
    clip_before_pick,
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

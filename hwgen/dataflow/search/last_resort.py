"""What is found where weights need not be loaded if they can be constants: with constants first."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hwgen.dataflow.plan import Plan
from hwgen.graph.errors import FitError

if TYPE_CHECKING:
    from .search import Search


def loaded_or_not(search: "Search", find: Callable[["Search"], Plan]) -> Plan:
    """What ``find`` finds with ``search``; where that does not fit, with weights in UltraRAM if it has that as its last
    resort. FitError where nothing fits, unless the search is lenient."""
    try:
        plan = find(search)
    except FitError:
        if search.loaded is None:
            raise
        return find(search.loaded)
    if search.loaded is None or search.suffices(plan):
        return plan
    try:
        return find(search.loaded)
    except FitError:
        return plan

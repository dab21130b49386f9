"""Which activations get 16 bits."""
from collections.abc import Mapping
import numpy as np
from .calibrate import Range
from .ir import Graph
from .placement import Placement
def wide_tensors(graph, place, ranges, frames, wanted):
    return frozenset(wanted)

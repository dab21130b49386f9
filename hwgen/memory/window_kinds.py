"""The kinds of window buffers that there are."""

from .column_ring import ColumnRing
from .patch import Patch
from .ring import Ring
from .sliding import Sliding
from .window import WindowBuffer

#: By what a plan calls them. A ring gives one word a cycle from RAM, one of columns a word of each row of the kernel, a
#: patch one of each tap, both from RAM behind line memories; one that slides is in registers and gives any portion.
WINDOWS: dict[str, type[WindowBuffer]] = {"ring": Ring, "columns": ColumnRing, "patch": Patch, "sliding": Sliding}

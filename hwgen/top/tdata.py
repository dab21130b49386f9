"""Integers in whole bytes, as the exported top, hosts and the link move them."""

import numpy as np

from hwgen.graph.types import IntType
from hwgen.hdl.contents import pack_rows


def element_bytes(type_: IntType) -> int:
    """Bytes that one element takes in ``tdata``: whole ones."""
    return -(-type_.width // 8)


def tdata_rows(values: np.ndarray, type_: IntType, lanes: int = 1) -> np.ndarray:
    """Integers in raster order as words of ``tdata``, uint8 [words, bytes]: ``lanes`` elements each, padded to whole
    bytes, the first lowest."""
    return pack_rows(np.asarray(values).reshape(-1, lanes), 8 * element_bytes(type_))

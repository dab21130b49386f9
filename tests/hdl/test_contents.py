"""Words of memories: packed, read back and written as text."""

import numpy as np
import pytest

from hwgen.hdl.contents import Contents
from hwgen.memory.rom import pack


@pytest.mark.parametrize("width", [1, 3, 8, 13, 40])
@pytest.mark.parametrize("lanes", [1, 5])
def test_packed_words_are_those_of_python_integers(width, lanes):
    values = np.random.default_rng(width).integers(-(1 << width - 1), 1 << width - 1, (7, lanes))
    words = [pack(row, width) for row in values.tolist()]
    contents = Contents.packed(values, width)
    assert list(contents) == words
    assert contents.bits == 7 * lanes * width
    assert contents == Contents.of(words, lanes * width)
    assert hash(contents) == hash(Contents.of(words, lanes * width))
    assert contents != Contents.of([words[0] ^ 1, *words[1:]], lanes * width)


@pytest.mark.parametrize("width", [4, 8, 9, 17])
def test_text_has_as_many_digits_as_the_width_takes(width):
    words = [0, 1, (1 << width) - 1, 1 << width - 1]
    assert Contents.of(words, width).hex_lines() == "".join(f"{word:0{-(-width // 4)}x}\n" for word in words)

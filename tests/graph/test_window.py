"""Window arithmetic against a slow, obvious definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwgen.graph.semantics.window import Window

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(
    kernel=pairs,
    strides=pairs,
    dilations=pairs,
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_patches_are_the_taps_of_each_window(kernel, strides, dilations, pads, size):
    window = Window(kernel, strides, dilations, pads)
    x = np.arange(2 * size[0] * size[1] * 2).reshape(2, *size, 2)
    padded = np.full((2, *window.padded_size(*size), 2), -1)
    padded[:, pads[0] : pads[0] + size[0], pads[1] : pads[1] + size[1]] = x
    starts = [
        [start for start in range(0, total, stride) if start + extent <= total]
        for total, stride, extent in zip(window.padded_size(*size), strides, window.extent, strict=True)
    ]
    if not all(starts):
        with pytest.raises(ValueError, match="does not fit"):
            window.patches(x, -1)
        return
    patches = window.patches(x, -1)
    assert window.output_size(*size) == (len(starts[0]), len(starts[1])) == patches.shape[1:3]
    for row, y in enumerate(starts[0]):
        for column, left in enumerate(starts[1]):
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    tap = padded[:, y + i * dilations[0], left + j * dilations[1]]
                    assert (patches[:, row, column, i, j] == tap).all()


@pytest.mark.parametrize(
    ("attributes", "spatial", "kernel", "pads"),
    [
        ({"auto_pad": "SAME_UPPER"}, (5, 5), (2, 2), (0, 0, 1, 1)),
        ({"auto_pad": "SAME_LOWER"}, (5, 5), (2, 2), (1, 1, 0, 0)),
        ({"auto_pad": "SAME_UPPER", "strides": (2, 2)}, (5, 6), (3, 3), (1, 0, 1, 1)),
        ({"auto_pad": "VALID"}, (5, 5), (3, 3), (0, 0, 0, 0)),
        ({"pads": (1, 2, 3, 4)}, (9, 9), (3, 3), (1, 2, 3, 4)),
        ({"pads": (1, 2)}, (9,), (3,), (0, 1, 0, 2)),
        ({"ceil_mode": 1, "strides": (2, 2)}, (5, 4), (2, 2), (0, 0, 1, 0)),
        ({"ceil_mode": 1, "strides": (3, 3)}, (4, 4), (1, 1), (0, 0, 0, 0)),
        ({"ceil_mode": 1, "strides": (2, 2), "pads": (0, 0, 1, 1)}, (4, 4), (1, 1), (0, 0, 0, 0)),
    ],
)
def test_onnx_settings_become_pads(attributes, spatial, kernel, pads):
    assert Window.from_onnx(attributes, spatial, kernel).pads == pads


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"pads": (-1, 0, 0, 0)}, "negative"),
        ({"pads": (1, 1)}, "2 spatial dimensions"),
        ({"strides": (0, 1)}, "strides must lie between 1 and"),
        ({"dilations": (1, 1, 1)}, "dilations"),
        ({"auto_pad": "SAME"}, "not one of"),
        ({"auto_pad": "VALID", "pads": (1, 1, 1, 1)}, "together with pads"),
        ({"ceil_mode": 1, "count_include_pad": 1, "strides": (5, 5), "pads": (1, 1, 0, 0)}, "ceil_mode together with"),
    ],
)
def test_nonsense_is_refused(attributes, words):
    with pytest.raises(ValueError, match=words):
        Window.from_onnx(attributes, (5, 5), (2, 2))


@pytest.mark.parametrize(
    ("window", "covers"),
    [
        (Window((3, 5)), True),
        (Window((3, 5), strides=(2, 1)), True),
        (Window((2, 5), strides=(2, 1)), False),  # the last row is in no window
        (Window((3, 4)), False),  # two windows
        (Window((5, 6), strides=(9, 9), pads=(1, 1, 1, 0)), True),
        (Window((4, 5), strides=(9, 9), pads=(2, 0, 0, 0)), False),  # the first window ends before the last row
        (Window((3, 3), dilations=(1, 2)), False),  # steps over columns
    ],
)
def test_a_window_covers_a_map_that_lies_in_it_as_a_whole(window, covers):
    assert window.covers(3, 5) is covers

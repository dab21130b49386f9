"""Warnings point at the caller's line."""

import inspect
import warnings

import pytest

import hwgen
from hwgen import flow
from tests import tiny


@pytest.mark.parametrize("call", [hwgen.compile, flow.quantised], ids=["compile", "quantised"])
def test_a_warning_points_at_the_line_that_called_hwgen(call, tmp_path):
    path = tiny.save(tmp_path / "tiny.onnx")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = inspect.currentframe().f_lineno + 1
        call(path)
    said = [each for each in caught if "no calibration data" in str(each.message)]
    assert [(each.filename, each.lineno) for each in said] == [(__file__, line)]

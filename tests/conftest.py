"""What holds for all tests."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def processor_that_saturates():
    """``HWGEN_SATURATES=1 pytest``: references are computed as they must be where products of u8 and s8 saturate."""
    if not os.environ.get("HWGEN_SATURATES"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwgen.exact_session.saturates", lambda: True)
        yield

"""What holds for all tests."""

import gc
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says nothing on a machine that does other things besides.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config):
    """What is kept between runs starts empty and is kept for one session, its workers included."""
    gc.set_threshold(200_000)  # modules, tests and elaborated hardware are many objects, of which few can go
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process that a test starts would compile hwgen anew
    if "HWGEN_CACHE_DIR" not in os.environ:
        os.environ["HWGEN_CACHE_DIR"] = config.own_cache = tempfile.mkdtemp(prefix="hwgen_test_cache_")


def pytest_unconfigure(config):
    if folder := getattr(config, "own_cache", None):
        del os.environ["HWGEN_CACHE_DIR"]
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_finish():
    """Modules and tests stay: Python looks through them no more for what can go, which took a fifth of the time of
    tests that elaborate hardware."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def processor_that_saturates():
    """``HWGEN_SATURATES=1 pytest``: references are computed as they must be where products of u8 and s8 saturate."""
    if not os.environ.get("HWGEN_SATURATES"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwgen.simulate.exact_session.saturates", lambda: True)
        yield

"""Run `test_core.py` on a build: python examples/cocotb/run.py build/lenet5 [lenet5]

Needs Icarus Verilog, and `pip install cocotb cocotbext-axi`.
"""

import sys
from pathlib import Path

from cocotb_tools.runner import get_results, get_runner


def run(folder, name=None):
    """Compile the core and run the tests in `folder`, where its memory files are; the number of tests that failed."""
    folder = Path(folder).resolve()
    name = name or folder.name
    runner = get_runner("icarus")
    made = folder / "cocotb"
    runner.build(
        sources=[folder / f"{name}.v"], hdl_toplevel=name, build_dir=made, timescale=("1ns", "1ps"), always=True
    )
    sys.path.insert(0, str(Path(__file__).parent))  # where the simulator's Python finds the tests
    results = runner.test(hdl_toplevel=name, test_module="test_core", build_dir=made, test_dir=folder)
    return get_results(results)[1]


if __name__ == "__main__":
    sys.exit(1 if run(*sys.argv[1:]) else 0)

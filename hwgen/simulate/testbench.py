"""A self-checking Verilog-2005 test bench for the exported top, and the vectors that it reads."""

import numpy as np

from hwgen.accelerator import Hardware
from hwgen.tools.templates import render
from hwgen.top.axi import AxiTop

INPUT_FILE = "input.hex"
LOAD_FILE = "weights.hex"


def expected_files(top: AxiTop) -> list[str]:
    """The files with what each output of ``top`` must give."""
    return [f"{name.replace('m_axis', 'expected')}.hex" for name in top.ports.values()]


def vectors(top: AxiTop, x: np.ndarray, *y: np.ndarray) -> dict[str, str]:
    """The texts of ``input.hex`` and ``expected.hex``, a word of ``tdata`` in each line, from frames ``x``
    [N, H, W, C] and what they must give ``y`` [N, H, W, C]."""
    files, ports = (INPUT_FILE, *expected_files(top)), (top.source, *top.results)
    return {file: port.words(values).hex_lines() for file, port, values in zip(files, ports, (x, *y), strict=True)}


def vector_files(made: Hardware) -> dict[str, str]:
    """The vectors of the samples, by golden."""
    return vectors(made.component, *made.tensors.values())


def bench_files(made: Hardware) -> dict[str, str]:
    """The test bench and its vectors, by the names of the files."""
    top, run, frames = made.component, made.schedule.run, len(made.samples)
    loaded = top.loads.load_bytes if top.loads else 0
    bench = verilog_testbench(
        made.name,
        top,
        frames,
        cycles=run.frame_end(frames - 1) - run.frame_end(frames - 2),
        latency=made.schedule.first_output + AxiTop.LATENCY,
        timeout=20 * (made.schedule.latency + frames * made.schedule.interval + loaded),
        waits=made.plan.waits_for_load,
    )
    return {f"{made.name}_tb.v": bench, **vector_files(made)}


def verilog_testbench(
    name: str,
    top: AxiTop,
    frames: int,
    *,
    cycles: int = 0,
    latency: int = 0,
    timeout: int = 1_000_000,
    waits: bool = False,
) -> str:
    """The text of module ``<name>_tb``: sends ``input.hex`` to module ``name`` and compares with ``expected.hex``
    (``expected_0.hex`` and so on where there are several outputs).

    Run it in the folder with these files: at full speed as it is, and with all ends pausing at random with the
    plusarg ``+stall=SEED`` (or parameter ``STALL``). Where ``top`` has weights to load, ``+load`` loads those in
    ``weights.hex`` first; it ``waits`` for them anyway where there are none before. It checks every word, the place of
    every ``tlast``, that an offer stays until it is taken, and ``frame_error``. At full speed it also checks the
    ``cycles`` from the end of a frame to that of the next (the last two of at least three frames) and the ``latency``
    from the first beat sent to the first received, where these are not 0. It ends with a line that begins with ``PASS``
    or ``FAIL``, after ``timeout`` cycles at the latest.
    """
    outputs = [
        {"n": port.removeprefix("m_axis"), "bits": result.bits, "beats": result.beats, "file": file}
        for port, result, file in zip(top.ports.values(), top.results, expected_files(top), strict=True)
    ]
    return render(
        "hwgen.simulate",
        "testbench.v.j2",
        name=name,
        source=top.source,
        outputs=outputs,
        frames=frames,
        cycles=cycles,
        latency=latency,
        timeout=timeout,
        input_file=INPUT_FILE,
        load_file=LOAD_FILE,
        load_beats=top.loads.load_beats if top.loads else 0,
        waits=waits,
    )

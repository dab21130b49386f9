"""Networks with several outputs: a port, vectors and checks of its own for each."""

from dataclasses import replace

import pytest

from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import search
from hwgen.graph import golden
from hwgen.graph.network import Output
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from hwgen.hdl.export import to_verilog
from hwgen.simulate.testbench import vectors, verilog_testbench
from hwgen.testing import random_frames
from hwgen.top.axi import AxiPort, AxiTop
from tests.blocks.cases import conv
from tests.dataflow.nets import graph
from tests.hdl.test_export import FRAMES, icarus, tool


@pytest.mark.slow
@tool("iverilog")
def test_every_output_is_checked(tmp_path):
    first = conv(FeatureMap(6, 7, 3, U8), Window((3, 3), pads=(1, 1, 1, 1)), 8)
    network = graph((first, "t0"), (conv(first.output, Window((1, 1)), 5, seed=1), "t1"))
    streams = [network.tensors[name] for name in ("t2", "t1")]  # the end, and what is read here too
    network = replace(network, outputs=tuple(Output(each.name, (each,), each.map.shape) for each in streams))
    design = search(network, multipliers=14)
    core = Pipeline(design)
    ports = [
        AxiPort(each.map.type, lanes, each.map.elements // lanes)
        for each, lanes in zip((network.input, *streams), (core.lanes_in, *core.lanes_out), strict=True)
    ]
    top, x = AxiTop(core, ports[0], ports[1:]), random_frames(network.input.map, FRAMES)
    tensors = golden.run(network, x)
    texts = vectors(top, x, *(tensors[each.name] for each in streams))
    timed = schedule(design, FRAMES).run
    bench = verilog_testbench("net", top, FRAMES, cycles=timed.interval, timeout=100_000)
    for name, text in {"net.v": to_verilog(top, "net"), "net_tb.v": bench, **texts}.items():
        (tmp_path / name).write_text(text)
    assert sorted(texts) == ["expected_0.hex", "expected_1.hex", "input.hex"]
    beats = sum(len(texts[f"expected_{n}.hex"].splitlines()) for n in range(2))
    for stall in ((), ("+stall=1",)):
        assert icarus(tmp_path, *stall)[-1].startswith(f"PASS net: 3 frames, {beats} beats")
    text = texts["expected_1.hex"]
    (tmp_path / "expected_1.hex").write_text(f"{int(text[:2], 16) ^ 1:02x}{text[2:]}")
    assert icarus(tmp_path)[0].startswith("m_axis_1: frame 0 beat 0, cycle ")

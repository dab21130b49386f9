"""A driver for PYNQ: a Python file that needs nothing of hwgen, and the data that it works by."""

import inspect
import json
import zlib
from importlib.resources import files
from typing import Any

import numpy as np

from hwgen.graph.errors import InputError
from hwgen.graph.expression import Expression
from hwgen.graph.network import Output, QuantizedTensor
from hwgen.graph.semantics import float_elementwise
from hwgen.graph.semantics.operators import OPERATORS
from hwgen.top.axi import AxiPort

from .dma import LENGTH_BITS, STATUS, dma_names
from .facts import BuildFacts, Facts, render
from .header import FRAMES, WEIGHTS

_MAX_BYTES = (1 << LENGTH_BITS) - 1


def pynq_files(facts: BuildFacts) -> dict[str, str]:
    """Everything in the folder ``pynq``."""
    spec = driver_spec(facts)
    driver = files("hwgen.projects").joinpath("templates", "accelerator.py").read_text(encoding="utf-8")
    functions = [spec["input"]["function"], *(output["function"] for output in spec["outputs"])]
    needed = any(functions) or "load" in spec  # a network that is loaded may have some
    shared = {"elementwise.py": inspect.getsource(float_elementwise)} if needed else {}
    return {
        "accelerator.py": driver,
        "accelerator.json": _text(spec),
        **shared,
        "README.md": render("pynq.md.j2", name=facts.made.name, device=facts.made.device, spec=spec),
    }


def pynq_load_files(facts: Facts) -> dict[str, str]:
    """What the driver reads beside the weights."""
    return {"accelerator.json": _text(driver_spec(facts))}


def _text(spec: dict[str, Any]) -> str:
    return json.dumps(spec, indent=1) + "\n"


def driver_spec(facts: Facts) -> dict[str, Any]:
    """What the driver needs to know: plain values, in a fixed order."""
    network, top = facts.made.network, facts.made.component
    cells = dma_names(len(top.results))
    ports = {stream.name: port for stream, port in zip(network.results, top.ports.values(), strict=True)}
    streams = [
        {"port": ports[stream.name], "dma": cell} | _stream(stream, port)
        for stream, port, cell in zip(network.results, top.results, cells, strict=True)
    ]
    spec: dict[str, Any] = {
        "name": facts.made.name,
        "max_bytes": _MAX_BYTES,
        "status": STATUS,
        "input": {
            "dma": cells[0],
            "shape": list(network.input_shape),
            "order": network.input_order,
            "integer": network.integer_input,
            "limits": list(network.input_range),
            "function": _function(network.input_function),
        }
        | _stream(network.input, top.source),
        "streams": streams,
        "outputs": [_output(output, ports) for output in network.outputs],
        "left_to_the_host": [*network.head, *([str(network.tail)] if network.tail else [])],
    }
    if facts.image is not None:
        spec["load"] = {
            "header_bytes": facts.header_bytes,
            "bytes": len(facts.image),
            "crc32": zlib.crc32(facts.image),
            "frames": FRAMES.decode(),
            "weights": WEIGHTS.decode(),
            "waits": facts.waits,
        }
    sizes = {"a frame": max(stream["frame_bytes"] for stream in (spec["input"], *streams))}
    sizes |= {"a load": len(facts.image)} if facts.image is not None else {}
    what, largest = max(sizes.items(), key=lambda item: item[1])
    most = _MAX_BYTES - facts.header_bytes
    if largest > most:
        raise InputError(
            f"{what} takes {largest} bytes, more than the {most} of a DMA transfer; leave out --project pynq"
        )
    return spec


def _stream(tensor: QuantizedTensor, port: AxiPort) -> dict[str, Any]:
    quantization = tensor.quantization
    return {
        "stream": list(tensor.map.shape),
        "bits": port.type.width,
        "signed": port.type.signed,
        "dtype": str(port.type.dtype),
        "bytes": port.element_bytes,
        "frame_bytes": port.frame_bytes,
        "scale": quantization.scales.tolist(),
        "zero_point": quantization.zero_point,
    }


def _output(output: Output, ports: dict[str, str]) -> dict[str, Any]:
    return {
        "name": output.name,
        "ports": [ports[stream.name] for stream in output.streams],
        "shape": list(output.shape),
        "order": output.order,
        "places": None if output.places is None else np.asarray(output.places).reshape(-1).tolist(),
        "function": _function(output.function),
        "integer": output.integer,
    }


def _function(expression: Expression | None) -> dict[str, Any] | None:
    """``expression`` in terms of the functions of :mod:`hwgen.graph.semantics.float_elementwise`, which goes with
    the driver, and of numpy."""
    if expression is None:
        return None
    nodes = [
        {
            "function": OPERATORS[node.op].compute.__name__,
            "inputs": list(node.inputs),
            "output": node.outputs[0],
            "attributes": dict(node.attributes),
        }
        for node in expression.nodes
    ]
    return {
        "inputs": list(expression.inputs),
        "output": expression.output,
        "constants": {name: np.asarray(value).tolist() for name, value in expression.constants.items()},
        "nodes": nodes,
    }

"""A header for C99 without an operating system, an example, and the registers of AMD's DMA."""

import re
from importlib.resources import files
from typing import Any

import numpy as np

from hwgen.graph.network import Output, QuantizedTensor
from hwgen.names import identifier
from hwgen.top.axi import AxiPort

from .dma import addresses, dma_names
from .facts import BuildFacts, Facts, render
from .header import FRAMES, WEIGHTS

_FRAMES = 2  # in the example: as many as fit into one transfer, and more than one


def baremetal_files(facts: BuildFacts) -> dict[str, str]:
    """Everything in the folder ``baremetal``."""
    values = header_values(facts, facts.made.name)
    frames = min(_FRAMES, len(facts.made.samples))
    labels = ["input", *(f"result_{n}" for n in range(len(facts.made.component.results)))]
    blobs = [(label, b"".join(blob[:frames])) for label, blob in zip(labels, facts.blobs, strict=True)]
    blobs += [("weights", facts.load)] if facts.waits else []
    known = facts.made.device.system is not None
    ports = facts.made.component.ports.values()
    places, status = addresses(facts.made.device.system, len(ports))
    dmas = [
        {"cell": cell, "address": f"0x{place:08X}", "port": port}
        for cell, place, port in zip(dma_names(len(ports)), places, ports, strict=True)
    ]
    values |= {"dmas": dmas, "frames": frames, "known": known, "status": f"0x{status:08X}"}
    return {
        f"{facts.made.name}.h": render("network.h.j2", **values),
        "axi_dma.h": files("hwgen.projects").joinpath("templates", "axi_dma.h").read_text(encoding="utf-8"),
        "main.c": render("main.c.j2", **values),
        "vectors.h": render("vectors.h.j2", blobs=blobs),
        "Makefile": render("Makefile.j2", **values),
        "README.md": render("baremetal.md.j2", **values),
    }


def baremetal_load_files(facts: Facts) -> dict[str, str]:
    """The header of the network that is loaded, by its own name: a program can have several."""
    name = identifier(facts.made.network.name)
    return {f"{name}.h": render("network.h.j2", **header_values(facts, name))}


def header_values(facts: Facts, name: str) -> dict[str, Any]:
    """What the header called ``name`` says, in C's notation; real numbers in hexadecimal, so that none is rounded."""
    network, top = facts.made.network, facts.made.component
    kind, zero = network.input.quantization.type, network.input.quantization.zero_point
    least, most = network.input_range
    source = _stream(network.input, top.source) | {
        "shape": list(network.input_shape),
        "order": network.input_order,
        "integer": network.integer_input,
        "range": network.input_limits if network.integer_input else None,
        "function": str(network.input_function) if network.input_function else "",
        "low": np.iinfo(kind.dtype).min if network.input_limits else kind.min,
        "high": np.iinfo(kind.dtype).max if network.input_limits else kind.max,
        "least": _float(least - zero),
        "most": _float(most - zero),
    }
    names = [stream.name for stream in network.results]
    streams = [
        {"port": port} | _stream(stream, result)
        for stream, result, port in zip(network.results, top.results, top.ports.values(), strict=True)
    ]
    taken: set[str] = set()
    return {
        "name": name,
        "prefix": name.upper(),
        "load": None if facts.image is None else _load(facts),
        "source": source,
        "streams": streams,
        "outputs": [_output(output, names, taken) for output in network.outputs],
    }


def _load(facts: Facts) -> dict[str, Any]:
    """With the first words as C has them."""
    words = {kind: ", ".join(f"{byte}u" for byte in word) for kind, word in (("frames", FRAMES), ("weights", WEIGHTS))}
    return words | {"header_bytes": facts.header_bytes, "bytes": len(facts.load), "waits": facts.waits}


def _float(value: float) -> str:
    return f"{float(np.float32(value)).hex()}f"


def _stream(tensor: QuantizedTensor, port: AxiPort) -> dict[str, Any]:
    quantization, (height, width, channels) = tensor.quantization, tensor.map.shape
    return {
        "map": str(tensor.map),
        "elements": tensor.map.elements,
        "pixels": height * width,
        "channels": channels,
        "bytes": port.element_bytes,
        "frame_bytes": port.frame_bytes,
        "signed": int(port.type.signed),
        "scale": [_float(value) for value in np.atleast_1d(quantization.scales).tolist()],
        "zero": quantization.zero_point,
    }


def _output(output: Output, streams: list[str], taken: set[str]) -> dict[str, Any]:
    """A result, and where each of its elements lies in its stream: ``index`` says how that is written, None where the
    result is more than a stream dequantised."""
    name = identifier(output.name).lower()
    while name in taken:
        name += "_"
    taken.add(name)
    values = {
        "id": name,
        "label": re.sub(r"[^ -~]|\*/", "_", output.name),  # within a comment
        "shape": list(output.shape),
        "size": int(np.prod(output.shape, dtype=np.int64)),
        "integer": output.integer,
        "function": str(output.function) if output.function else "",
        "streams": ", ".join(f"stream {streams.index(stream.name)}" for stream in output.streams),
        "index": None,
    }
    if output.function is not None and not output.integer:
        return values
    height, width, channels = output.streams[0].map.shape
    places, planes = element_places(output), height * width
    plain, turned = np.arange(places.size), np.arange(planes * channels).reshape(-1, channels).T.reshape(-1)
    index = "plain" if np.array_equal(places, plain) else "planes" if np.array_equal(places, turned) else "table"
    where = {"stream": streams.index(output.streams[0].name), "pixels": planes, "channels": channels}
    return values | where | {"index": index, "table": places.tolist() if index == "table" else []}


def element_places(output: Output) -> np.ndarray:
    """Where each element of a result of one stream, in ONNX's order, lies in the raster of that stream."""
    height, width, channels = output.streams[0].map.shape
    places = np.arange(height * width * channels).reshape(height, width, channels)
    if output.order == "channels_last":
        places = places.transpose(2, 0, 1)
    flat = places.reshape(-1)
    return flat if output.places is None else flat[np.asarray(output.places).reshape(-1)]

"""Runs the accelerator on a board with PYNQ. Needs numpy and pynq, and nothing of what made the accelerator.

>>> from accelerator import Accelerator
>>> accelerator = Accelerator()                # loads the bitstream that lies beside this file
>>> scores = accelerator.run(frames)           # [N, ...] as the model takes them, or one frame

What goes through the DMA is described in ``accelerator.json``: integers in raster order, channels last, each in whole
bytes, the lowest first, frame behind frame without a gap.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pynq

FOLDER = Path(__file__).resolve().parent
BUFFER_BYTES = 1 << 22  # of the larger buffer, unless one frame takes more


class Accelerator(pynq.Overlay):
    """The overlay with the network in it; ``bitfile`` with its ``.hwh`` beside it. Weights that the bitstream does not
    hold are loaded from the ``weights.bin`` that lies beside this file."""

    def __init__(self, bitfile=None, **settings):
        self.spec = json.loads((FOLDER / "accelerator.json").read_text(encoding="utf-8"))
        super().__init__(str(bitfile or FOLDER / f"{self.spec['name']}.bit"), **settings)
        self._buffers = {}
        if self.spec.get("load", {}).get("waits"):
            self.load(FOLDER)

    def run(self, frames, batch=None):
        """The model's result [N, ...] for ``frames`` [N, ...], or one frame; of several results each by its name.

        ``batch`` frames are moved in one transfer. Raises ValueError for frames that do not fit.
        """
        results = self.results(self.run_integers(self.quantise(frames), batch))
        return next(iter(results.values())) if len(results) == 1 else results

    @property
    def frame_error(self):
        """Whether a transfer was wrong since the bitstream was loaded: its length, or what it said it held."""
        return bool(getattr(self, self.spec["status"]).read(0) & 1)

    def load(self, weights):
        """Put the weights of another network into the accelerator, whose frames and results are then those of
        :meth:`run`.

        ``weights`` is the ``weights.bin`` that `hwgen weights` wrote, with its ``accelerator.json`` beside it, or the
        folder with both. Raises ValueError where they are for other hardware, or not of one network.
        """
        if "load" not in self.spec:
            raise ValueError("the accelerator has fixed weights; build it with --weights loadable")
        path = Path(weights)
        path = path / "weights.bin" if path.is_dir() else path
        beside = path.with_name("accelerator.json")
        if not beside.is_file():
            raise ValueError(f"{beside} is missing; copy it with {path.name}")
        spec, blob = json.loads(beside.read_text(encoding="utf-8")), path.read_bytes()
        if hardware(spec) != hardware(self.spec):
            raise ValueError(f"{beside} is for other hardware; make the weights with --for and the build in use")
        if zlib.crc32(blob) != spec["load"]["crc32"]:
            raise ValueError(f"{path} are not the weights that {beside} is for; copy both again")
        sent = pynq.allocate((self._header_bytes() + len(blob),), np.uint8)
        try:
            self._send(sent, np.frombuffer(blob, np.uint8), "weights")
        finally:
            sent.freebuffer()
        self.spec = spec

    def quantise(self, frames):
        """Integers [N, H, W, C] of the input for frames of the model's own shape."""
        spec = self.spec["input"]
        frames, shape = np.asarray(frames), tuple(spec["shape"])
        if frames.shape == shape:
            frames = frames[None]
        if frames.shape[1:] != shape:
            raise ValueError(f"frames of shape {list(frames.shape)}; the network takes {['N', *shape]}")
        if not len(frames):
            raise ValueError("no frames given")
        if not spec["integer"]:
            if not np.isfinite(frames).all():
                raise ValueError("a frame holds numbers that are NaN or infinite")
            if spec["function"]:
                flat = np.asarray(frames, np.float32).reshape(len(frames), 1, 1, -1)
                frames = apply(spec["function"], flat).reshape(frames.shape)
            frames = quantised(frames, spec)
        elif frames.dtype.kind in "iu" and held(frames, np.iinfo(spec["dtype"])):
            frames = np.clip(frames, *spec["limits"])
        low, high = limits(spec)
        if frames.dtype.kind not in "iu" or not low <= frames.min() <= frames.max() <= high:
            raise ValueError(f"the network takes integers from {low} to {high}, not all of {frames.dtype} are such")
        height, width, channels = spec["stream"]
        if spec["order"] == "flat":
            return frames.reshape(len(frames), height, width, channels)
        return frames.reshape(len(frames), channels, height, width).transpose(0, 2, 3, 1)

    def run_integers(self, integers, batch=None):
        """The integers [N, H, W, C] of every output by its port, for those of the input."""
        batch = min(batch or self._usual_batch(), self._most_frames())
        given = {stream["port"]: [] for stream in self.spec["streams"]}
        for start in range(0, len(integers), batch):
            part = integers[start : start + batch]
            for stream, blob in zip(self.spec["streams"], self._transfer(part), strict=True):
                given[stream["port"]].append(from_bytes(blob, stream))
        return {port: np.concatenate(parts) for port, parts in given.items()}

    def results(self, streams):
        """The model's own results [N, ...] by name, of the integers [N, H, W, C] of every output by its port."""
        specs = {stream["port"]: stream for stream in self.spec["streams"]}
        found = {}
        for output in self.spec["outputs"]:
            integers = [streams[port] for port in output["ports"]]
            real = [dequantised(streams[port], specs[port]) for port in output["ports"]]
            function = output["function"]
            value = integers[0] if output["integer"] else apply(function, *real) if function else real[0]
            if output["order"] == "channels_last":
                value = value.transpose(0, 3, 1, 2)
            flat = value.reshape(len(value), -1)
            if output["places"] is not None:
                flat = flat[:, output["places"]]
            found[output["name"]] = flat.reshape(len(flat), *output["shape"])
        return found

    def _transfer(self, integers):
        """The bytes of every output for frames that fit into one transfer. Receivers are set up first: results may
        come before the last frame has gone."""
        streams, count = self.spec["streams"], len(integers)
        blob = to_bytes(integers, self.spec["input"])
        sent = self._buffer("input", self._header_bytes() + blob.size)
        receivers = []
        for stream in streams:
            size = count * stream["frame_bytes"]
            buffer = self._buffer(stream["port"], size)
            channel = getattr(self, stream["dma"]).recvchannel
            channel.transfer(buffer, nbytes=size)
            receivers.append((channel, buffer, size))
        self._send(sent, blob, "frames")
        for channel, _, _ in receivers:
            channel.wait()
        return [np.array(buffer[:size]) for _, buffer, size in receivers]

    def _send(self, buffer, blob, kind):
        """Send ``blob`` from ``buffer``; behind a word that says its kind, where weights are loaded."""
        start = self._header_bytes()
        if start:
            word = self.spec["load"][kind].encode().ljust(start, b"\0")
            buffer[:start] = np.frombuffer(word, np.uint8)
        buffer[start : start + blob.size] = blob
        sender = getattr(self, self.spec["input"]["dma"]).sendchannel
        sender.transfer(buffer, nbytes=start + blob.size)
        sender.wait()

    def _header_bytes(self):
        return self.spec["load"]["header_bytes"] if "load" in self.spec else 0

    def _buffer(self, name, size):
        """Memory that the DMA reaches, kept for the next time."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            if buffer is not None:
                buffer.freebuffer()
            self._buffers[name] = buffer = pynq.allocate((size,), np.uint8)
        return buffer

    def _largest(self):
        return max(stream["frame_bytes"] for stream in (self.spec["input"], *self.spec["streams"]))

    def _usual_batch(self):
        return max(BUFFER_BYTES // self._largest(), 1)

    def _most_frames(self):
        return (self.spec["max_bytes"] - self._header_bytes()) // self._largest()


def hardware(spec):
    """What of ``accelerator.json`` is the same for all networks that the accelerator takes."""
    ports = [
        {key: stream.get(key) for key in ("dma", "port", "stream", "bits", "signed", "bytes")}
        for stream in (spec["input"], *spec["streams"])
    ]
    load = spec.get("load", {})
    return spec["name"], ports, load.get("header_bytes"), load.get("bytes")


def limits(spec):
    """The least and greatest integer of a stream."""
    return (-(1 << spec["bits"] - 1), (1 << spec["bits"] - 1) - 1) if spec["signed"] else (0, (1 << spec["bits"]) - 1)


def held(integers, kind):
    """Whether a numpy type holds all of them; the model then confines them itself."""
    return kind.min <= integers.min() and integers.max() <= kind.max


def quantised(real, spec):
    """ONNX QuantizeLinear: float32 division, round half to even, add the zero point, saturate."""
    low, high = spec["limits"]
    steps = np.rint(np.asarray(real, np.float32) / np.float32(spec["scale"]))
    steps = np.clip(steps, low - spec["zero_point"], high - spec["zero_point"])
    return steps.astype(np.int64) + spec["zero_point"]


def dequantised(integers, spec):
    """ONNX DequantizeLinear, to float32; channels last, where each has a scale of its own."""
    steps = np.asarray(integers, np.int64) - spec["zero_point"]
    return steps.astype(np.float32) * np.float32(spec["scale"])


def to_bytes(integers, spec):
    """Integers as they lie in memory, flat."""
    wide = np.ascontiguousarray(integers).astype("<i8").reshape(-1, 1).view(np.uint8)
    return np.ascontiguousarray(wide[:, : spec["bytes"]]).reshape(-1)


def from_bytes(blob, spec):
    """The integers [N, H, W, C] that lie in memory as ``blob``: the sign goes on to the last bit of the last byte."""
    wide = np.zeros((blob.size // spec["bytes"], 8), np.uint8)
    wide[:, : spec["bytes"]] = blob.reshape(-1, spec["bytes"])
    integers = wide.view("<i8").reshape(-1, *spec["stream"]).astype(np.int64)
    if spec["signed"]:
        unused = 64 - 8 * spec["bytes"]
        integers = integers << unused >> unused
    return integers.astype(spec["dtype"])


def apply(function, *operands):
    """What the model computes of real numbers outside the accelerator, float32, channels last."""
    import elementwise

    values = {name: np.array(value, np.float32) for name, value in function["constants"].items()}
    values |= dict(zip(function["inputs"], operands, strict=True))
    for node in function["nodes"]:
        given = [values[name] if name else None for name in node["inputs"]]
        compute = getattr(elementwise, node["function"], None) or getattr(np, node["function"])
        with np.errstate(all="ignore"):
            result = compute(*given, **node["attributes"])
        values[node["output"]] = np.asarray(result).astype(np.float32, copy=False)
    return values[function["output"]]

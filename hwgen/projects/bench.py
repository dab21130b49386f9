"""The test bench of a :class:`HostTop`, and the vectors that it reads."""

from typing import Any

from .facts import Facts, render
from .host import Dialect, HostPort, HostTop


def bench_files(facts: Facts, top: HostTop) -> dict[str, str]:
    """``NAME_host_tb.v`` and a file for every port: all frames but one as a transfer, and one more."""
    d, name = top.dialect, f"{facts.made.name}_{top.dialect.suffix}"
    vectors = _vectors(facts, top)
    ports: list[dict[str, Any]] = [
        {
            "name": host.name,
            "id": f"p{n}",
            "words": text.count("\n"),
            "bits": 8 * host.width,
            "side": d.side_bits(host.width),
            "file": file,
        }
        for n, (host, (file, text)) in enumerate(zip((top.source, *top.results), vectors.items(), strict=True))
    ]
    frames = len(facts.made.samples)
    words = sum(port["words"] for port in ports)
    load = _load_words(top, facts.image) if facts.image is not None else []
    cycles = len(load) + top.loads.load_bytes + top.loads.settle if top.loads else 0
    bench = render(
        "host_tb.v.j2",
        top=name,
        core_file=f"{facts.made.name}.v",
        frames=frames,
        ports=ports,
        dialect=d,
        load={"words": len(load), "file": _load_file(name)} if load else None,
        timeout=20 * (facts.made.schedule.latency + frames * facts.made.schedule.interval + words + cycles),
    )
    return {f"{name}_tb.v": bench, **vectors}


def load_vectors(facts: Facts, dialect: Dialect) -> dict[str, str]:
    """The vectors of a network that is loaded first, and the load, for the bench that :func:`bench_files` made."""
    top = facts.host(dialect)
    name = f"{facts.made.name}_{top.dialect.suffix}"
    return {**_vectors(facts, top), _load_file(name): "".join(_load_words(top, facts.load))}


def _load_file(name: str) -> str:
    return f"{name}_weights.hex"


def _load_words(top: HostTop, image: bytes) -> list[str]:
    return _lines(top.source, top.dialect, top.of_weights(image))


def _vectors(facts: Facts, top: HostTop) -> dict[str, str]:
    """By file, the words of two transfers."""
    name, found = f"{facts.made.name}_{top.dialect.suffix}", {}
    for host, frames in zip((top.source, *top.results), facts.blobs, strict=True):
        transfers = [b"".join(part) for part in (frames[:-1], frames[-1:]) if part]
        if host is top.source:
            transfers = [top.of_frames(blob) for blob in transfers]
        lines = [line for blob in transfers for line in _lines(host, top.dialect, blob)]
        found[f"{name}_{host.name}.hex"] = "".join(lines)
    return found


def _lines(host: HostPort, dialect: Dialect, blob: bytes) -> list[str]:
    """The words of a transfer for ``$readmemh``: last, side and data."""
    side_bits, bits = dialect.side_bits(host.width), 8 * host.width
    digits = -(-(1 + side_bits + bits) // 4)
    return [
        f"{data | dialect.side_of(used, host.width) << bits | last << (bits + side_bits):0{digits}x}\n"
        for data, used, last in host.words(blob)
    ]

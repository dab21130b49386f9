"""The test bench of a :class:`HostTop`, and the vectors that it reads."""

from collections.abc import Sequence

from .facts import Facts
from .host import Dialect, HostPort, HostTop
from .render import render


def bench_files(facts: Facts, top: HostTop) -> dict[str, str]:
    """``NAME_host_tb.v`` and a file for every port: all frames but one as a transfer, and one more."""
    d, name = top.dialect, f"{facts.name}_{top.dialect.suffix}"
    hosts = (top.source, *top.results)
    lines = [_lines(host, d, frames) for host, frames in zip(hosts, facts.blobs, strict=True)]
    files = [f"{name}_{host.name}.hex" for host in hosts]
    ports = [
        {
            "name": host.name,
            "id": f"p{n}",
            "words": text.count("\n"),
            "bits": 8 * host.width,
            "side": d.side_bits(host.width),
            "file": file,
        }
        for n, (host, text, file) in enumerate(zip(hosts, lines, files, strict=True))
    ]
    frames = len(facts.samples)
    words = sum(port["words"] for port in ports)
    bench = render(
        "host_tb.v.j2",
        top=name,
        core_file=f"{facts.name}.v",
        frames=frames,
        ports=ports,
        dialect=d,
        timeout=20 * (facts.latency + frames * facts.interval + words),
    )
    return {f"{name}_tb.v": bench, **dict(zip(files, lines, strict=True))}


def _lines(host: HostPort, dialect: Dialect, frames: Sequence[bytes]) -> str:
    """The words of two transfers for ``$readmemh``: last, side and data."""
    side_bits, bits = dialect.side_bits(host.width), 8 * host.width
    digits = -(-(1 + side_bits + bits) // 4)
    text = ""
    for transfer in (frames[:-1], frames[-1:]):
        for data, used, last in host.words(b"".join(transfer)):
            word = data | dialect.side_of(used, host.width) << bits | last << (bits + side_bits)
            text += f"{word:0{digits}x}\n"
    return text

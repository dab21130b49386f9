"""Damaged and nonsensical model files: each ends in a clear error or a correct import, in bounded time and memory.

    python -m benchmarks.mutations --count 10000 --models ../shared/models

Files are made from the models of ``tests/graph/test_mutations.py``, from random quantised graphs and from real files:
nonsense put into their nodes, attributes and constants, or bytes cut off, changed, removed or doubled. A worker process
imports each as far as the integer network. Prints a line for every file that ends otherwise, with the seed that makes
it again; status 1 if there was one. Needs ``pip install '.[test]'`` and a Unix (memory is limited by ``RLIMIT_AS``).
"""

import random
import resource
import sys
import tempfile
import time
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import helper

from tests.blocks.random_models import random_model
from tests.graph.models import build
from tests.graph.test_mutations import SOURCES, damage, import_, mutate

LARGEST = 1 << 17  # bytes of real files: larger ones only take longer


@click.command()
@click.option("--count", default=10_000, show_default=True, help="Files.")
@click.option("--seed", default=0, show_default=True, help="Of the first file; each has the next.")
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="The most that one file may take.")
@click.option("--memory", default=4.0, show_default=True, help="The most address space, in GiB.")
def main(count: int, seed: int, models: Path, seconds: float, memory: float) -> None:
    """Make files, import them, and count how it ended."""
    began, at, bad, slowest = time.perf_counter(), seed, 0, (0.0, seed)
    context = get_context("fork")
    ends = {"imported or refused in words": 0}
    while at < seed + count:
        ours, theirs = context.Pipe()
        worker = context.Process(target=work, args=(theirs, at, seed + count, models, int(memory * 2**30)))
        worker.start()
        theirs.close()
        while at < seed + count:
            started = time.perf_counter()
            end = answer(ours, seconds)
            slowest = max(slowest, (time.perf_counter() - started, at))
            ends[end] = ends.get(end, 0) + 1
            if end != "imported or refused in words":
                bad += 1
                print(f"seed {at}: {end}", flush=True)
            at += 1
            if end in ("hangs", "dies"):
                break
        worker.kill()
        worker.join()
    print(f"{count:,} files: " + ", ".join(f"{number:,} {end.splitlines()[-1]}" for end, number in ends.items()))
    print(f"slowest {slowest[0]:.1f} s (seed {slowest[1]}); {time.perf_counter() - began:.0f} s in all")
    sys.exit(bool(bad))


def answer(connection: Connection, seconds: float) -> str:
    """What became of the next file."""
    try:
        return connection.recv() if connection.poll(seconds) else "hangs"
    except EOFError:
        return "dies"


def work(connection: Connection, start: int, stop: int, models: Path, memory: int) -> None:
    """Import file after file, and tell of each how it ended."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    sources = [*SOURCES.values(), *real_files(models)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.onnx"
        for seed in range(start, stop):
            path.write_bytes(mutant(random.Random(seed), sources))
            connection.send(outcome(path))


def outcome(path: Path) -> str:
    try:
        import_(path)
    except BaseException:
        return traceback.format_exc()
    return "imported or refused in words"


def real_files(models: Path) -> list:
    """Makers of the real models that are not too large."""
    files = sorted(path for path in models.glob("*.onnx") if path.stat().st_size <= LARGEST)
    return [lambda path=path: onnx.load(path) for path in files]


def mutant(rng: random.Random, sources: list) -> bytes:
    """One damaged file."""
    proto = rng.choice([quantised_graph, *sources])
    proto = proto(rng) if proto is quantised_graph else proto()
    if rng.random() < 0.4:
        return damage(proto.SerializeToString(), rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        mutate(proto, rng)
    return proto.SerializeToString()


def quantised_graph(rng: random.Random) -> onnx.ModelProto:
    model = random_model(np.random.default_rng(rng.randrange(1 << 30)))
    proto = build(model.nodes, list(model.shapes)[-1], model.constants, model.source, opset=18)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


if __name__ == "__main__":
    main()

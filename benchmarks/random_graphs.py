"""Random quantised graphs: golden against ONNX Runtime in every quantised tensor.

    python -m benchmarks.random_graphs --count 10000

The graphs are those of ``tests/blocks/random_models.py``. Prints a line for every graph in which an integer differs,
with the seed that makes it again, and the sums at the end; status 1 if there was one. Needs ``pip install '.[test]'``.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np

from hwgen.graph import golden
from hwgen.graph.errors import HwgenError
from tests.blocks.random_models import frames, lowered, random_model
from tests.graph.reference import runtime_integers


@click.command()
@click.option("--count", default=10_000, show_default=True, help="Graphs.")
@click.option("--seed", default=0, show_default=True, help="Of the first graph; each has the next.")
def main(count: int, seed: int) -> None:
    """Compare and count."""
    began = time.perf_counter()
    total, bad, operators = Counter(), 0, Counter()
    with tempfile.TemporaryDirectory() as folder:
        for at in range(seed, seed + count):
            try:
                found, wrong, names = compared(at, Path(folder))
            except (HwgenError, ValueError) as error:
                bad += 1
                print(f"seed {at}: {error}", flush=True)
                continue
            total += found
            operators.update(names)
            if wrong:
                bad += 1
                print(f"seed {at}: {wrong} of {found['integers']} integers differ", flush=True)
    seconds = time.perf_counter() - began
    print(f"{count:,} graphs, {total['tensors']:,} tensors, {total['integers']:,} integers: {bad} graphs differ")
    print(", ".join(f"{number:,} {name}" for name, number in operators.most_common()))
    print(f"{seconds:.0f} s")
    sys.exit(bool(bad))


def compared(seed: int, folder: Path) -> tuple[Counter, int, list[str]]:
    """What was compared, how many integers differ, and the operators of the model."""
    rng = np.random.default_rng(seed)
    model = random_model(rng)
    network, path = lowered(model, folder)
    given = frames(rng, model.shape)
    ours = golden.run(network, golden.network_input(network, given))
    theirs = {name: value for name, value in runtime_integers(path, given).items() if name in ours}
    wrong = sum(np.count_nonzero(ours[n] != np.moveaxis(v, 1, -1).reshape(ours[n].shape)) for n, v in theirs.items())
    found = Counter(tensors=len(theirs), integers=sum(value.size for value in theirs.values()))
    return found, int(wrong), [type(layer.op).__name__ for layer in network.layers]


if __name__ == "__main__":
    main()

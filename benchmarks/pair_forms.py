"""Sums and products of two streams measured: which form their tables take, and what Yosys makes of a lane.

    python benchmarks/pair_forms.py [MODEL.onnx ...]

Prints tables in Markdown: random scales and zero points first, then the models. Needs ``pip install '.[test]'``.
"""

import time
from collections import Counter
from pathlib import Path

import click
import numpy as np

from hwgen.blocks import OPERATORS, Add, Mul
from hwgen.device.synth import synthesise
from hwgen.device.targets import device
from hwgen.graph.lower.lower import lower
from hwgen.graph.network import QuantizedTensor, Site
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.types import S8, U8, FeatureMap, Quantization
from hwgen.hdl.rtlil import to_rtlil

FAMILIES = ("Add, random scales", "Add, powers of two", "Mul, random scales", "Mul, powers of two")


@click.command()
@click.argument("models", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=200, show_default=True, help="Random operators of each family.")
@click.option("--device", "name", default="lfe5u-25f", show_default=True)
def main(models: tuple[Path, ...], count: int, name: str) -> None:
    """Count forms and synthesise a lane of each."""
    print("| operators | line | with ties | few exceptions | ROM of exceptions | ROM | CPU ms each (most) |")
    print("|---|---|---|---|---|---|---|")
    examples: dict[str, Add | Mul] = {}
    for family in FAMILIES:
        generator = np.random.default_rng(0)
        show(family, [drawn(family, generator) for _ in range(count)], examples)
    for model in models:
        network = lower(simplify(read_model(model)), OPERATORS, warn=lambda line: None)
        show(model.name, [layer.op for layer in network.layers if isinstance(layer.op, (Add, Mul))], examples)
    print("\n| one lane on its own, queue included | LUTs | flip-flops | DSPs | block RAMs |\n|---|---|---|---|---|")
    for form, op in sorted(examples.items()):
        synthesis(form, op, name)


def drawn(family: str, generator: np.random.Generator) -> Add | Mul:
    """A sum or product of two maps of 4 x 4 x 1, of random quantisation."""
    kind, round_ = (Add if family.startswith("Add") else Mul), "powers" in family
    type_ = (U8, S8)[generator.integers(2)]
    a, b, ratio = np.exp(generator.uniform((-5, -5, -0.7), (-1, -1, 0.7)))
    scales = [a, b, (a + b) * ratio if kind is Add else a * b * 128 * ratio]
    zeros = generator.integers(type_.min, type_.max, 3, endpoint=True)
    if round_:
        scales, zeros = [2.0 ** round(np.log2(scale)) for scale in scales], (0, 0, 0)
    kinds = [Quantization(type_, float(np.float32(s)), int(z)) for s, z in zip(scales, zeros, strict=True)]
    tensors = [QuantizedTensor(name, FeatureMap(4, 4, 1, type_), q) for name, q in zip("aby", kinds, strict=True)]
    clamp = (type_.min, type_.max)
    return kind.from_site(Site("drawn", kind.__name__, tuple(tensors[:2]), tensors[2], {}, clamp))


def show(what: str, ops: list[Add | Mul], examples: dict[str, Add | Mul]) -> None:
    """A row of the table of forms; the first operator of each form goes to ``examples``."""
    forms, seconds = Counter(), []
    for op in ops:
        began = time.process_time()
        form = column(op.certificate())
        seconds.append(time.process_time() - began)
        forms[form] += 1
        examples.setdefault(f"{type(op).__name__}, {form}", op)
    shares = " | ".join(str(forms[form]) for form in ("line", "with ties", "few", "many", "rom"))
    print(
        f"| {what} | {shares} | {1e3 * np.mean(seconds or [0]):.0f} ({1e3 * max(seconds, default=0):.0f}) |", flush=True
    )


def column(certificate: dict[str, object]) -> str:
    """Which column of the table a form belongs to."""
    if certificate["form"] == "rom":
        return "rom"
    if certificate["exceptions"]:
        return "few" if certificate["exceptions"] <= 32 else "many"
    return "with ties" if "ties" in certificate["form"] else "line"


def synthesis(form: str, op: Add | Mul, name: str) -> None:
    """What Yosys takes for one lane."""
    unit = next(unit for unit in op.units() if unit.lanes_in == 1)
    result = synthesise(to_rtlil(unit.block(), "lane"), "lane", device(name))
    print(f"| {form} | {result.luts} | {result.ffs} | {result.dsps} | {result.brams} |", flush=True)


if __name__ == "__main__":
    main()

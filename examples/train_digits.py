"""Trains a network for digits that is small enough for the smallest FPGAs, as train_lenet5.py trains LeNet-5.

    pip install torch==2.13.0 onnxruntime
    python examples/train_digits.py --data mnist.npz

A convolution with strides and a fully connected layer: 6,680 weights where LeNet-5 has 61,470, in int8 only. With
``--wide`` the same two layers with 27,440 weights: more than the block RAM of an iCE40UP5K holds, for its SPRAM.
"""

from functools import partial
from pathlib import Path

import click
import onnx
import train_lenet5 as lenet
from torch import nn


def digits(channels: int = 8, stride: int = 3) -> nn.Sequential:
    """Strides in place of pooling: every layer is one unit of hardware."""
    side = (28 + 2 - 5) // stride + 1
    layers = [
        ("conv", nn.Conv2d(1, channels, 5, stride=stride, padding=1)),
        ("relu", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(channels * side * side, 10)),
    ]
    model = nn.Sequential()
    for name, layer in layers:
        model.add_module(name, layer)
    return model


def leave_scores_exact(path: Path) -> None:
    """Takes the quantisation off the scores: they leave the hardware as exact sums, which needs no requantiser."""
    model = onnx.load(path)
    makers = {node.output[0]: node for node in model.graph.node}
    back = makers["logits"]
    forth = makers[back.input[0]]
    makers[forth.input[0]].output[0] = "logits"
    for node in (back, forth):
        model.graph.node.remove(node)
    read = {name for node in model.graph.node for name in node.input}
    for constant in [each for each in model.graph.initializer if each.name not in read]:
        model.graph.initializer.remove(constant)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=lenet.HERE.parent.parent / "shared" / "data" / "mnist.npz",
    help="MNIST as npz: x_train, y_train, x_test, y_test.",
)
@click.option("--epochs", default=20, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=lenet.HERE, help="Folder for the file."
)
@click.option("--wide", is_flag=True, help="The larger network.")
def main(data: Path, epochs: int, seed: int, out: Path, wide: bool) -> None:
    """Trains the network, writes it as int8, and prints its accuracy."""
    out.mkdir(parents=True, exist_ok=True)
    images, labels = lenet.load(data, "train")
    name, network = ("digits_wide", partial(digits, 16, 2)) if wide else ("digits", digits)
    trained, target = out / f"{name}.onnx", out / f"{name}_int8.onnx"
    lenet.export(lenet.train(images, labels, epochs, seed, network), trained, name)
    lenet.quantise(trained, target, images[: lenet.CALIBRATION_IMAGES])
    leave_scores_exact(target)
    trained.unlink()
    lenet.evaluate([target], data)


if __name__ == "__main__":
    main()

"""Trains a network for digits that is small enough for the smallest FPGAs, as train_lenet5.py trains LeNet-5.

    pip install torch==2.13.0 onnxruntime
    python examples/train_digits.py --data mnist.npz

A convolution with strides and a fully connected layer: 6,680 weights where LeNet-5 has 61,470, in int8 only.
"""

from pathlib import Path

import click
import onnx
import train_lenet5 as lenet
from torch import nn


def digits() -> nn.Sequential:
    """Strides in place of pooling: every layer is one unit of hardware."""
    layers = [
        ("conv", nn.Conv2d(1, 8, 5, stride=3, padding=1)),
        ("relu", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(648, 10)),
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
def main(data: Path, epochs: int, seed: int, out: Path) -> None:
    """Trains the network, writes it as int8, and prints its accuracy."""
    out.mkdir(parents=True, exist_ok=True)
    images, labels = lenet.load(data, "train")
    trained, target = out / "digits.onnx", out / "digits_int8.onnx"
    lenet.export(lenet.train(images, labels, epochs, seed, digits), trained, "digits")
    lenet.quantise(trained, target, images[: lenet.CALIBRATION_IMAGES])
    leave_scores_exact(target)
    trained.unlink()
    lenet.evaluate([target], data)


if __name__ == "__main__":
    main()

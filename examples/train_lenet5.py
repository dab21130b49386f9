"""Trains LeNet-5 on MNIST and writes it as a float ONNX file and as an int8 (QDQ) one.

    pip install torch==2.13.0 onnxruntime
    python examples/train_lenet5.py             # train, export, quantise, print the accuracies
    python examples/train_lenet5.py --evaluate  # only print the accuracies of the two files

hwgen itself needs neither package. The int8 file comes from onnxruntime's own quantiser, so that the project
has a model whose scales and zero points it did not choose. The test images are only measured on: no
epoch, seed or calibration is picked by them.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image
from torch import nn
from torch.nn import functional as F

from hwgen.simulate.exact_session import exact_session

HERE = Path(__file__).parent
BATCH = 128
CALIBRATION_IMAGES = 512


def load(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images as float NCHW in 0..1, and their labels; part is `train` or `test`."""
    with np.load(path) as data:
        images = data[f"x_{part}"].astype(np.float32)[:, None] / 255
        return images, data[f"y_{part}"].astype(np.int64)


def load_digits(folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The drawn digits, scaled like MNIST; the label is in the name: digit_7_a.png is a seven."""
    paths = sorted(folder.glob("digit_*.png"))
    images = np.stack([np.asarray(Image.open(p).convert("L"), dtype=np.float32)[None] / 255 for p in paths])
    return images, np.array([int(p.stem.split("_")[1]) for p in paths]), [p.name for p in paths]


# --- training ---------------------------------------------------------------------------------------------


def lenet5() -> nn.Sequential:
    """The classic layers, with ReLU and max pooling as they are trained today."""
    layers = [
        ("conv1", nn.Conv2d(1, 6, 5, padding=2)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(6, 16, 5)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(400, 120)),
        ("relu3", nn.ReLU()),
        ("fc2", nn.Linear(120, 84)),
        ("relu4", nn.ReLU()),
        ("fc3", nn.Linear(84, 10)),
    ]
    model = nn.Sequential()
    for name, layer in layers:
        model.add_module(name, layer)
    return model


def augment(images: torch.Tensor) -> torch.Tensor:
    """Small random rotation (12 degrees), slant, size (10 %) and shift (2 pixels), one per image."""
    count = len(images)

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(count) * 2 - 1) * limit

    angle, slant, size = uniform(0.21), uniform(0.15), 1 + uniform(0.1)
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    # affine_grid measures in half image widths, so two pixels are 2 / 14.
    row_x = torch.stack([cos, slant - sin, uniform(2 / 14)], dim=1)
    row_y = torch.stack([sin, cos, uniform(2 / 14)], dim=1)
    grid = F.affine_grid(torch.stack([row_x, row_y], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def train(
    images: np.ndarray, labels: np.ndarray, epochs: int, seed: int, network: Callable[[], nn.Sequential] = lenet5
) -> nn.Sequential:
    """Adam with one learning rate cycle; the network after the last epoch is the result."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the order of the additions, so the weights too, depends on the thread count
    torch.use_deterministic_algorithms(True)
    model = network()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-3)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for epoch in range(1, epochs + 1):
        losses = []
        for chosen in torch.randperm(len(x)).split(BATCH)[: len(x) // BATCH]:
            loss = F.cross_entropy(model(augment(x[chosen])), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        click.echo(f"epoch {epoch}/{epochs}: loss {np.mean(losses):.4f}")
    return model.eval()


# --- export -----------------------------------------------------------------------------------------------


def node_of(name: str, layer: nn.Module, source: str, target: str) -> onnx.NodeProto:
    """The ONNX node of one layer."""
    weights = [source, f"{name}.weight", f"{name}.bias"]
    if isinstance(layer, nn.Conv2d):
        window = {
            "kernel_shape": list(layer.kernel_size),
            "pads": list(layer.padding) * 2,
            "strides": list(layer.stride),
        }
        return helper.make_node("Conv", weights, [target], name, **window)
    if isinstance(layer, nn.Linear):
        return helper.make_node("Gemm", weights, [target], name, transB=1)
    if isinstance(layer, nn.MaxPool2d):
        return helper.make_node("MaxPool", [source], [target], name, kernel_shape=[2, 2], strides=[2, 2])
    if isinstance(layer, nn.Flatten):
        return helper.make_node("Flatten", [source], [target], name, axis=1)
    return helper.make_node("Relu", [source], [target], name)


def export(model: nn.Sequential, path: Path, name: str = "lenet5") -> None:
    """Writes the float model node by node, which gives clean names and bytes that never change."""
    nodes, source = [], "image"
    layers = list(model.named_children())
    for name, layer in layers:
        target = "logits" if name == layers[-1][0] else f"{name}_out"
        nodes.append(node_of(name, layer, source, target))
        source = target
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.numpy(), name) for name, value in model.state_dict().items()],
    )
    # Opset 13 is the first with per-channel QuantizeLinear; IR 8 is old enough for every current reader.
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="train_lenet5"
    )
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


class Calibration(CalibrationDataReader):
    """Hands training images to the quantiser."""

    def __init__(self, images: np.ndarray) -> None:
        self.batches = iter(np.array_split(images, 8))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


def quantise(source: Path, target: Path, images: np.ndarray) -> None:
    """Int8 by onnxruntime: unsigned activations, signed weights with a scale per output channel."""
    logging.getLogger().setLevel(logging.ERROR)  # it suggests a pre-processing that would change nothing here
    quantize_static(
        source,
        target,
        Calibration(images),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


# --- evaluation -------------------------------------------------------------------------------------------


def predict(path: Path, images: np.ndarray) -> np.ndarray:
    """The class of every image according to the model file, by onnxruntime."""
    session = exact_session(path.read_bytes())
    batches = np.array_split(images, max(1, len(images) // 500))
    return np.concatenate([session.run(["logits"], {"image": batch})[0].argmax(axis=1) for batch in batches])


def evaluate(models: list[Path], data: Path) -> None:
    """Prints one line per model: top-1 on the MNIST test images, and how many drawn digits are right."""
    test_images, test_labels = load(data, "test")
    digit_images, digit_labels, digit_names = load_digits(HERE / "digits")
    click.echo(f"{'model':<18}{'size':>10}{'MNIST test':>14}{'drawn digits':>16}")
    for path in models:
        right = int((predict(path, test_images) == test_labels).sum())
        classes = predict(path, digit_images)
        drawn = f"{(classes == digit_labels).sum()} of {len(digit_labels)}"
        size = f"{path.stat().st_size / 1000:.0f} kB"
        click.echo(f"{path.name:<18}{size:>10}{100 * right / len(test_labels):>12.2f} %{drawn:>16}")
        for name, got, wanted in zip(digit_names, classes, digit_labels, strict=True):
            if got != wanted:
                click.echo(f"    {name} is taken for a {got}")


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=HERE.parent.parent / "shared" / "data" / "mnist.npz",
    help="MNIST as npz: x_train, y_train, x_test, y_test.",
)
@click.option("--epochs", default=20, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=HERE,
    help="Folder for the model files.",
)
@click.option("--evaluate", "only_evaluate", is_flag=True, help="Only measure the files that are there.")
def main(data: Path, epochs: int, seed: int, out: Path, only_evaluate: bool) -> None:
    """Trains LeNet-5, exports it as float and as int8, and prints the accuracy of both files."""
    models = [out / "lenet5.onnx", out / "lenet5_int8.onnx"]
    if not only_evaluate:
        out.mkdir(parents=True, exist_ok=True)
        images, labels = load(data, "train")
        export(train(images, labels, epochs, seed), models[0])
        quantise(models[0], models[1], images[:CALIBRATION_IMAGES])
    evaluate(models, data)


if __name__ == "__main__":
    main()

"""Draws the digit pictures in `examples/digits/`: MNIST-like, but not MNIST images.

Every digit is a few strokes (splines through hand-placed points), drawn large with a round pen, slanted
and jittered a little per variant, then shrunk to 28x28 and centred the way MNIST is: about 20x20 pixels of
content with the centre of mass in the middle, white on black, 0..255.

    python examples/draw_digits.py

Needs numpy and Pillow only. The same pixels come out on every run.
"""

from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 28  # side of the finished picture
CONTENT = 20  # side of the box that the strokes fill, pen included
ZOOM = 16  # drawing is this much larger than the picture: shrinking it is the antialiasing

Stroke = list[tuple[float, float]]


class Style(NamedTuple):
    """One hand: how it leans, how thick its pen is (in finished pixels), how wide and shaky it writes."""

    slant: float
    pen: float
    width: float
    shake: float


STYLES = {
    "a": Style(slant=0.05, pen=2.6, width=1.0, shake=0.008),
    "b": Style(slant=0.25, pen=2.0, width=0.95, shake=0.015),
    "c": Style(slant=-0.06, pen=3.4, width=1.08, shake=0.015),
}

# Points are (x, y) with y downwards; a glyph is about 0.7 wide, 1 high. Two points make a straight line.
GLYPHS: dict[int, list[Stroke]] = {
    0: [[(0.42, 0.0), (0.14, 0.16), (0.03, 0.52), (0.14, 0.88), (0.38, 1.0), (0.62, 0.86), (0.72, 0.48),
         (0.62, 0.14), (0.42, 0.0)]],
    1: [[(0.35, 0.0), (0.35, 1.0)]],
    2: [[(0.06, 0.24), (0.16, 0.06), (0.38, 0.0), (0.6, 0.1), (0.62, 0.32), (0.42, 0.62), (0.04, 0.97)],
        [(0.04, 0.97), (0.72, 0.95)]],
    3: [[(0.06, 0.12), (0.3, 0.0), (0.58, 0.08), (0.6, 0.3), (0.44, 0.44), (0.26, 0.48)],
        [(0.26, 0.48), (0.52, 0.52), (0.67, 0.7), (0.56, 0.92), (0.3, 1.0), (0.03, 0.9)]],
    4: [[(0.14, 0.0), (0.08, 0.28), (0.04, 0.54)], [(0.04, 0.54), (0.68, 0.5)], [(0.6, 0.04), (0.52, 1.0)]],
    5: [[(0.66, 0.0), (0.16, 0.03)], [(0.16, 0.03), (0.11, 0.44)],
        [(0.11, 0.44), (0.36, 0.37), (0.6, 0.48), (0.65, 0.7), (0.5, 0.93), (0.26, 1.0), (0.02, 0.91)]],
    6: [[(0.52, 0.0), (0.24, 0.22), (0.08, 0.56), (0.1, 0.84), (0.3, 1.0), (0.54, 0.92), (0.62, 0.72),
         (0.48, 0.55), (0.26, 0.6), (0.1, 0.76)]],
    7: [[(0.02, 0.06), (0.68, 0.03)], [(0.68, 0.03), (0.48, 0.42), (0.32, 1.0)]],
    8: [[(0.6, 0.14), (0.4, 0.0), (0.16, 0.08), (0.14, 0.28), (0.36, 0.46), (0.6, 0.66), (0.6, 0.88),
         (0.36, 1.0), (0.12, 0.9), (0.12, 0.7), (0.36, 0.48), (0.58, 0.3), (0.6, 0.14)]],
    9: [[(0.6, 0.16), (0.4, 0.02), (0.16, 0.1), (0.08, 0.32), (0.24, 0.48), (0.46, 0.42), (0.6, 0.16)],
        [(0.6, 0.16), (0.56, 0.56), (0.44, 1.0)]],
}  # fmt: skip

# Some hands write some digits in another form.
OTHER_FORMS: dict[tuple[int, str], list[Stroke]] = {
    (1, "c"): [[(0.2, 0.2), (0.4, 0.0)], [(0.4, 0.0), (0.4, 1.0)]],
    (2, "b"): [[(0.08, 0.2), (0.22, 0.03), (0.5, 0.02), (0.62, 0.2), (0.5, 0.5), (0.26, 0.86), (0.08, 0.96),
                (0.04, 0.84), (0.2, 0.78), (0.42, 0.9), (0.72, 0.94)]],
    (4, "c"): [[(0.5, 0.0), (0.02, 0.62)], [(0.02, 0.62), (0.74, 0.62)], [(0.5, 0.0), (0.5, 1.0)]],
}  # fmt: skip


def spline(points: np.ndarray, per_segment: int = 24) -> np.ndarray:
    """Catmull-Rom curve through the points: smooth, and it passes through what was placed by hand."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0.0, 1.0, per_segment)[:, None]
    segments = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        linear, square, cubic = p2 - p0, 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * p1 - p0 - 3 * p2 + p3
        segments.append(p1 + (linear * t + square * t**2 + cubic * t**3) / 2)
    return np.concatenate(segments)


def curves(digit: int, variant: str) -> list[np.ndarray]:
    """The strokes of one digit as dense curves in glyph units, written by the hand of the variant."""
    style = STYLES[variant]
    strokes = OTHER_FORMS.get((digit, variant), GLYPHS[digit])
    rng = np.random.default_rng([digit, ord(variant)])
    moved: dict[tuple[float, float], np.ndarray] = {}  # a point shared by two strokes must stay shared
    for point in (p for stroke in strokes for p in stroke):
        if point not in moved:
            moved[point] = np.array(point) + rng.normal(0.0, style.shake, 2)
    result = []
    for stroke in strokes:
        curve = spline(np.array([moved[p] for p in stroke]))
        curve[:, 0] = curve[:, 0] * style.width + style.slant * (0.5 - curve[:, 1])
        result.append(curve)
    return result


def fit(strokes: list[np.ndarray], pen: float) -> list[np.ndarray]:
    """Scales to the content box with the aspect ratio kept, and centres the box; result in large pixels."""
    every = np.concatenate(strokes)
    low, high = every.min(axis=0), every.max(axis=0)
    scale = (CONTENT - pen) / (high - low).max()
    return [((stroke - (low + high) / 2) * scale + SIZE / 2) * ZOOM for stroke in strokes]


def ink(strokes: list[np.ndarray], pen: float) -> Image.Image:
    """The large drawing: a round pen stamped along every curve, its edge softened by a third of a pixel."""
    picture = Image.new("L", (SIZE * ZOOM, SIZE * ZOOM))
    draw = ImageDraw.Draw(picture)
    radius = pen * ZOOM / 2
    for stroke in strokes:
        draw.line([(float(x), float(y)) for x, y in stroke], fill=255, width=round(2 * radius))
        for x, y in stroke:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return picture.filter(ImageFilter.GaussianBlur(ZOOM / 3))


def centred(picture: Image.Image) -> Image.Image:
    """Moves the centre of mass to the middle, as MNIST does; the margin is wide enough to cut nothing."""
    weights = np.asarray(picture, dtype=np.float64)
    middle = (SIZE * ZOOM - 1) / 2
    places = np.arange(SIZE * ZOOM)
    down = round(middle - (weights.sum(axis=1) @ places) / weights.sum())
    right = round(middle - (weights.sum(axis=0) @ places) / weights.sum())
    return Image.fromarray(np.roll(np.asarray(picture), (down, right), axis=(0, 1)))


def draw_digit(digit: int, variant: str) -> Image.Image:
    """One finished 28x28 picture over the full range 0..255."""
    pen = STYLES[variant].pen
    large = centred(ink(fit(curves(digit, variant), pen), pen))
    small = np.asarray(large.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float64)
    # A thin pen never covers a whole pixel: without stretching, its digits would be grey.
    return Image.fromarray(np.round(small * 255 / small.max()).astype(np.uint8))


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(__file__).parent / "digits",
    help="Folder for the pictures.",
)
def main(out: Path) -> None:
    """Draws every digit in every style."""
    out.mkdir(parents=True, exist_ok=True)
    for digit in GLYPHS:
        for variant in STYLES:
            draw_digit(digit, variant).save(out / f"digit_{digit}_{variant}.png")
    click.echo(f"{len(GLYPHS) * len(STYLES)} pictures in {out}")


if __name__ == "__main__":
    main()

"""Frames from files: shapes, numbers, and the words of what is refused."""

import numpy as np
import pytest
from PIL import Image

from hwgen.frames.inputs import FrameSpec, Preparation
from hwgen.frames.load import load_frames, load_labels
from hwgen.graph.errors import InputError
from hwgen.graph.types import S8, U8, IntType, Quantization

GREY = FrameSpec("image", (1, 4, 6), np.dtype(np.float32))
RGB = FrameSpec("image", (3, 4, 6), np.dtype(np.float32))
RGB_LAST = FrameSpec("image", (4, 6, 3), np.dtype(np.float32))
BYTES = FrameSpec("image", (1, 4, 6), np.dtype(np.uint8), Quantization(U8, 1 / 255, 0))
SIGNED = FrameSpec("image", (1, 4, 6), np.dtype(np.int8), Quantization(S8, 1 / 255, -128))
WORDS = FrameSpec("image", (1, 4, 6), np.dtype(np.int16), Quantization(IntType(16, True), 2.0**-8, 0))


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.fixture
def picture(tmp_path, pixels):
    return save(tmp_path / "cat.png", pixels)


def save(path, values, mode=None):
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values, mode).save(path)
    return str(path)


def load(source, spec, limit=None, spread=False, **preparation):
    sources = source if isinstance(source, list) else [source]
    return load_frames(sources, spec, Preparation(**preparation), limit, spread)


def problem(source, spec, **preparation):
    with pytest.raises(InputError) as caught:
        load(source, spec, **preparation)
    return "\n".join(caught.value.problems)


# Shapes


def test_a_picture_becomes_what_the_input_takes(picture, pixels):
    assert (load(picture, RGB).values == (pixels / np.float32(255)).transpose(2, 0, 1)).all()
    assert (load(picture, RGB_LAST).values == pixels / np.float32(255)).all()
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    assert (load(picture, GREY).values == grey / np.float32(255)).all()
    assert load(picture, GREY).names == ("cat.png",)


def test_a_grey_picture_is_repeated_for_three_channels(tmp_path, pixels):
    frames = load(save(tmp_path / "grey.png", pixels[..., 0]), RGB).values
    assert (frames == frames[:, :1]).all()
    assert frames.shape == (1, 3, 4, 6)


def test_transparent_parts_are_black(tmp_path, pixels):
    alpha = np.full((4, 6, 1), 255, np.uint8)
    alpha[:, :3] = 0
    values = load(save(tmp_path / "logo.png", np.concatenate([pixels, alpha], axis=2)), RGB_LAST).values[0]
    assert (values[:, :3] == 0).all()
    assert (values[:, 3:] == pixels[:, 3:] / np.float32(255)).all()


def test_a_vector_takes_a_picture_of_as_many_pixels(tmp_path, pixels):
    path = save(tmp_path / "flat.png", pixels[..., 0])
    flat = FrameSpec("x", (24,), np.dtype(np.float32))
    assert (load(path, flat).values == pixels[None, ..., 0].reshape(1, 24) / np.float32(255)).all()
    assert "6x4 pixels, 24 in all; the network takes 25 numbers" in problem(
        path, FrameSpec("x", (25,), np.dtype(np.float32))
    )


@pytest.mark.parametrize(
    ("shape", "count"),
    [((1, 4, 6), 1), ((5, 1, 4, 6), 5), ((4, 6), 1), ((5, 4, 6), 5), ((4, 6, 1), 1), ((5, 4, 6, 1), 5)],
)
def test_arrays_may_leave_out_ones_and_hold_many_frames(tmp_path, shape, count):
    values = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    frames = load(save(tmp_path / "x.npy", values), GREY)
    assert frames.values.shape == (count, 1, 4, 6)
    assert (frames.values.ravel() == values.ravel()).all()
    assert len(frames.names) == count


@pytest.mark.parametrize("spec", [RGB, RGB_LAST])
def test_arrays_may_have_channels_first_or_last(tmp_path, spec):
    last = np.random.default_rng(3).normal(size=(2, 4, 6, 3)).astype(np.float32)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    want = first if spec is RGB else last
    for name, values in (("last.npy", last), ("first.npy", first)):
        assert (load(save(tmp_path / name, values), spec).values == want).all()


# Numbers


def test_pixels_and_numbers_for_a_float_input(tmp_path):
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    as_pixels = load(save(tmp_path / "p.npy", grey), GREY).values
    assert (as_pixels.ravel() == np.arange(24, dtype=np.float32) / np.float32(255)).all()
    assert as_pixels.dtype == np.float32
    for dtype in (np.float64, np.int32, np.int8):
        assert (load(save(tmp_path / "n.npy", grey.astype(dtype)), GREY).values.ravel() == np.arange(24)).all()


def test_scale_mean_and_std_replace_the_usual_treatment(tmp_path, picture, pixels):
    mean, std = (0.5, 0.25, 0.0), (0.5, 1.0, 2.0)
    got = load(picture, RGB, mean=mean, std=std).values[0]
    want = (pixels / np.float32(255) - np.array(mean, np.float32)) / np.array(std, np.float32)
    assert (got == want.transpose(2, 0, 1)).all()
    assert (load(picture, RGB_LAST, scale=1.0).values[0] == pixels).all()
    numbers = save(tmp_path / "n.npy", np.ones((4, 6), np.int8))
    assert (load(numbers, GREY, scale=3.0, mean=(1.0,)).values == 2).all()


def test_integer_inputs_take_integers_of_their_type_as_they_are(tmp_path):
    bytes_ = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert (load(save(tmp_path / "u.npy", bytes_), BYTES).values.ravel() == np.arange(24)).all()
    signed = (np.arange(24) - 12).astype(np.int8).reshape(4, 6)
    values = load(save(tmp_path / "s.npy", signed), SIGNED).values
    assert values.dtype == np.int8
    assert (values.ravel() == np.arange(24) - 12).all()


def test_pixels_are_shifted_onto_a_signed_byte(tmp_path):
    grey = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
    values = load(save(tmp_path / "x.png", grey), SIGNED).values
    assert values.dtype == np.int8
    assert (values.ravel().astype(int) == grey.ravel().astype(int) - 128).all()
    assert (load(save(tmp_path / "x.npy", grey), SIGNED).values == values).all()


def test_real_numbers_for_an_integer_input_are_quantised(tmp_path):
    real = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    path = save(tmp_path / "r.npy", real)
    assert (load(path, SIGNED).values.ravel() == SIGNED.quantization.quantize(real).ravel()).all()
    grey = save(tmp_path / "g.png", np.full((4, 6), 255, np.uint8))
    assert (load(grey, WORDS).values == 256).all()
    assert (load(grey, SIGNED, scale=100 / 255 / 255).values == 100 - 128).all()


def test_integers_of_another_type_are_refused(tmp_path):
    path = save(tmp_path / "x.npy", np.zeros((4, 6), np.int64))
    assert problem(path, SIGNED) == (
        f"'{path}' holds int64; the network takes int8: save it with .astype('int8'), "
        "or say with --scale what its numbers mean"
    )


# Files


def test_folders_are_read_by_name_and_below(tmp_path, pixels):
    for name in ("b.png", "a.jpg", "sub/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name, pixels)
    (tmp_path / "notes.txt").write_text("not a picture")
    assert load(str(tmp_path), RGB).names == ("a.jpg", "b.png", "c.png")
    assert load([str(tmp_path), str(tmp_path / "b.png")], RGB, limit=2).names == ("a.jpg", "b.png")


def test_frames_can_be_spread_over_all(tmp_path):
    path = save(tmp_path / "x.npy", np.broadcast_to(np.arange(10.0).reshape(10, 1, 1), (10, 4, 6)))
    assert load(path, GREY, limit=5, spread=True).values[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]
    assert load(path, GREY, limit=3).names == ("x.npy[0]", "x.npy[1]", "x.npy[2]")
    assert len(load(path, GREY, limit=99, spread=True)) == 10


def test_arrays_of_an_npz_are_chosen_by_shape_or_key(tmp_path):
    path = tmp_path / "set.npz"
    x, y = np.zeros((2, 4, 6), np.uint8), np.arange(2)
    np.savez(path, x=x, y=y)
    assert len(load(str(path), GREY)) == 2
    assert load_labels(f"{path}:y", 2).tolist() == [0, 1]
    np.savez(path, train=x, test=x[:1], y=y)
    held = f"'{path}' holds train [2, 4, 6], test [1, 4, 6], y [2]"
    assert problem(str(path), GREY) == f"{held}; choose one with {path}:train"
    assert load(f"{path}:test", GREY).names == ("set.npz:test",)
    assert problem(f"{path}:nothing", GREY) == f"'{path}' holds no array 'nothing'; it holds train [2, 4, 6], " + (
        "test [1, 4, 6], y [2]"
    )
    assert problem(f"{path}:y", GREY) == (
        f"'{path}:y' has the shape [2]; the input takes ['N', 1, 4, 6], or one frame of [1, 4, 6]"
    )
    with pytest.raises(InputError, match="holds 2 values of type int64; 3 class numbers needed"):
        load_labels(f"{path}:y", 3)


def test_a_wrong_size_names_file_sizes_and_remedy(picture):
    assert problem(picture, FrameSpec("image", (1, 28, 28), np.dtype(np.float32))) == (
        f"'{picture}' is 6x4 pixels; the network takes 28x28: "
        "give pictures of that size, or --resize to have them scaled"
    )


def test_resize_crops_around_the_centre_and_scales(tmp_path):
    wide = np.zeros((8, 20), np.uint8)
    wide[:, 4:16] = 200  # the middle 12x8 has the proportions of 6x4
    frames = load(save(tmp_path / "wide.png", wide), GREY, resize=True, scale=1.0).values
    assert frames.shape == (1, 1, 4, 6)
    assert (frames[..., 1:-1] == 200).all()
    assert (frames > 150).all()


def test_all_wrong_files_are_reported_together_up_to_a_limit(tmp_path):
    for n in range(12):
        save(tmp_path / f"{n:02}.png", np.zeros((2, 2), np.uint8))
    lines = problem(str(tmp_path), GREY).split("\n")
    assert len(lines) == 11
    assert lines[-1] == "... and 2 more files that do not fit"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.png", b"no picture", "cannot read 'FILE': it is damaged, or not a picture"),
        ("x.npy", b"no array", "'FILE' is not a file of plain numpy arrays, or is damaged; save it again"),
        ("x.npz", b"PK no zip", "'FILE' is not a file of plain numpy arrays, or is damaged; save it again"),
        ("x.txt", b"", "'FILE' is of an unknown kind (.txt); give .png, .jpg, .jpeg, .npy, .npz or a folder"),
    ],
)
def test_damaged_and_unknown_files(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    assert problem(str(path), GREY) == words.replace("FILE", str(path))


def test_pickles_are_not_opened(tmp_path):
    path = tmp_path / "evil.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "not a file of plain numpy arrays" in problem(str(path), GREY)


def test_other_refusals(tmp_path, picture):
    assert problem(str(tmp_path / "none.png"), GREY).endswith("there is no such file; check the path")
    (tmp_path / "empty").mkdir()
    assert "holds no pictures (.png" in problem(str(tmp_path / "empty"), GREY)
    many = FrameSpec("x", (5, 4, 6), np.dtype(np.float32))
    assert "is a picture, of 1 or 3 channels; the input takes ['N', 5, 4, 6]" in problem(picture, many)
    assert problem(picture, RGB, mean=(1.0, 2.0)) == ("--mean has 2 values; the input has 3 channels: give 1 or 3")
    nan = np.zeros((3, 4, 6), np.float32)
    nan[1, 0, 0] = np.nan
    assert problem(save(tmp_path / "nan.npy", nan), GREY) == (
        "'nan.npy[1]' holds numbers that are NaN or infinite; give finite ones"
    )
    deep = Image.fromarray(np.zeros((4, 6), np.int32))
    deep.save(tmp_path / "deep.tiff")
    assert "more than 8 bits" in problem(str(tmp_path / "deep.tiff"), GREY)
    with pytest.raises(InputError, match="standard deviation of 0"):
        Preparation(std=(0.0,))
    with pytest.raises(InputError, match="finite"):
        Preparation(scale=float("nan"))

"""Images from files: whatever their mode and size, what the model gets, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equilib.commands.images import read_images, read_samples
from equilib.errors import UserError
from equilib.training.data import ImageFormat

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

GREY = ImageFormat(height=6, width=4, channels=1, classes=("a", "b"), light_on_dark=True)
COLOUR = ImageFormat(height=6, width=4, channels=3, classes=("a", "b"))
PIXELS = np.zeros((6, 4), np.uint8)
PIXELS[2:4, 1:3] = 204


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "YCbCr"])
def test_every_mode_becomes_the_models(tmp_path: Path, mode: str) -> None:
    """Grey, palettes, colours, 16 bits and opaque alpha show the same picture; a change of colours is noted."""
    source = Image.fromarray(PIXELS)
    sixteen_bits = Image.fromarray(PIXELS.astype(np.uint16) * 257)
    picture = sixteen_bits if mode == "I;16" else source.convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    picture.save(path)
    (image,) = read_images(path, GREY)
    expected = np.where(PIXELS, 255, 0) if mode == "1" else PIXELS
    np.testing.assert_allclose(image.pixels[..., 0], expected, atol=1)
    assert (image.pixels.shape, image.pixels.dtype) == ((6, 4, 1), np.uint8)
    assert bool(image.notes) == (mode not in ("L", "1", "I;16"))
    (coloured,) = read_images(path, COLOUR)
    np.testing.assert_allclose(coloured.pixels, np.repeat(expected[..., None], 3, axis=2), atol=1)


def test_what_is_transparent_is_paper(tmp_path: Path) -> None:
    """A black stroke on nothing is a black stroke on white, which a model of light strokes doubts."""
    layer = np.zeros((6, 4, 4), np.uint8)
    layer[2:4, 1:3, 3] = 255
    Image.fromarray(layer).save(tmp_path / "a.png")
    (image,) = read_images(tmp_path / "a.png", GREY)
    assert (image.pixels[0, 0, 0], image.pixels[2, 1, 0]) == (255, 0)
    assert "try --invert" in image.notes[-1]
    (inverted,) = read_images(tmp_path / "a.png", GREY, invert=True)
    assert (inverted.pixels[0, 0, 0], inverted.pixels[2, 1, 0]) == (0, 255)


def test_another_size_is_scaled(tmp_path: Path) -> None:
    """Width and height are not mixed up, and the note says both."""
    Image.fromarray(np.kron(PIXELS, np.ones((5, 3), np.uint8))).save(tmp_path / "a.png")
    (image,) = read_images(tmp_path / "a.png", GREY)
    assert image.notes == ("scaled from 12×30 to 4×6",)
    assert image.pixels[2:4, 1:3].min() > 100 > image.pixels[0].max()


@pytest.mark.parametrize(
    ("shape", "count"), [((6, 4), 1), ((6, 4, 1), 1), ((5, 6, 4), 5), ((5, 6, 4, 1), 5), ((1, 6, 4), 1)]
)
def test_arrays_hold_one_image_or_several(tmp_path: Path, shape: tuple[int, ...], count: int) -> None:
    """One along no axis, several along the first."""
    np.save(tmp_path / "a.npy", np.full(shape, 7, np.uint8))
    images = list(read_images(tmp_path / "a.npy", GREY))
    assert [image.pixels.shape for image in images] == [(6, 4, 1)] * count
    assert {int(image.pixels.max()) for image in images} == {7}


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    """It would need pickle, which can run anything."""
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="holds objects of Python"):
        list(read_images(tmp_path / "a.npy", GREY))


@pytest.mark.parametrize("content", [np.zeros((0, 6, 4), np.uint8), None], ids=["none along the axis", "no array"])
def test_a_file_without_images_is_refused(tmp_path: Path, content: np.ndarray | None) -> None:
    """An empty table would look like an answer."""
    np.savez(tmp_path / "a.npz", **({} if content is None else {"images": content}))
    with pytest.raises(UserError, match=r"a\.npz holds no image; give a file with at least one"):
        list(read_images(tmp_path / "a.npz", GREY))


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    """What is no image may be missing as well."""
    np.save(tmp_path / "a.npy", np.zeros((0, 3), np.float32))
    with pytest.raises(UserError, match=r"a\.npy holds no sample; give a file with at least one"):
        list(read_samples(tmp_path / "a.npy", np.ones((4, 3), np.float32)))


def test_a_text_that_is_called_an_array_is_refused(tmp_path: Path) -> None:
    """NumPy takes it for pickled objects, and its advice to load those is not passed on."""
    for name in ("a.npy", "a.npz"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(UserError, match="give a PNG, npy or npz file") as caught:
            list(read_images(tmp_path / name, GREY))
        assert "pickle" not in str(caught.value)


def test_a_picture_of_monstrous_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's limit is ours: neither its warning nor its error gets through as such."""
    Image.fromarray(np.zeros((60, 60), np.uint8)).save(tmp_path / "a.png")
    for limit in (1000, 2000):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UserError, match="is not a picture that can be read"):
            list(read_images(tmp_path / "a.png", GREY))


@pytest.mark.parametrize(
    ("white", "dtype"),
    [
        (1.0, np.float32),
        (255.0, np.float32),
        (65535.0, np.float32),
        (255, np.int32),
        (65535, np.int32),
        (2**31 - 1, np.int32),
    ],
    ids=str,
)
def test_wide_numbers_keep_their_greys(tmp_path: Path, white: float, dtype: type) -> None:
    """Floats and integers of 32 bits show what they show where white is 1 or the largest of 8, 16 or 31 bits."""
    levels = np.linspace(0.0, 1.0, 24).reshape(6, 4)
    Image.fromarray((levels * white).astype(dtype)).save(tmp_path / "a.tif")
    (image,) = read_images(tmp_path / "a.tif", GREY)
    np.testing.assert_allclose(image.pixels[..., 0], 255 * levels, atol=1.01)
    assert "its numbers were scaled, 0 as black and" in image.notes[0]


def test_a_picture_of_no_numbers_is_refused(tmp_path: Path) -> None:
    """What is nan has no grey."""
    Image.fromarray(np.full((6, 4), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(
        UserError, match=r"a\.tif is not a picture that can be read \(it holds numbers that are not finite"
    ):
        list(read_images(tmp_path / "a.tif", GREY))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path, orientation: int) -> None:
    """Each of EXIF's eight orientations shows what an editor shows, and is told but for that which is upright."""
    ops = [None, *(getattr(Image.Transpose, name) for name in UNTURN)]
    shown = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4) * 10)
    undo = ops[orientation - 1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (shown if undo is None else shown.transpose(undo)).save(tmp_path / "a.png", exif=exif)
    (image,) = read_images(tmp_path / "a.png", GREY)
    np.testing.assert_array_equal(image.pixels[..., 0], np.asarray(shown))
    assert image.notes == (("turned upright, as its EXIF orientation says",) if orientation > 1 else ())


UNTURN = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270")
"""What makes the stored picture of the shown one, for the orientations 2 to 8 (EXIF 2.3, figure 5)."""


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_several_frames_the_first_is_announced(tmp_path: Path, suffix: str) -> None:
    """An animation, or a document of several pages, says how many there are."""
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS), Image.fromarray(PIXELS // 2)]
    path = tmp_path / f"a.{suffix}"
    exact = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **exact)
    (image,) = read_images(path, GREY)
    assert image.notes[0] == "the first of its 3 frames"
    np.testing.assert_allclose(image.pixels[..., 0], PIXELS, atol=1)

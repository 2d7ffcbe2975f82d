"""Predictions of loaded runs on images: bytes or numbers, in the shape that the run was trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import equilib
from equilib.arrays import from_host, to_host
from equilib.cli import main
from equilib.commands.load import LoadedRun
from equilib.experiments.images import ImageClassification
from tests.digits import write_digits

QUICK = ("--limit", "40", "--batch-size", "8", "--pretrain-epochs", "0", "--epochs", "1", "--device", "cpu", "--quiet")


@pytest.fixture(scope="module", params=["float32", "float64"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run on made-up digits."""
    place: Path = tmp_path_factory.mktemp("predictions")
    write_digits(place / "digits")
    where = ("--data-dir", str(place / "digits"), "--out", str(place / "run"))
    assert main(["run", "mnist", *QUICK, "--dtype", request.param, *where]) == 0
    return place / "run"


@pytest.fixture(params=["cpu", "torch", "jax"])
def run(request: pytest.FixtureRequest, folder: Path) -> LoadedRun:
    """Return the run on each device that it may compute on."""
    if request.param != "cpu":
        pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    found: LoadedRun = equilib.load_run(folder, device=request.param)
    return found


def drawn() -> np.ndarray:
    """Return bytes of images, shape (3, 28, 28, 1), the least and the greatest among them."""
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    images[0, 0, :2, 0] = 0, 255
    return images


def test_bytes_of_images_predict_what_the_same_numbers_do(run: LoadedRun):
    """On every device bytes are scaled to [0, 1], whether they are NumPy's or of its own library."""
    images = drawn()
    scaled = images.astype(np.float32) / 255
    expected = run.predict(scaled)
    np.testing.assert_array_equal(run.predict(images), expected)
    own = run.training().trainer.data.test_inputs
    np.testing.assert_array_equal(to_host(run.predict(from_host(images, own))), expected)
    assert run.predict(images[:0]).shape == (0, 10)


def test_bytes_predict_what_the_command_does(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`equilib predict` on a file of the same bytes has the same outputs, within the tolerance of the solves."""
    images = drawn()
    np.save(tmp_path / "images.npy", images)
    capsys.readouterr()
    assert main(["predict", str(folder), str(tmp_path / "images.npy"), "--json"]) == 0
    outputs = [each["outputs"] for each in json.loads(capsys.readouterr().out)]
    np.testing.assert_allclose(equilib.load_run(folder).predict(images), outputs, rtol=1e-3, atol=1e-3)


def test_data_tells_what_bytes_are_where_the_recipe_does_not(folder: Path):
    """As for the command, a run whose recipe has no format of images reads images where its data is of some."""
    found = equilib.load_run(folder)
    silent = replace(found, images=None)
    np.testing.assert_array_equal(silent.predict(drawn()), found.predict(drawn()))


def test_data_that_tells_what_bytes_are_is_loaded_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """However many predictions of bytes are asked for, and nothing is set up to train."""
    silent, loaded, load = replace(equilib.load_run(folder), images=None), [], ImageClassification.load_data
    monkeypatch.setattr(ImageClassification, "load_data", lambda *given: loaded.append(given) or load(*given))
    monkeypatch.setattr(LoadedRun, "training", None)
    for _ in range(3):
        silent.predict(drawn())
    assert len(loaded) == 1


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("shape", "step"),
    [
        ((2, 28, 28), True),
        ((28, 28), True),
        ((28, 28, 1), True),
        ((2, 1, 28, 28), True),
        ((2, 28, 28, 3), False),
        ((2, 784), False),
        ((), False),
    ],
)
def test_another_shape_is_answered_by_that_of_the_run(run: LoadedRun, kind: type, shape: tuple[int, ...], step: bool):
    """Whatever part of the model refuses it, the message has both shapes, and the step where it is plain."""
    with pytest.raises(ValueError, match=r"of this run \(batch, 28, 28, 1\)") as caught:
        run.predict(np.ones(shape, kind))
    assert f"x has the shape {shape}" in str(caught.value)
    assert ("give x.reshape(-1, 28, 28, 1)" in str(caught.value)) == step

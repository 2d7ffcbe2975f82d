"""`equilib evaluate` and `equilib predict`: the model of a run, looked at again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.cli import main
from equilib_experiments.data.idx import read_idx
from equilib_experiments.data.mnist import TEST, TRAIN
from tests.digits import write_digits, write_idx

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with made-up digits and a run that learned them."""
    folder = tmp_path_factory.mktemp("evaluate")
    data = write_digits(folder / "digits")
    argv = ("--data-dir", str(data), "--limit", "100", "--pretrain-epochs", "1", "--epochs", "3", "--device", "cpu")
    assert main(["run", "mnist", *argv, "--batch-size", "8", "--out", str(folder / "run"), "--quiet"]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Work there, without settings of the caller."""
    monkeypatch.chdir(work)
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    capsys.readouterr()


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """Type a command with --json; return what it printed."""
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Type a command that is refused; return the sentence."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip()


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the test images and their labels."""
    return read_idx(Path("digits") / TEST[0]), read_idx(Path("digits") / TEST[1])


# evaluate


def test_the_score_is_the_recorded_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Score, evaluations, residual and statuses equal those of the last epoch, to the last digit."""
    last = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[-1])
    found = said(capsys, "evaluate", "run")
    assert found["score"] == found["recorded"] == last["test_accuracy"]
    assert found["test"] == last["test"]
    assert (found["score_name"], found["samples"], found["same_data"]) == ("accuracy", 20, True)


def test_the_table_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: the score as in the log, the statuses, and that nothing has changed."""
    assert main(["evaluate", "run"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    shown = said(capsys, "evaluate", "run")
    assert rows["accuracy"] == shown["shown"] == f"{100 * shown['score']:.3f}%"
    assert rows["solves"] == "20 converged"
    assert rows["recorded"].endswith(", the same")


def test_a_limit_takes_the_first_samples(capsys: pytest.CaptureFixture[str]) -> None:
    """Each sample is right or wrong by itself: the scores of growing limits count them."""
    counts = [said(capsys, "evaluate", "run", "--limit", str(n)) for n in (1, 5, 20, 100)]
    assert [each["samples"] for each in counts] == [1, 5, 20, 20]
    assert [each["same_data"] for each in counts] == [False, False, True, True]
    right = [each["score"] * each["samples"] for each in counts]
    assert all(round(each) == pytest.approx(each) for each in right)
    assert right[0] <= right[1] <= right[2] == right[3]


def test_other_data_is_told_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On images without ink the model is as good as guessing, and the output says that the data is not the run's."""
    write_digits(tmp_path)
    write_idx(tmp_path / TRAIN[0], np.zeros((120, 28, 28), np.uint8))
    found = said(capsys, "evaluate", "run", "--data-dir", str(tmp_path))
    assert found["same_data"] is False
    assert found["score"] < found["recorded"]
    assert main(["evaluate", "run", "--data-dir", str(tmp_path)]) == 0
    assert "on the run's own test data" in capsys.readouterr().out


def test_what_cannot_be_evaluated_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A folder without a run, a run without a model, a limit of nothing."""
    assert "holds no run that can be read" in refusal(capsys, "evaluate", "digits")
    (tmp_path / "run.json").write_text(Path("run/run.json").read_text())
    assert "model.npz cannot be read" in refusal(capsys, "evaluate", str(tmp_path))
    assert "'--limit': 0 is not in the range >= 1" in refusal(capsys, "evaluate", "run", "--limit", "0")
    assert "Did you mean 'evaluate'?" in refusal(capsys, "evalute", "run")


# predict


def test_pictures_and_arrays_are_read_alike(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The same image as PNG, as bytes and as numbers from 0 to 1 has the same probabilities, which sum to one."""
    images, _ = digits()
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", images[0])
    np.savez(tmp_path / "a.npz", images[0] / 255)
    files = [str(tmp_path / name) for name in ("a.png", "a.npy", "a.npz")]
    found = said(capsys, "predict", "run", *files)
    assert [each["image"] for each in found] == [files[0], files[1], f"{files[2]}:arr_0"]
    assert found[0]["probabilities"] == found[1]["probabilities"] == found[2]["probabilities"]
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)
    assert found[0]["probability"] == found[0]["probabilities"][found[0]["label"]]
    assert (found[0]["status"], found[0]["nfe"] > 0, found[0]["residual"] > 0) == ("converged", True, True)


def test_predictions_are_those_that_were_scored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On the run's own test images, predict is right as often as evaluate says."""
    images, labels = (read_idx(Path("digits") / name) for name in TRAIN)
    np.save(tmp_path / "test.npy", images[80:100])
    found = said(capsys, "predict", "run", str(tmp_path / "test.npy"))
    assert [each["image"] for each in found] == [f"{tmp_path / 'test.npy'}[{n}]" for n in range(20)]
    right = [each["label"] == str(label) for each, label in zip(found, labels[80:100], strict=True)]
    assert np.mean(right) == said(capsys, "evaluate", "run")["score"]


def test_ink_on_paper_is_inverted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Dark on light is doubted, with the way out; inverted it is the image that it was."""
    image = np.zeros((28, 28), np.uint8)
    image[8:20, 12:16] = 255
    for name, pixels in (("light", image), ("dark", 255 - image)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (light,) = said(capsys, "predict", "run", str(tmp_path / "light.png"))
    (dark,) = said(capsys, "predict", "run", str(tmp_path / "dark.png"))
    (inverted,) = said(capsys, "predict", "run", str(tmp_path / "dark.png"), "--invert")
    assert light["notes"] == inverted["notes"] == []
    assert dark["notes"] == ["the background is light, and the model was trained on a dark one: try --invert"]
    assert light["probabilities"] == inverted["probabilities"] != dark["probabilities"]


def test_the_table_has_a_row_for_each_image(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """For people: file, class, probabilities, how the solve ended, and what was done to the image."""
    picture = Image.new("RGB", (100, 80), "black")
    picture.paste("white", (40, 20, 60, 60))
    picture.save(tmp_path / "big.png")
    assert main(["predict", "run", str(tmp_path / "big.png")]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["IMAGE", "CLASS", "PROBABILITY", "NEXT", "SOLVE", "RESIDUAL", "NFE", "NOTES"]
    assert row.endswith("its colours (RGB) were turned into grey; scaled from 100×80 to 28×28")
    assert " converged " in row


def test_images_that_cannot_be_read_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no picture, no array of that size, not there, or needs a package that is missing."""
    cases = {
        "text.png": (b"hello", "is not a picture that can be read (cannot identify image file"),
        "text.npy": (b"hello", "is no npy file"),
        "missing.png": (None, "cannot be read: No such file or directory"),
    }
    for name, (content, reason) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert reason in refusal(capsys, "predict", "run", str(tmp_path / name))
    for array in (np.zeros((3, 3)), np.zeros((28, 28), int), np.full((28, 28), 2.0), np.zeros((2, 28, 28, 3))):
        np.save(tmp_path / "array.npy", array)
        text = refusal(capsys, "predict", "run", str(tmp_path / "array.npy"))
        assert f"has shape {array.shape} and type {array.dtype}; images of 28×28 are expected" in text
    assert "Missing argument 'FILE...'" in refusal(capsys, "predict", "run")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert 'run: pip install "equilib[experiments]", or give an npy' in refusal(capsys, "predict", "run", "a.png")


def test_no_data_is_needed(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was copied to another machine, without its data, predicts all the same."""
    import shutil

    images, _ = digits()
    np.save(tmp_path / "a.npy", images[0])
    before = said(capsys, "predict", "run", str(tmp_path / "a.npy"))
    shutil.copytree("run", tmp_path / "copy")
    monkeypatch.setattr("equilib_experiments.data.mnist.Mnist.load", None)
    assert said(capsys, "predict", str(tmp_path / "copy"), str(tmp_path / "a.npy")) == before

"""TensorBoard reads what `--tensorboard` writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from equilib.cli import main
from equilib.errors import UserError
from equilib.runs.tensorboard import TensorBoardLog, require_tensorboard
from tests.digits import write_digits

pytest.importorskip("tensorboard", reason="TensorBoard is not installed")

METRICS = {"phase": "train", "epoch": 1, "loss": 0.5, "test": {"residual": 1e-3, "status": {"converged": 4}}}


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read all scalars of the event files in a folder, as TensorBoard does."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def add(log: TensorBoardLog, *steps: int, **changes: Any) -> None:
    """Add an epoch for each step, and close the file."""
    for step in steps:
        log.add(METRICS | {"step": step} | changes)
    log.close()


def test_numbers_become_scalars(tmp_path: Path) -> None:
    """Each number has its path as a tag and the step as its place; text, nan and what is missing are left out."""
    add(TensorBoardLog(tmp_path), 7, 14, learning_rate=float("nan"), adjoint=None)
    found = scalars(tmp_path)
    assert found.keys() == {"loss", "test/residual", "test/status/converged"}
    assert found["loss"] == [(7, 0.5), (14, 0.5)]
    assert found["test/residual"][0][1] == pytest.approx(1e-3)


def test_a_resumed_run_replaces_what_followed_its_checkpoint(tmp_path: Path) -> None:
    """Steps after that of the checkpoint are forgotten, those up to it are kept."""
    add(TensorBoardLog(tmp_path), 7, 14, 21)
    add(TensorBoardLog(tmp_path, after=14), 21, 28, loss=0.25)
    assert scalars(tmp_path)["loss"] == [(7, 0.5), (14, 0.5), (21, 0.25), (28, 0.25)]


def test_a_run_writes_event_files(tmp_path: Path) -> None:
    """`equilib run --tensorboard` records each epoch of metrics.jsonl, and a new run removes the old one's."""
    data, out = write_digits(tmp_path / "digits"), tmp_path / "run"
    argv = ("run", "mnist", "--data-dir", str(data), "--out", str(out), "--device", "cpu", "--quiet", "--tensorboard")
    for _ in range(2):
        assert main([*argv, "--overwrite", "--limit", "20", "--pretrain-epochs", "1", "--epochs", "1"]) == 0
    epochs = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    found = scalars(out / "tensorboard")
    assert found["loss"] == [(epoch["step"], pytest.approx(epoch["loss"])) for epoch in epochs]
    assert found["test_accuracy"] == [(epoch["step"], pytest.approx(epoch["test_accuracy"])) for epoch in epochs]


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed, one sentence says what to install, and no folder is made."""
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(UserError, match=r'--tensorboard needs .*; run: pip install "equilib\[tensorboard\]"'):
        TensorBoardLog(tmp_path / "events")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_name_in_utf8_is_refused(tmp_path: Path) -> None:
    """TensorBoard knows no other names; without it such a folder is as good as any."""
    with pytest.raises(UserError, match="whose name is not UTF-8; give another --out"):
        require_tensorboard(tmp_path / "odd\udcff")

"""Runs to report on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from equilib.cli import main
from tests.digits import write_digits

QUICK = ("--limit", "50", "--batch-size", "20", "--epochs", "2", "--pretrain-epochs", "1", "--device", "cpu", "--quiet")


@dataclass
class Runs:
    """The folders of a run with newton-gmres, one with anderson, one that failed, and their data."""

    newton: Path
    anderson: Path
    failed: Path
    digits: Path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Return runs of made-up digits."""
    folder = tmp_path_factory.mktemp("reported")
    made = Runs(folder / "newton", folder / "anderson", folder / "failed", write_digits(folder / "digits"))
    common = ("run", "mnist", *QUICK, "--data-dir", str(made.digits), "--out")
    hopeless = "picard:rtol=1e-9,atol=0,max_steps=1,on_failure=raise"
    assert main([*common, str(made.newton)]) == 0
    assert main([*common, str(made.anderson), "--solver", "anderson", "--seed", "3"]) == 0
    assert main([*common, str(made.failed), "--solver", hopeless]) == 1
    return made


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies a run and changes its record."""

    def make(run: Path, name: str, *, drop: tuple[str, ...] = (), **changes: Any) -> Path:
        target = tmp_path / name
        shutil.copytree(run, target, ignore=shutil.ignore_patterns("report", *drop))
        path = target / "run.json"
        path.write_text(json.dumps(record(run) | changes), encoding="utf-8")
        return target

    return make


def record(run: Path) -> dict[str, Any]:
    """Return `run.json`."""
    facts: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return facts

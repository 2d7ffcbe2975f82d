"""The record of somebody else's run is text: no markup, no place, no order to a terminal; its links lead nowhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equilib.cli import main

EVIL = '../../evil<script>alert(1)</script>\x1b]0;title\x07\udcff"'


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_foreign_record_is_harmless(
    runs: Any, tmp_path: Path, copy: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that look like paths, HTML and escapes are shown; links in place of the report's files lead nowhere."""
    made = copy(runs.newton, "run", experiment=EVIL, argv=["run", EVIL], error=EVIL, status=EVIL, drop=("model.npz",))
    lines = [json.loads(line) for line in (made / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    named = [{**each, f"test_{EVIL}": 0.5, f"train_{EVIL}": 0.4, EVIL: EVIL, "phase": EVIL} for each in lines]
    text = "".join(json.dumps({k: v for k, v in each.items() if "accuracy" not in k}) + "\n" for each in named)
    (made / "metrics.jsonl").write_text(text, encoding="utf-8")
    facts = json.loads((made / "run.json").read_text(encoding="utf-8"))
    results = {f"test_{EVIL}": 0.5, "loss": 0.1}
    (made / "run.json").write_text(json.dumps(facts | {"results": results}), encoding="utf-8")
    target, out = tmp_path / "theirs", made / "report"
    target.write_text("mine")
    out.mkdir()
    for name in (".report.html.part", "report.html", "loss.png", "work.png"):
        (out / name).symlink_to(target)
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(made)}
    assert main(["report", str(made), "--limit", "0"]) == 0
    printed = "".join(capsys.readouterr())
    assert target.read_text() == "mine"
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(made)} == before
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "alert(1)" in page
    assert "\x1b" not in page + printed
    for path in out.glob("*.png"):
        assert path.stem.replace("-", "").isalnum()


def test_a_folder_that_is_a_link_is_refused(
    runs: Any, tmp_path: Path, copy: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A report goes into the run's folder, or where the user says, and nowhere that the folder leads to."""
    made = copy(runs.newton, "run")
    (tmp_path / "elsewhere").mkdir()
    (made / "report").symlink_to(tmp_path / "elsewhere")
    assert main(["report", str(made), "--limit", "0"]) == 2
    assert f"{made / 'report'} is a link, which is not followed" in capsys.readouterr().err
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_cannot_be_read_is_refused_before_anything_is_written(
    runs: Any, copy: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder in place of the metrics: the sentence names it, and no folder of a report is left."""
    made = copy(runs.newton, "run")
    (made / "metrics.jsonl").unlink()
    (made / "metrics.jsonl").mkdir()
    assert main(["report", str(made), "--limit", "0"]) == 2
    assert "metrics.jsonl cannot be read: Is a directory" in capsys.readouterr().err
    assert not (made / "report").exists()

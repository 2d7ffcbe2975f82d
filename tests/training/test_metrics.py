"""The table of metrics is complete and of one piece."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from equilib.training.metric import CARD, COMPARE, EPOCHS, EVALUATE, TEST, Metric
from equilib.training.metrics import METRICS, metrics_of, score_name
from tests.training.small import trainer

NAMES = [row.name for row in METRICS]
rows = pytest.mark.parametrize("row", METRICS, ids=NAMES)


def test_everything_that_is_recorded_is_a_row() -> None:
    """An epoch has a key for each row that it can have, and none besides phase, number and test."""
    (*_, epoch) = trainer().epochs()
    table = metrics_of(score_name(epoch))
    recorded = {row.path()[0] for row in table} | {row.path(test=True)[0] for row in table if row.is_tested}
    assert epoch.keys() == {"phase", "epoch", *recorded} - {"peak_memory"}
    assert epoch["test"].keys() == {row.name for row in table if row.is_tested and not row.is_score}


@rows
def test_names_are_unique_and_places_exist(row: Metric) -> None:
    """A row has its own name, short name and title, and is shown where something can be shown."""
    for field in ("name", "short", "title"):
        assert [getattr(each, field) for each in METRICS].count(getattr(row, field)) == 1
    assert set(row.places) <= {COMPARE, EVALUATE, CARD, EPOCHS}
    assert EVALUATE not in row.places or row.is_tested
    assert row.of != TEST or row.is_tested
    assert row.statuses in ("", *NAMES)


@rows
def test_every_metric_is_documented(row: Metric) -> None:
    """The page about runs says what each key of a line of metrics.jsonl is."""
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`(\w+)`", page))
    assert row.name in names or row.is_score or row.name == "peak_memory"


def test_a_score_has_its_own_name_and_direction() -> None:
    """Accuracy is a share and better the higher, an error better the lower; the other rows stay as they are."""
    for name, better, shown in (("accuracy", "higher", "98%"), ("squared_error", "lower", "0.98")):
        (score,) = (row for row in metrics_of(name) if row.is_score)
        assert (score.name, score.better, score.show(0.98)) == (name, better, shown)
        assert score.path() == (f"train_{name}",)
        assert [row for row in metrics_of(name) if not row.is_score] == [row for row in METRICS if not row.is_score]

"""Metric: one number of training, how batches and runs measure it, and where it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from equilib.adjoints.equilibrium import Record
from equilib.arrays import Array
from equilib.training import number_formats
from equilib.training.reductions import MEAN_OF_BATCHES, STATUSES, Reduction

TRAINING, TEST, ALL_EPOCHS, PROCESS = "training", "test", "all epochs", "process"
"""What the number that stands for a run is of: its last epoch's training or test, all its epochs, its process."""

COMPARE, EVALUATE, CARD, EPOCHS = "compare", "evaluate", "card", "epochs"
"""Places that show some metrics: the tables of `equilib compare` and `evaluate`, a report's cards and table of epochs.
Its facts show all."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is known after one batch, after its backward pass if it has one.

    Attributes
    ----------
    scores : array, shape (batch,)
    loss, gradient_norm : float or None
        In training: the mean loss, and the Euclidean norm of its gradient.
    """

    record: Record
    scores: Array
    loss: float | None = None
    gradient_norm: float | None = None

    @property
    def samples(self) -> int:
        """The number of samples."""
        return len(self.record.status)


@dataclass(frozen=True)
class Panel:
    """A chart over the epochs; metrics that have the same one are drawn in it."""

    name: str  # the stem of its file
    title: str
    y_label: str
    logarithmic: bool | None = False  # None leaves it to the values
    percent: bool = False
    from_zero: bool = True
    comparable: bool = True  # whether runs of different experiments belong into one chart
    note: str = ""  # said below it where there are epochs of pretraining


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One row of the table that every reader of metrics goes through."""

    name: str  # its key in `metrics.jsonl`; a test's is in "test", but see `is_score`
    title: str  # what it is, in full
    short: str  # what it is called in narrow places
    show: Callable[[Any], str]  # returns a value as people read it
    # Returns the value of a batch, None where it has none; None for what the trainer or the run knows by itself.
    measure: Callable[[Batch], Any] | None = None
    over: Reduction = MEAN_OF_BATCHES  # how the values of batches become that of a pass over the data
    of: str = TRAINING  # what the number that stands for a run is of, also TEST, ALL_EPOCHS or PROCESS
    is_tested: bool = False  # whether a test measures it, too
    is_score: bool = False  # whether it is the score, which is recorded as "train_NAME" and "test_NAME"
    needs_solves: bool = False  # whether it says nothing about an epoch at a fixed depth
    hides_zero: bool = False  # whether the line of an epoch and the charts leave it out where it is zero
    better: str = "lower"  # which of two runs a ranking has first, that with the "lower" value or the "higher"
    line: str = ""  # its part of the line that is printed after an epoch, as a format; without it has none
    test_line: str = ""  # the same of the test, where that is not zero
    statuses: str = ""  # the metric whose counts follow in these lines
    places: tuple[str, ...] = ()  # where it is shown, of COMPARE, EVALUATE, CARD and EPOCHS
    panel: Panel | None = None  # the chart that shows it
    curve: str = ""  # the name of its curve in a panel that it shares; without, test and training have one each

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, not counts by status."""
        return self.over is not STATUSES

    @property
    def label(self) -> str:
        """The short name, and per what it is."""
        return f"{self.short} per batch" if self.measure and self.over is MEAN_OF_BATCHES else self.short

    def called(self, score: str | None) -> Metric:
        """Return the row of the score that has this name; another row, or with None, as it is."""
        if score is None or not self.is_score:
            return self
        words, percent = score.replace("_", " "), score == "accuracy"
        panel = Panel(
            score.replace("_", "-"),
            words.capitalize(),
            f"{words}, in %" if percent else words,
            logarithmic=False if percent else None,
            percent=percent,
            from_zero=False,
            comparable=False,
        )
        return replace(
            self,
            name=score,
            title=f"test {words}",
            short=words,
            show=number_formats.share if percent else self.show,
            better="higher" if percent else "lower",
            panel=panel,
        )

    def path(self, *, test: bool = False) -> tuple[str, ...]:
        """Return where it stands in the record of an epoch."""
        if self.is_score:
            return (f"{'test' if test else 'train'}_{self.name}",)
        return ("test", self.name) if test else (self.name,)

    def value(self, epoch: Mapping[str, Any], *, test: bool = False) -> Any:
        """Return what the record of an epoch says of its training or its test; None where it says nothing."""
        found: Any = epoch
        for key in self.path(test=test):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

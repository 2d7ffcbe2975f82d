"""Reporters of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Reporter:
    """Where the progress of a run goes; this one keeps it to itself, and those who extend it write what they show."""

    def line(self, text: str) -> None:
        """Say something that stays."""

    def event(self, kind: str, text: str, fields: Mapping[str, Any]) -> None:
        """Say `text`, which stays, to people; tell machines what happened, such as "epoch", and its plain values."""
        self.line(text)

    def batch(self, title: str, index: int, count: int, loss: float | None = None) -> None:
        """Report batch `index` of `count`, counted from 1; it has a loss in training only."""

    def close(self) -> None:
        """Finish the line that is being written."""

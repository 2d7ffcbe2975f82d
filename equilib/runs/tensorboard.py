"""TensorBoard event files of the metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equilib.errors import UserError, require
from equilib.runs.metrics import flat

_WHERE = ("phase", "epoch", "step")


class TensorBoardLog:
    """One event file, with a scalar for each metric over the number of updates.

    A run goes on from the update `after`: TensorBoard forgets what earlier files say of later ones.

    Raises UserError if TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, after: int | None = None) -> None:
        writer = require_tensorboard(folder)
        from tensorboard.compat.proto import event_pb2, summary_pb2

        self._event, self._summary = event_pb2, summary_pb2
        self._writer = writer.EventFileWriter(str(folder))
        if after is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.add_event(event_pb2.Event(wall_time=time.time(), step=after + 1, session_log=start))

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Add an epoch: its numbers, named by their path, as in "test/residual"."""
        scalars = [
            self._summary.Summary.Value(tag=name.replace(".", "/"), simple_value=float(value))
            for name, value in flat(metrics).items()
            if name not in _WHERE and isinstance(value, int | float) and math.isfinite(value)
        ]
        summary = self._summary.Summary(value=scalars)
        self._writer.add_event(self._event.Event(wall_time=time.time(), step=metrics["step"], summary=summary))
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def require_tensorboard(folder: Path) -> Any:
    """Return the module that writes event files; raises UserError if it is not installed, or cannot write there."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"--tensorboard cannot write to {folder}, whose name is not UTF-8; give another --out"
        ) from error
    return require("tensorboard.summary.writer.event_file_writer", purpose="--tensorboard", extra="tensorboard")

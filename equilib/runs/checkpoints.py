"""Checkpoints of a run: the times at which they are written, and the two that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from equilib.errors import RunError
from equilib.runs.checkpoint_file import write_checkpoint
from equilib.runs.files import part_of, refuse_link
from equilib.training.snapshot import Snapshot

FOLDER = "checkpoints"
FILES = "checkpoint-*.npz"
SCRAPS = part_of(Path(FILES)).name
"""What is left of a checkpoint that was being written when its process was killed."""

KEPT = 2
"""Checkpoints that stay: should the last be damaged, there is one before it."""


class Checkpoints:
    """The checkpoints of the run in a folder; each holds `facts` besides the state of the trainer.

    There are `every` epochs from one to the next, 0 for none but that at the end, and at most so many `minutes`, in the
    middle of an epoch as well. The run goes on from that in `after`.
    """

    def __init__(
        self,
        run: Path,
        facts: Mapping[str, Any],
        *,
        every: int = 1,
        minutes: float | None = None,
        after: Path | None = None,
    ) -> None:
        self._folder, self._facts = run / FOLDER, facts
        self._every, self._seconds = every, None if minutes is None else 60 * minutes
        self._kept = [] if after is None else [after]
        self._epochs = 0
        self._written: Snapshot | None = None
        self._time = monotonic()

    @property
    def has_any(self) -> bool:
        """Whether the run has one to go on from, wherever its folder is by now."""
        return bool(self._kept)

    def is_due(self, *, epoch_ended: bool) -> bool:
        """Tell whether it is time for one; called once after each batch and each epoch."""
        self._epochs += epoch_ended
        by_epochs = epoch_ended and self._every > 0 and self._epochs % self._every == 0
        return by_epochs or (self._seconds is not None and monotonic() - self._time >= self._seconds)

    def write(self, snapshot: Snapshot) -> None:
        """Write one, unless it is what the last holds, and remove all but the last two.

        Raises OSError if it cannot be written; RunError if a link is in the place of the folder.
        """
        if snapshot is self._written:
            return
        refuse_link(self._folder, RunError)
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"checkpoint-{snapshot.progress['step']:08d}.npz"
        write_checkpoint(path, snapshot, self._facts)
        self._kept = [*(each for each in self._kept if each != path), path][-KEPT:]
        kept = {each.resolve() for each in self._kept}
        for old in checkpoint_paths(self._folder.parent):
            if old.resolve() not in kept:
                old.unlink()
        self._written, self._time = snapshot, monotonic()


def checkpoint_paths(run: Path) -> list[Path]:
    """Return the checkpoints of a run, the oldest first."""
    return sorted((run / FOLDER).glob(FILES))

"""Continuation of a run: its record and the checkpoint that it goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from equilib.errors import UserError
from equilib.runs.checkpoint_file import CheckpointError, CheckpointFile
from equilib.runs.differences import notes, of_environment, of_training
from equilib.runs.record import RecordedRun
from equilib.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """A run's record, the checkpoint that it goes on from, and the packages of the plugins in use."""

    run: RecordedRun
    checkpoint: CheckpointFile
    packages: tuple[str, ...] = ()
    damages: tuple[str, ...] = ()  # what of the record is damaged

    @property
    def epochs_done(self) -> int:
        """The epochs that the checkpoint has behind it."""
        return int(self.checkpoint.header["progress"]["epochs_done"])

    def restore(self, trainer: Trainer, data_digest: str) -> None:
        """Put the checkpoint into a trainer that was made as the run's.

        Raises UserError if the data is not that of the run, or the model or the plan do not fit.
        """
        if self.checkpoint.header.get("data_digest") != data_digest:
            raise UserError(
                f"the data is not that of the run ({self.run.facts.get('data') or 'which names none'}); "
                "give the folder that holds it with --data-dir"
            )
        try:
            trainer.restore(self.checkpoint.snapshot(trainer.state()))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.checkpoint.path} does not fit the run: {error}") from error
        plan, done = trainer.plan, trainer.epochs_done
        planned = plan.pretrain_epochs + plan.epochs
        if planned < done or (planned == done and self.run.facts.get("status") == "finished"):
            raise UserError(
                f"{done - plan.pretrain_epochs} epochs after pretraining are trained already, and {plan.epochs} are "
                "asked for: nothing to do; give more with --epochs"
            )

    def facts(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of `run.json` for the time to come: what was recorded, `changed`, and one more "resumed".

        Versions and command line stay those of the beginning.
        """
        recorded = self.run.facts
        now = {
            "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            "checkpoint": self.checkpoint.path.name,
            "argv": changed["argv"],
            **of_environment(recorded, self.packages),
        }
        kept = ("id", "argv", "versions", "python", "platform", "kernels", "blas", "git")
        return {
            **recorded,
            **{name: value for name, value in changed.items() if name not in kept},
            "request": self._request(changed["request"]),
            "resumed": [*(recorded.get("resumed") or ()), now],
        }

    def _request(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the run was asked for, with what the resumption asks for instead."""
        before = self.run.request().describe()
        asked = {name: value for name, value in now.items() if name not in before or before[name] != value}
        return {**(self.run.facts.get("request") or {}), **asked}

    def introduce(self, device: str, training: Mapping[str, Any]) -> Iterator[str]:
        """Yield lines about where it goes on, and what is not as it was; `training` is what the run consists of now."""
        for damage in self.damages:
            yield f"Note: {damage}"
        progress = self.checkpoint.header["progress"]
        batches = f", batches of the next: {progress['batches']}" if progress["batches"] else ""
        yield f"Resuming from {self.checkpoint.path.name}: epochs done: {progress['epochs_done']}{batches}"
        then, environment = self.run.facts, of_environment(self.run.facts, self.packages)
        if then.get("device") != device:
            environment["device"] = [then.get("device"), device]
        shares = self.run.request().shares
        yield from notes(environment, of_training(then, training), shares=shares, but=("options.epochs",))

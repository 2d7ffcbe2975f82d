"""Context of a run: its request, the plugins, the device, and the folder in which it is recorded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from equilib.arrays import DTYPES, Tree, in_dtype
from equilib.errors import RunError, file_errors, printable, said
from equilib.kernels import use_kernels, warn_if_idle
from equilib.machine.devices import Device, find_device
from equilib.machine.environment import describe_environment, git_state
from equilib.machine.process import share_cores
from equilib.machine.ranks.group import Ranks, current_ranks
from equilib.machine.signals import shielded
from equilib.plugin.registry import Registry
from equilib.runs.folder import RunDirectory, check_out, locked, make_default_out, put_metrics_aside, refuse_trained
from equilib.runs.request import RunRequest
from equilib.runs.spellings import FORMAT
from equilib.training.reporter import Reporter

if TYPE_CHECKING:
    from equilib.runs.continuation import Continuation


@dataclass(kw_only=True)
class RunContext:
    """The run around an experiment, on the `device` that its request asks for, with the kernels that it names.

    These are the process's from then on, which is one of `ranks`. The run is recorded in the folder `out`, where
    nothing is written before `record`, and goes on from its `continuation`. Without `out` a new folder is made then.
    Kernels that were chosen and have nothing to compute there are warned of.

    Raises UserError if there is no such device here, or no such kernels.
    """

    request: RunRequest
    registry: Registry
    reporter: Reporter
    out: Path = Path()
    continuation: Continuation | None = None
    begins_again: str = ""  # the status of the run in whose folder it begins again, as nothing was trained there
    ranks: Ranks = field(default_factory=current_ranks)
    device: Device = field(init=False)

    def __post_init__(self) -> None:
        self.device = find_device(self.request.device, self.ranks.local_rank if self.ranks.size > 1 else None)
        use_kernels(self.request.kernels)
        if not self.ranks.rank:
            warn_if_idle(*(self.put(np.zeros(1, dtype)) for dtype in DTYPES))
        # A share has the cores that it had if each rank computed one, so that its sums are those whoever computes it.
        share_cores(max(self.ranks.sharing_cores, self.request.shares or 1))

    @property
    def data_dir(self) -> Path | None:
        """Where the user says that the data lies."""
        return self.request.data_dir

    def put(self, tree: Tree) -> Tree:
        """Return arrays, of any shape, on the device, those of floating point in the dtype that was asked for."""
        return self.device.put(in_dtype(tree, self.request.dtype))

    def rng(self, stream: int = 0) -> np.random.Generator:
        """Return random numbers that depend on the seed only; parameters and batches are drawn from stream 0."""
        return np.random.default_rng((self.request.seed, stream) if stream else self.request.seed)

    @contextmanager
    def record(self, **facts: Any) -> Iterator[RunDirectory]:
        """Open the run directory, and note in it how the run ended, whatever way; signals wait, unless `exposed`.

        Where it ends early, say so, and where its record lies. `facts` are what `run.json` should hold besides the
        request and the environment, such as the source of the data.
        """
        content = {
            "id": uuid4().hex,
            "format": FORMAT,
            "experiment": self.request.experiment,
            "argv": list(self.request.argv),
            "request": self.request.describe(),
            **facts,
            "seed": self.request.seed,
            "device": self.device.description,
            **describe_environment(self.registry.used()),
            "git": git_state(),
            "ranks": self.ranks.describe(),
        }
        before = self.continuation
        with file_errors(f"--out {self.out} cannot be written"):
            if self.out == Path() and before is None:
                self.out = make_default_out(self.request.experiment)
            self.out.mkdir(parents=True, exist_ok=True)
        with locked(self.out), shielded():
            if before is None:  # something may have been written since the command began
                check_out(self.out, overwrite=self.request.overwrite)
                if self.begins_again:
                    refuse_trained(self.out, self.begins_again)
                    put_metrics_aside(self.out)
            directory = RunDirectory(
                self.out,
                content if before is None else before.facts(content),
                epochs=None if before is None else before.epochs_done,
            )
            try:
                yield directory
            except KeyboardInterrupt as error:
                self._end_early(directory, "interrupted", error, str(error) or None)
                raise
            except BaseException as error:
                self._end_early(directory, "failed", error, said(error))
                raise
            if directory.status == "running":
                directory.finish("finished")

    def _end_early(self, directory: RunDirectory, status: str, cause: BaseException, error: str | None) -> None:
        if directory.status != "running":
            return
        # A full disk or a closed pipe must not hide why the run ended: the caller raises that.
        try:
            directory.finish(status, error=error)
        except (OSError, RunError) as lost:
            one = _number(lost) is not None and _number(lost) == _number(cause)  # then one sentence says it all
            if directory.is_there and not one:
                with suppress(OSError):
                    text = f"warning: the record of the run still has the status running: {said(lost)}"
                    print(printable(text), file=sys.stderr, flush=True)
        with suppress(OSError):
            how = f" ({error})" if error and status == "interrupted" else ""
            where = f"; what was recorded until then is in {directory.path}" if directory.is_there else ""
            text = f"{status.capitalize()}{how}{where}"
            self.reporter.event(status, text, {"path": str(directory.path), "error": error})


def _number(error: BaseException) -> int | None:
    """Return the number of the error of the system that is behind one."""
    known = error.__cause__ or error
    return known.errno if isinstance(known, OSError) else None

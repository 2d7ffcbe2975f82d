"""The command resume: a run that ended early goes on from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from equilib.commands.run import carry_out
from equilib.errors import UserError, said
from equilib.machine.ranks.group import current_ranks
from equilib.plugin.registry import Registry
from equilib.runs.checkpoint_file import CheckpointError, CheckpointFile, read_checkpoint
from equilib.runs.checkpoints import FOLDER, checkpoint_paths
from equilib.runs.continuation import Continuation
from equilib.runs.files import typed
from equilib.runs.folder import locked, refuse_trained
from equilib.runs.record import RecordedRun
from equilib.runs.request import RunRequest


def resume(
    path: Path, registry: Registry, *, checkpoint: Path | None = None, epochs: int | None = None, **changes: Any
) -> None:
    """Go on with the run in a folder from its last checkpoint; without any, begin it again if nothing is trained yet.

    `checkpoint` is another one than the last: a file, or the name of one of the run's own. `epochs` after pretraining,
    those that are done included, take the place of those that were asked for; `changes` are what else the request
    should have: data_dir, device, kernels, log, argv.

    Raises UserError if there is nothing to do, or a checkpoint, the data or a change does not fit; the run is as it was
    then; RunError if the run failed on its way.
    """
    run, request, found, damages = current_ranks().from_first(lambda: _read(path, checkpoint, epochs, changes))
    if found is None:
        request = replace(request, argv=tuple(run.facts.get("argv") or request.argv))
        carry_out(request, registry, out=path, begins_again=str(run.facts.get("status")))
        return
    carry_out(request, registry, out=path, continuation=Continuation(run=run, checkpoint=found, damages=damages))


def _read(
    path: Path, checkpoint: Path | None, epochs: int | None, changes: Mapping[str, Any]
) -> tuple[RecordedRun, RunRequest, CheckpointFile | None, tuple[str, ...]]:
    run, damages = _read_run(path, checkpoint)
    if run.facts.get("status") == "finished" and epochs is None:
        raise UserError(f"the run in {path} is finished: nothing to do; --epochs N trains on")
    with locked(path):  # before the data is read; the run itself holds it again
        request = run.request_here(out=path, overwrite=True, **changes)
    if epochs is not None:
        request = replace(request, epochs=epochs)
    found = find_checkpoint(run, checkpoint)
    if found is None:
        refuse_trained(path, run.facts.get("status"))
    return run, request, found, (*damages, *run.flaws)


def _read_run(path: Path, given: Path | None) -> tuple[RecordedRun, tuple[str, ...]]:
    """Read the record of a run; where it is damaged, what a checkpoint of it knows, and the sentence about that."""
    try:
        return RecordedRun.read(path), ()
    except UserError as error:
        for each in [given] if given else reversed(checkpoint_paths(path)):
            with suppress(CheckpointError):
                run = RecordedRun.of_checkpoint(path, read_checkpoint(each).header)
                return run, (f"{said(error).partition('; ')[0]}; what it said is taken from {each.name}",)
        raise


def find_checkpoint(run: RecordedRun, given: Path | None = None) -> CheckpointFile | None:
    """Read the checkpoint of a run that was given, else its last; None where there is none.

    Raises CheckpointError if it is not a whole checkpoint of this run; one that is is offered.
    """
    known = checkpoint_paths(run.path)
    if given is None and not known:
        return None
    wanted = known[-1] if given is None else given
    if not wanted.exists() and (run.path / FOLDER / wanted.name).exists():
        wanted = run.path / FOLDER / wanted.name
    try:
        return _read_checkpoint(run, wanted)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {_offer(run, [each for each in known if each != wanted])}") from error


def _read_checkpoint(run: RecordedRun, path: Path) -> CheckpointFile:
    found = read_checkpoint(path)
    if found.header.get("run") != run.facts.get("id"):
        raise CheckpointError(f"{path} is a checkpoint of another run")
    return found


def _offer(run: RecordedRun, others: Sequence[Path]) -> str:
    """Return how to go on from the last of the others that is whole."""
    for path in reversed(others):
        try:
            _read_checkpoint(run, path)
        except CheckpointError:
            continue
        return f"{path.name} is whole: {typed('resume', run.path, '--from', path)}"
    return f"the run has no other; put a copy of one into {run.path / FOLDER}"

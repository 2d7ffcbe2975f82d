"""A run directory, read again."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equilib.errors import UserError
from equilib.training.run_directory import METRICS, MODEL, RUN
from equilib.trees import Tree, named_leaves, tree_unflatten


@dataclass(frozen=True)
class RecordedRun:
    """What `equilib run` left in a folder.

    Attributes
    ----------
    path : Path
    facts : dict
        The content of `run.json`.
    """

    path: Path
    facts: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> RecordedRun:
        """Read `run.json`.

        Raises
        ------
        UserError
            If there is none, or it cannot be read.
        """
        try:
            facts = json.loads((path / RUN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} holds no run that can be read ({error}); give the folder of an earlier run"
            ) from error
        if not isinstance(facts, dict):
            raise UserError(f"{path / RUN} is not the record of a run; give the folder of an earlier run")
        return cls(path, facts)

    def metrics(self) -> list[dict[str, Any]]:
        """Return what was recorded of each epoch; a last line that was cut short is left out."""
        try:
            lines = (self.path / METRICS).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        epochs = []
        for line in lines:
            try:
                epochs.append(json.loads(line))
            except ValueError:
                break
        return epochs

    def params(self, like: Tree) -> Tree:
        """Return the parameters in `model.npz` in the structure of `like`.

        Raises
        ------
        UserError
            If the file is missing, or holds another model's parameters.
        """
        path = self.path / MODEL
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                found = dict(file)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read ({error}); the run may have ended before it had a model") from error
        wanted = dict(named_leaves(like))
        for name, leaf in wanted.items():
            if name not in found or found[name].shape != leaf.shape:
                there = f"of shape {found[name].shape}" if name in found else "missing"
                raise UserError(f"{path} holds another model: {name!r}, of shape {leaf.shape} here, is {there}")
        unknown = sorted(set(found) - set(wanted))
        if unknown:
            raise UserError(f"{path} holds another model: there is no {unknown[0]!r} here")
        return tree_unflatten(like, [found[name] for name in wanted])

    def solver_spec(self) -> str | None:
        """Return the solver with its options, as --solver takes it; None where none is recorded."""
        return self._spec("solver")

    def adjoint_spec(self) -> str | None:
        """Return the adjoint with its options, as --adjoint takes it; None where none is recorded."""
        return self._spec("adjoint")

    def solve_options(self) -> dict[str, str]:
        """Return the tolerances and limits of the forward solve, as -o takes them."""
        method = self.facts.get("method") or {}
        return {name: str(value) for name, value in method.get("solve", {}).items()}

    def _spec(self, part: str) -> str | None:
        chosen = (self.facts.get("method") or {}).get(part)
        if not chosen:
            return None
        given = ",".join(f"{name}={value}" for name, value in chosen["options"].items() if value is not None)
        return f"{chosen['name']}:{given}" if given else str(chosen["name"])

"""What `equilib run` was asked to do, before any name in it is looked up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any

from equilib.errors import UserError

DATA_VARIABLE = "EQUILIB_DATA_DIR"
"""The environment variable that says where data lies, unless --data-dir does."""

_PASSING = {"out", "overwrite", "argv", "log"}
"""What does not belong to the run itself."""

_RECORDED: dict[str, Any] = {
    "experiment": str,
    "values": dict,
    "solver": str | None,
    "options": dict,
    "adjoint": str | None,
    "fallback": list,
    "device": str,
    "seed": int,
    "data_dir": str | None,
    "checkpoint_every": int,
    "checkpoint_minutes": int | float | None,
    "warm_start": str,
    "loosen": int | float,
    "tensorboard": bool,
}
"""What `RunRequest.describe` returns: the kind of each value."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One run as the user asked for it.

    Attributes
    ----------
    experiment : str
        The experiment's name.
    values : mapping
        The experiment's options that the user set, by field name, parsed and validated.
    solver, adjoint : str or None
        A name with options, as in "newton-gmres:restart=10"; None leaves the choice to the experiment.
    options : mapping of str to str
        Further options of the solver and of the driver, as text.
    fallback : tuple of str
        Names of solvers, with options, for the samples that do not converge.
    device : str
        "auto", "cpu" or "cuda".
    seed : int
        At least 0.
    data_dir, out : Path or None
    overwrite : bool
        Whether `out` may hold files already.
    argv : tuple of str
        The command line, without the program's name.
    checkpoint_every : int
        Epochs from one checkpoint to the next; 0 for none but that at the end.
    checkpoint_minutes : float or None
        The longest time between two checkpoints.
    warm_start : str
        What a sample's solves of the next epoch start from: "none", "equilibria" or "both".
    loosen : float
        How many times as large the tolerances are at first; at least 1.
    tensorboard : bool
        Whether to write event files as well.
    log : str
        What standard output gets: "auto", "quiet" or "json".
    """

    experiment: str
    values: Mapping[str, object] = field(default_factory=dict)
    solver: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    adjoint: str | None = None
    fallback: tuple[str, ...] = ()
    device: str = "auto"
    seed: int = 0
    data_dir: Path | None = None
    out: Path | None = None
    overwrite: bool = False
    argv: tuple[str, ...] = ()
    checkpoint_every: int = 1
    checkpoint_minutes: float | None = None
    warm_start: str = "none"
    loosen: float = 1.0
    tensorboard: bool = False
    log: str = "auto"

    def describe(self) -> dict[str, Any]:
        """Return what decides the run, as plain values from which `from_record` makes it again."""
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _PASSING}
        # A number that JSON lacks is as good as its text: options are parsed when they are used.
        values = {name: str(value) if value in (inf, -inf) else value for name, value in self.values.items()}
        # Whoever looks at the run later may have another environment.
        named = self.data_dir or os.environ.get(DATA_VARIABLE)
        data_dir = str(Path(named).expanduser().absolute()) if named else None
        lists = {"values": values, "options": dict(self.options), "fallback": list(self.fallback)}
        return plain | lists | {"data_dir": data_dir}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], **changes: Any) -> RunRequest:
        """Return the request that `describe` was asked of, with `changes`.

        Raises
        ------
        UserError
            If it was recorded by another version of equilib.
        """
        unknown = sorted(record.keys() - _RECORDED.keys())
        odd = sorted(name for name, value in record.items() if not isinstance(value, _RECORDED.get(name, object)))
        if unknown or odd or "experiment" not in record:
            evidence = "it names no experiment"
            if unknown or odd:
                evidence = f"it sets {unknown[0]!r}" if unknown else f"{odd[0]!r} is {record[odd[0]]!r:.40}"
            raise UserError(f"the run was recorded by another version of equilib ({evidence}); use that one")
        data_dir, fallback = record.get("data_dir"), tuple(record.get("fallback", ()))
        data_dir = None if data_dir is None else Path(data_dir)
        return cls(**{**record, "data_dir": data_dir, "fallback": fallback, **changes})

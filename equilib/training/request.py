"""What `equilib run` was asked to do, before any name in it is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
    device : str
        "auto", "cpu" or "cuda".
    seed : int
        At least 0.
    data_dir, out : Path or None
    overwrite : bool
        Whether `out` may hold files already.
    argv : tuple of str
        The command line, without the program's name.
    """

    experiment: str
    values: Mapping[str, object] = field(default_factory=dict)
    solver: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    adjoint: str | None = None
    device: str = "auto"
    seed: int = 0
    data_dir: Path | None = None
    out: Path | None = None
    overwrite: bool = False
    argv: tuple[str, ...] = ()

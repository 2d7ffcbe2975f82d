"""Requests for runs: what `equilib run` was asked to do, before any name in it is looked up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from equilib.arrays import DTYPES
from equilib.errors import UserError
from equilib.machine.devices import DEVICES
from equilib.options.named import FIXED_POINT
from equilib.runs.files import json_values
from equilib.runs.flags import FILES, IMAGES, METHOD, OUT, PLACE, RECORDING, TRAINING, Flag, flag, flags_of

DATA_VARIABLE = "EQUILIB_DATA_DIR"
"""The environment variable that says where data lies, unless --data-dir does."""

_FORMERLY_VALUES = ("epochs", "batch_size", "pretrain_epochs")
"""What runs recorded up to 4f50af3 have among the values of the experiment."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One run as the user asked for it: the experiment, the values of its options that were given, and the flags.

    Solver, adjoint, optimizer and data are names with options, as in "picard:damping=0.5", or None, which leaves
    the choice to the experiment. `values` are parsed and validated, `argv` is the command line without the program's
    name, and `log` what standard output gets: "auto", "quiet" or "json".
    """

    experiment: str
    values: Mapping[str, object] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    solver: str | None = flag(
        None, METHOD, "Choose the solver of the forward pass, or the integrator of an ODE; by default the recipe's."
    )
    options: Mapping[str, str] = flag(
        {},
        METHOD,
        "Set an option of the solver or of its driver, such as rtol; may be repeated.",
        spellings=("-o", "--option"),
    )
    adjoint: str | None = flag(
        None, METHOD, "Choose the adjoint of the backward pass; by default the one that suits the solver."
    )
    fallback: tuple[str, ...] = flag(
        (),
        METHOD,
        "Solve samples that have not converged with another solver, from the initial guess; may be repeated.",
        needs=FIXED_POINT,
    )
    epochs: int | None = flag(
        None, TRAINING, "Train for so many epochs, pretraining not counted; by default the recipe's.", minimum=0
    )
    pretrain_epochs: int | None = flag(
        None,
        TRAINING,
        "Train for so many epochs at a fixed depth before; by default the recipe's.",
        needs=FIXED_POINT,
        minimum=0,
    )
    batch_size: int | None = flag(None, TRAINING, "Put so many samples in a batch; by default the recipe's.", minimum=1)
    shares: int | None = flag(
        None,
        TRAINING,
        "Compute each batch in so many shares, so that its sums do not depend on the number of ranks; by default one "
        "for each rank.",
        minimum=1,
    )
    optimizer: str | None = flag(None, TRAINING, "Choose the optimizer; by default the recipe's.")
    clip_gradient: float | None = flag(
        None,
        TRAINING,
        "Scale gradients down to this norm; by default as the recipe says, most never.",
        exclusive_minimum=0,
    )
    warm_up: int | None = flag(
        None,
        TRAINING,
        "Raise the learning rate from a tenth over so many updates before its schedule; by default the recipe's.",
        minimum=0,
    )
    patience: int | None = flag(
        None,
        TRAINING,
        "Stop after so many epochs without a better test score; by default as the recipe says, most never.",
        minimum=1,
    )
    dtype: str | None = flag(
        None, TRAINING, "Compute in this floating-point type; by default the recipe's.", choices=DTYPES
    )
    tf32: bool = flag(
        False,
        TRAINING,
        "Multiply float32 matrices on an NVIDIA GPU with factors of eleven bits; for rtol of 1e-4 or more.",
    )
    warm_start: str = flag(
        "none",
        TRAINING,
        "Start each solve from what the last epoch found for the sample: z*, or z* and the adjoint's w.",
        needs=FIXED_POINT,
        choices=("none", "equilibria", "both"),
    )
    loosen: float = flag(
        1.0,
        TRAINING,
        "Multiply the tolerances of training at first; the last third of the epochs has those asked for.",
        needs=FIXED_POINT,
        minimum=1,
        maximum=1e6,
    )
    device: str = flag("auto", PLACE, "Compute on a CPU, a GPU, by PyTorch or JAX; auto takes a GPU.", choices=DEVICES)
    kernels: str | None = flag(
        None,
        PLACE,
        "Compute with this family of kernels only, or with none; by default with all that are installed.",
    )
    seed: int = flag(0, PLACE, "Draw the parameters, the batches and the dropout of this seed.", minimum=0)
    data: str | None = flag(None, PLACE, "Choose the data set; by default the recipe's.", needs=IMAGES)
    data_dir: Path | None = flag(
        None,
        PLACE,
        "Look for data in this folder; by default in EQUILIB_DATA_DIR, then in the cache.",
        needs=FILES,
        exists=True,
    )
    checkpoint_every: int = flag(
        1, RECORDING, "Write a checkpoint after so many epochs; 0: only at the end.", minimum=0
    )
    checkpoint_minutes: float | None = flag(
        None, RECORDING, "Write a checkpoint after so many minutes as well, within an epoch too.", exclusive_minimum=0
    )
    tensorboard: bool = flag(False, RECORDING, "Write TensorBoard event files as well.")
    out: Path | None = flag(None, OUT, "Write to this folder; by default to a new one in runs.")
    overwrite: bool = flag(False, OUT, "Replace the run in --out; other files there stay.")
    log: str = "auto"

    def describe(self) -> dict[str, Any]:
        """Return what decides the run, as plain values from which `from_record` makes it again."""
        # A number that JSON lacks is as good as its text: options are parsed when they are used.
        values = {name: str(value) if value in (inf, -inf) else value for name, value in self.values.items()}
        plain = {name: json_values(getattr(self, name)) for name in _RECORDED}
        # Whoever looks at the run later may have another environment.
        named = self.data_dir or os.environ.get(DATA_VARIABLE)
        data_dir = str(Path(os.path.expanduser(named)).absolute()) if named else None
        return {"experiment": self.experiment, "values": values, **plain, "data_dir": data_dir}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], **changes: Any) -> RunRequest:
        """Return the request that `describe` was asked of, with `changes`.

        Raises UserError if it was recorded by another version of equilib.
        """
        own = {"experiment": str, "values": dict}
        unknown = sorted(record.keys() - _RECORDED.keys() - own.keys())
        odd = sorted(
            name
            for name, value in record.items()
            if not (isinstance(value, own[name]) if name in own else name in unknown or _RECORDED[name].accepts(value))
        )
        if unknown or odd or "experiment" not in record:
            evidence = "it names no experiment"
            if unknown or odd:
                evidence = f"it sets {unknown[0]!r}" if unknown else f"{odd[0]!r} is {record[odd[0]]!r:.40}"
            raise UserError(f"the run was recorded by another version of equilib ({evidence}); use that one")
        values = dict(record.get("values", {}))
        moved = {name: values.pop(name) for name in _FORMERLY_VALUES if name in values}
        flags = {name: _RECORDED[name].restored(value) for name, value in record.items() if name in _RECORDED}
        return cls(**{"experiment": record["experiment"], "values": values, **moved, **flags, **changes})

    def set_flags(self) -> list[Flag]:
        """Return the flags that decide the run and whose value is not the default."""
        return [each for name, each in _RECORDED.items() if getattr(self, name) != each.default]

    def arguments(self) -> list[str]:
        """Return the arguments of `equilib run` that ask for the same run, without a place for it."""
        arguments = [self.experiment]
        for name, value in self.values.items():
            word = name.replace("_", "-")
            if isinstance(value, bool):
                arguments.append(f"--{word}" if value else f"--no-{word}")
            else:
                arguments += [f"--{word}", "none" if value is None else str(value)]
        return arguments + [text for each in self.set_flags() for text in each.arguments(getattr(self, each.name))]

    def refuse_unusable(self, uses: frozenset[str]) -> None:
        """Refuse a flag that the experiment cannot use.

        Raises UserError if one was given.
        """
        for each in self.set_flags():
            # A folder is recorded of every run, since the environment may name one.
            if each.needs not in ("", FILES, *uses):
                raise UserError(f"experiment {self.experiment!r} {each.misfit}: leave out {each.spelled[-1]}")


FLAGS: tuple[Flag, ...] = flags_of(RunRequest)
"""The flags of `equilib run`, in the order of its help."""

_RECORDED = {each.name: each for each in FLAGS if each.recorded}

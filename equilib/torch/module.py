"""The equilibrium of a module as a module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import nn

from equilib.adjoints.equilibrium import Equilibrium
from equilib.adjoints.fixed_point import chosen_adjoint
from equilib.adjoints.sensitivity import Sensitivity
from equilib.fixed_points.arguments import check_declared
from equilib.fixed_points.options import SolveOptions, overridden
from equilib.fixed_points.solution import Solution
from equilib.fixed_points.solve import resolved_fallback
from equilib.fixed_points.solver import Solver, WholeSolver
from equilib.options.kinds import check_kind, described
from equilib.options.named import resolved
from equilib.torch.coarse import check_coarse
from equilib.torch.compiling import refuse_recorders, uncompiled
from equilib.torch.equilibria import equilibrium
from equilib.torch.mistakes import check_map

_PLAIN = (Number, str, bytes, type(None), torch.dtype, torch.device)


class DeepEquilibrium(nn.Module):
    """z = cell(z, *inputs): the fixed point of a module, or of another function, in the place of its repetition.

    Parameters
    ----------
    cell : Module or callable
        Maps z and the inputs to the like of z.
    solver, adjoint, has_aux, options, fallback, coarse, **overrides
        As in `fixed_point`.
    initial : callable
        Maps the inputs to the initial guess; by default zeros like the first of them.
    batched_inputs : sequence of bool, optional
        For each of the inputs whether axis 0 of all its tensors is the batch: then finished samples leave it. By
        default the first input has it, where the guess is zeros like that one, and the others have not; where one of
        these may hold samples, as an axis of a multiple of their number or an object may, all samples stay.

    Attributes
    ----------
    solution : Solution or None
        The last solve: status, residual and counts of each sample.
    adjoints : list of Solution
        The linear solves of its derivatives so far.

    Raises TypeError or UserError where it is made, if there is no such solver, adjoint or option, or no function.
    """

    def __init__(
        self,
        cell: Callable[..., Any],
        solver: str | Solver | WholeSolver = "auto",
        *,
        adjoint: str | Sensitivity[Solution] | None = None,
        initial: Callable[..., Any] | None = None,
        has_aux: bool = False,
        options: SolveOptions | None = None,
        fallback: Sequence[str | Solver | WholeSolver] = (),
        batched_inputs: Sequence[bool] | None = None,
        coarse: torch.dtype | None = None,
        **overrides: Any,
    ) -> None:
        super().__init__()
        _check(cell, solver, adjoint, initial, options, fallback, overrides)
        check_coarse(coarse)
        check_declared(batched_inputs)
        self.cell, self.initial = cell, initial
        self.how: dict[str, Any] = {
            "solver": solver,
            "adjoint": adjoint,
            "has_aux": has_aux,
            "options": options,
            "fallback": tuple(fallback),
            "batched_inputs": batched_inputs if batched_inputs is None else tuple(batched_inputs),
            "coarse": coarse,
            **overrides,
        }
        self.solution: Solution | None = None
        self.adjoints: list[Solution] = []

    def forward(self, *inputs: Any, z0: Any = None) -> Any:
        """Return the fixed point, shape (batch, ...), and with `has_aux` what the cell returned beside it."""
        if z0 is None and self.initial is None and not inputs:
            raise TypeError("without an input there is nothing that the initial guess could be like; give z0=...")
        if z0 is None and self.initial is None and not isinstance(inputs[0], torch.Tensor):
            refuse_recorders()  # whose tensors are none
            raise TypeError(
                f"the initial guess is zeros like the first input, a tensor, got {described(inputs[0])}; give tensors, "
                "or say what z is like by initial=... or z0=..."
            )
        like_first = z0 is None and self.initial is None  # a guess that is given has the shape of a weight by chance
        if z0 is None:
            z0 = torch.zeros_like(inputs[0]) if self.initial is None else self.initial(*inputs)
        found = _solved(self.cell, z0, inputs, self.how, like_first=like_first)
        self.solution, self.adjoints = found.solution, found.adjoints
        return (found.z, found.aux) if self.how["has_aux"] else found.z

    def extra_repr(self) -> str:
        """Return the solver and the options, for the text of the module."""
        given = {name: value for name, value in self.how.items() if value not in (None, (), False)}
        return ", ".join(f"{name}={value}" for name, value in given.items())

    def __getstate__(self) -> dict[str, Any]:
        """Return what is saved and copied: not the last solve."""
        return {**self.__dict__, "solution": None, "adjoints": []}


@uncompiled
def _solved(
    cell: Callable[..., Any], z0: Any, inputs: tuple[Any, ...], how: dict[str, Any], *, like_first: bool
) -> Equilibrium:
    check_map(cell, "cell", "z", inputs=len(inputs), where="DeepEquilibrium(cell)(*inputs)")
    if like_first and how.get("batched_inputs") is None and how.get("batched", True):
        how = {**how, "batched_inputs": _known_to_be_batched(*inputs)}
    return equilibrium(cell, z0, *inputs, **how)


def _known_to_be_batched(first: torch.Tensor, *others: Any) -> tuple[bool, ...] | None:
    """Return which inputs have the batch axis, where that is in no doubt: the first, which z is like, and no other.

    Who takes a shared input that happens to be as long as the batch for one of the samples solves another equation; one
    with the batch on another axis, or with several rows for each sample, cannot be cut.
    """
    doubtful = not first.ndim or not first.shape[0] or _may_hold_samples(others, first.shape[0])
    return None if doubtful else (True, *(False for _ in others))


def _may_hold_samples(others: tuple[Any, ...], batch: int) -> bool:
    """Return whether one of the inputs may say something of each sample: in an axis, a list, or out of our sight."""
    open_values = list(others)
    while open_values:
        value = open_values.pop()
        if isinstance(value, torch.Tensor | np.ndarray):
            lengths = tuple(value.shape)
        elif isinstance(value, list | tuple | dict):
            open_values += value.values() if isinstance(value, dict) else value
            lengths = (len(value),)
        elif isinstance(value, _PLAIN):
            continue
        else:
            return True
        if any(length and length % batch == 0 for length in lengths):
            return True
    return False


def _check(
    cell: object, solver: Any, adjoint: Any, initial: object, options: Any, fallback: Any, overrides: dict[str, Any]
) -> None:
    """Require what a solve will ask for; names stay what is kept, shown and copied."""
    check_kind(cell, "cell", "map of z")
    if initial is not None and not callable(initial):
        raise TypeError(f"initial must be a map of the inputs to the initial guess, got {described(initial)}")
    chosen_adjoint(adjoint, resolved(solver, "solver", "solver"))
    resolved_fallback(fallback)
    own = {name: each for name, each in overrides.items() if name != "batched"}
    overridden(SolveOptions, options, own, DeepEquilibrium)

"""Protocols of models that can be trained."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from equilib.adjoints.equilibrium import Record
from equilib.arrays import Array, Tree


class Model(Protocol):
    """**Protocol:** a network that returns its prediction and the record of its equilibrium or integration."""

    def __call__(self, params: Tree, x: Array) -> tuple[Array, Record]:
        """Return the prediction and the record."""


@runtime_checkable
class NamesSolvers(Protocol):
    """**Protocol:** a model that tells what solves for its states, so that their size can be refused at once."""

    def solvers(self) -> tuple[object, ...]:
        """Return solvers, of which each may have `require_size`."""


@runtime_checkable
class EquilibriumModel(Model, Protocol):
    """**Protocol:** a model that solves for an equilibrium, as `DEQChain`.

    Its call takes `start`, and `adjoint_guess` where the adjoint does.
    """

    def unrolled(self, depth: int) -> Model:
        """Return the same network with a fixed depth, for pretraining."""

    def loosened(self, factor: float) -> Model:
        """Return the same network with tolerances `factor` times as large."""

    def warm_starts(self) -> tuple[str, ...]:
        """Return which of `start` and `adjoint_guess` a call can be given; at a fixed depth, neither."""

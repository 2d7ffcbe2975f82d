"""Protocols of models that can be trained."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from equilib.arrays import Array
from equilib.arrays.trees import Tree
from equilib.models.equilibrium import Record


class Model(Protocol):
    """**Protocol:** a network that returns its prediction and the record of its equilibrium or integration."""

    def __call__(self, params: Tree, x: Array) -> tuple[Array, Record]:
        """Return the prediction and the record."""


@runtime_checkable
class Unrollable(Model, Protocol):
    """**Protocol:** a model that can be pretrained at a fixed depth."""

    def unrolled(self, depth: int) -> Model:
        """Return the same network with a fixed depth."""

"""Tolerances of training: loose in early epochs, as asked for in late ones."""

from __future__ import annotations

from typing import Any

from equilib.errors import UserError
from equilib.training.model import EquilibriumModel


def introduce(factor: float) -> list[str]:
    """Return a line about the tolerances of training, for people; none where they do not change."""
    return [] if factor == 1 else [f"Tolerances: {factor:g} times as large at first, as asked for in the last third"]


def check_loosening(factor: float, model: Any) -> None:
    """Refuse a factor where there is no tolerance to be changed.

    Raises UserError if the model does not solve for an equilibrium.
    """
    if factor != 1 and not isinstance(model, EquilibriumModel):
        raise UserError("the model solves for no equilibrium whose tolerance could begin loose; leave out --loosen")


def loosened(model: Any, factor: float, epoch: int, epochs: int) -> Any:
    """Return the model with the tolerances of an epoch, the first being epoch 1.

    They fall geometrically from `factor` times the model's to the model's own. The last third of the epochs, and in any
    case the last one, have those.
    """
    return model if factor == 1 else model.loosened(looseness(factor, epoch, epochs))


def looseness(factor: float, epoch: int, epochs: int) -> float:
    """Return how many times as large the tolerances of an epoch are."""
    falling = 2 * epochs // 3 if epochs > 1 else 0
    return float(factor ** (1 - (epoch - 1) / falling)) if epoch <= falling else 1.0

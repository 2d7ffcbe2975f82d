"""How a Broyden step teaches an inverse Jacobian, for tests of the inverse alone."""

from __future__ import annotations

from typing import Any, TypeVar

from equilib_broyden.iteration import InverseJacobian

H = TypeVar("H", bound=InverseJacobian)


def taught(inverse: H, step: Any, change: Any) -> H:
    """Return the inverse after one update."""
    room = inverse.with_room()
    return room.updated(step, change, room.apply(change))

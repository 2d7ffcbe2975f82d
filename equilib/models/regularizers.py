"""Regularizers of an equilibrium: terms that a loss may add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from equilib import ops
from equilib.adjoints.equilibrium import Equilibrium
from equilib.arrays import Array, is_half
from equilib.ops.half_precision import in_single
from equilib.options.kinds import check_interval


def mean_square(array: Array) -> Array:
    """Return the mean of the squares of an array, shape ()."""
    if is_half(array):
        return in_single(mean_square, array)
    return ops.mean(ops.multiply(array, array))


def guess_distance(equilibrium: Equilibrium) -> Array:
    """Return the mean of |z0 − z*|, shape (): it draws guess and fixed point together (Pal et al. 2022, §3)."""
    return ops.mean(ops.abs(ops.subtract(equilibrium.z0, equilibrium.z)))


def residual_size(equilibrium: Equilibrium) -> Array:
    """Return ‖f(z*) − z*‖² / size of one sample, averaged over the batch, shape ().

    Raises ValueError if the model was not asked for it.
    """
    if equilibrium.residual_loss is None:
        raise ValueError("the model does not return its residual to the loss: set residual_loss=True")
    return equilibrium.residual_loss


def jacobian_size(equilibrium: Equilibrium) -> Array:
    """Return the estimate of ‖J‖²_F / size of one sample, shape () (Bai et al. 2021, arXiv:2106.14342).

    Raises ValueError if the model was not asked for it.
    """
    if equilibrium.jacobian_loss is None:
        raise ValueError("the model does not estimate its Jacobian: set jacobian_loss=True and call it with rng=...")
    return equilibrium.jacobian_loss


_TERMS: dict[str, Callable[[Equilibrium], Array]] = {
    "guess": guess_distance,
    "residual": residual_size,
    "jacobian": jacobian_size,
}


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Weights of what is added to a loss: `guess_distance`, `residual_size` and `jacobian_size`.

    A term of weight 0 is not evaluated.

    Raises TypeError or ValueError if a weight is no number of 0 or more.
    """

    guess: float = 0.0
    residual: float = 0.0
    jacobian: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            check_interval(self, each.name, "[0, inf)")

    def __call__(self, loss: Array, equilibrium: Equilibrium) -> Array:
        """Return the loss, shape (), plus the weighted terms; raises what a term does."""
        for name, term in _TERMS.items():
            weight = getattr(self, name)
            if weight:
                loss = ops.add(loss, ops.multiply(term(equilibrium), weight))
        return loss

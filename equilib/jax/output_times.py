"""Output times in JAX as inputs of steps that are taken again, to the fourth order, forward and in reverse.

y(tᵢ) moves with tᵢ by f(tᵢ, yᵢ), and with t₀ as if y(t₀) had moved by −f(t₀, y₀): between a time and its value lies a
step of Runge's and Kutta's method of order 4, of size 0.
"""

from __future__ import annotations

from collections.abc import Callable

import jax

Rate = Callable[[jax.Array, jax.Array], jax.Array]


def moved(f: Rate, y: jax.Array, t: jax.Array, fixed: jax.Array, *, back: bool = False) -> jax.Array:
    """Return y, shape (batch, ...), at a time t whose value is `fixed`; or with `back` y at that, given y at t.

    Parameters
    ----------
    f : callable
        Maps times and y to y'.
    t : array, shape () or (batch,)
    fixed : array
        Its value as f takes it, a constant that broadcasts against y.
    """
    away = (t - jax.lax.stop_gradient(t)).astype(fixed.dtype).reshape(fixed.shape)
    size = -away if back else away
    start = fixed + away if back else fixed
    h = size.astype(y.dtype)
    slopes: list[jax.Array] = []
    for share in (0.0, 0.5, 0.5, 1.0):
        at = y + share * h * slopes[-1] if slopes else y
        slopes.append(f(start + share * size, at))
    one, two, three, four = slopes
    return y + h / 6 * (one + 2 * two + 2 * three + four)

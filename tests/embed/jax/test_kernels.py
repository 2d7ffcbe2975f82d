"""Small states under `jit`, whose bookkeeping a CPU does in kernels of its own, whatever the options of a solve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.embed.jax.cells import close

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib.jax import equilibrium  # noqa: E402
from equilib.jax.traced.kernel import ONE_KERNEL, apart, small  # noqa: E402

CHOICES: dict[str, list[Any]] = {
    "solver": ["picard", "picard:damping=0.3", "anderson:memory=1", "anderson", "lbroyden:memory=2", "broyden"],
    "criterion": ["distance", "residual"],
    "norm": ["rms", "two", "max", lambda r: jnp.sort(jnp.abs(r), axis=1)[:, -1], lambda r: 0 * jnp.abs(r[:, 0]) + 1],
    "rtol": [1e-5, 0.0, np.asarray([1e-3, 1e-4, 1e-5, 0.0])],
    "atol": [1e-6, 0.0],
    "max_steps": [0, 1, 40, 2**31 - 2],
    "stagnation": [None, 1, 6],
    "divergence": [1.0, 1e16],
}


@pytest.mark.parametrize("seed", range(16))
def test_whatever_the_options_a_small_solve_is_that_of_the_host(seed: int):
    """Statuses, steps, evaluations and iterates are those of the solve outside of `jit`."""
    rng = np.random.default_rng(seed)
    options = {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}
    if options["max_steps"] > 40:
        options["stagnation"] = 6  # else it never ends where no norm is small enough
    z0 = jnp.asarray(rng.standard_normal((int(rng.choice([1, 3])), 4)))
    weight = jnp.asarray(0.4 * rng.standard_normal((4, 4)))
    solve = lambda z0: equilibrium(lambda z: jnp.tanh(z @ weight + 0.2), z0, on_failure="record", **options).solution  # noqa: E731
    host, traced = solve(z0), jax.jit(solve)(z0)
    assert small(z0)
    assert list(traced.statuses) == list(host.status)
    assert list(traced.steps) == list(host.steps)
    assert int(traced.nfe) == host.nfe
    assert close(traced.z, host.z)


def unused(x: Any, y: Any) -> Any:
    """Return what does not depend on y."""
    return x + 1, 2 * x


def handed_on(x: Any, y: Any) -> Any:
    """Return what was given, in another order."""
    return y, x


def ordered(x: Any, y: Any) -> Any:
    """Return what no kernel can make."""
    return jnp.sort(x), jnp.linalg.solve(jnp.eye(4) + jnp.outer(y, y), x)


@pytest.mark.parametrize("make", [unused, handed_on, ordered], ids=lambda make: make.__name__)
def test_a_kernel_makes_what_its_operations_make(make: Callable[..., Any]):
    """Whether it uses all that it is given, hands it on, or needs what no kernel holds."""
    weight = jnp.eye(64)  # without which the whole loop would be one kernel

    def turn(carry: Any) -> Any:
        k, x, y, z = carry
        x, y = apart(make, x, y, like=x)
        return k + 1, x, y, z @ weight

    given = (0, jnp.arange(4.0), jnp.ones(4), jnp.ones(64))
    found = jax.jit(lambda *given: jax.lax.while_loop(lambda carry: carry[0] < 3, turn, given))(*given)
    x, y = given[1:3]
    for _ in range(3):
        x, y = make(x, y)
    assert close(found[1], x)
    assert close(found[2], y)


def test_kernels_are_those_of_a_version_that_is_known():
    """What XLA calls a kernel of several operations is its own affair, so later versions get none."""
    assert bool(ONE_KERNEL) == (jax.__version_info__ < (0, 11))

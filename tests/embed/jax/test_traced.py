"""Traced solves beside those of the host: the same statuses, steps and evaluations on maps of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from equilib.adjoints.equation import transposed
from tests.embed.jax.cells import close, drawn, f

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

from equilib import SolveOptions  # noqa: E402
from equilib.fixed_points.picard import Picard, State  # noqa: E402
from equilib.jax import equilibrium, fixed_point  # noqa: E402

SIZE = 3
MIX = jnp.asarray(np.random.default_rng(0).standard_normal((SIZE, SIZE)))
MAPS: dict[str, Any] = {
    "contraction": lambda z: 0.3 * jnp.tanh(z @ MIX) + 0.1,
    "expansive": lambda z: 2 * z + 1,
    "slow": lambda z: 0.999 * z + 1e-3,
    "overflow": lambda z: jnp.exp(z) + 1,
    "nan": lambda z: z * jnp.nan,
    "underflow": lambda z: z + jax.nn.sigmoid(z),
    "nowhere": lambda z: z + 1.0,
    "plateau": lambda z: jnp.where(z > 0.5, z, 2 * z + 0.2),
    "multiple root": lambda z: z - (z - 0.7) ** 3,
    "tiny": lambda z: 1e-160 * (0.5 * jnp.tanh(z * 1e160 @ MIX) + 0.1),
    "huge": lambda z: 1e150 * (0.5 * jnp.tanh(z * 1e-150 @ MIX) + 0.1),
    "constant": lambda z: jnp.full_like(z, 0.3),
    "identity": lambda z: z,
    "logarithm": jnp.log,
    "hinge": lambda z: z - jnp.maximum(z - 0.2, 0),
}
"""Each is the map of one sample; most of them are there for a way in which a sample ends."""

OPTIONS = (
    {"rtol": 1e-6, "max_steps": 30},
    {"rtol": 1e-6, "stagnation": 5, "norm": "max", "criterion": "residual"},
    {"rtol": jnp.asarray([1e-3, 1e-4, 1e-5]), "norm": "two", "max_steps": 20},
)


BY_ROUNDING = ("underflow", "nowhere", "multiple root")
"""Those whose secants are of rounding errors: where mixing takes them differs between two compilers."""


def all_maps(z: Any, *, but: Sequence[str] = ()) -> Any:
    """Return each map of its sample."""
    return jnp.stack([MAPS[name](z[i]) for i, name in enumerate(name for name in MAPS if name not in but)])


def guess(*, but: Sequence[str] = ()) -> Any:
    """Return where the samples begin."""
    scale = np.ones(len(MAPS))
    scale[list(MAPS).index("tiny")], scale[list(MAPS).index("huge")] = 1e-160, 1e150
    z0 = scale[:, None] * 0.1 * np.random.default_rng(1).standard_normal((len(MAPS), SIZE))
    return jnp.asarray(z0[~np.isin(list(MAPS), but)])


@pytest.mark.parametrize(
    ("solver", "options"),
    [
        *(("picard", each) for each in OPTIONS),
        ("anderson:mixing=0.7,memory=3", OPTIONS[0]),
        ("anderson", OPTIONS[1]),
        ("lbroyden:memory=4", OPTIONS[0]),
        ("broyden", OPTIONS[0]),
    ],
    ids=["picard", "picard, residual", "picard, components", "anderson", "anderson, residual", "lbroyden", "broyden"],
)
def test_a_traced_solve_is_that_of_the_host(solver: str, options: dict[str, Any]):
    """Every sample ends in the same way after as many steps, and where it converged at the same z."""
    but = BY_ROUNDING if "anderson" in solver else ()
    names = [name for name in MAPS if name not in but]
    maps, how = partial(all_maps, but=but), {"solver": solver, "on_failure": "record", **options}
    solve = lambda z0: equilibrium(maps, z0, **how).solution  # noqa: E731
    host, traced = solve(guess(but=but)), jax.jit(solve)(guess(but=but))
    assert dict(zip(names, traced.statuses, strict=True)) == dict(zip(names, host.status, strict=True))
    assert list(traced.steps) == list(host.steps)
    assert int(traced.nfe) == host.nfe
    known = host.converged & ~np.isin(names, ("identity", "nowhere"))  # which have no fixed point of their own
    assert close(traced.z[known], host.z[known])


@pytest.mark.parametrize("solver", ["anderson:mixing=0.7,memory=3", "anderson"])
def test_where_rounding_decides_what_converged_has_a_small_residual(solver: str):
    """Wherever mixing takes a sample whose secants are of rounding errors, CONVERGED means that its test is met."""
    but = [name for name in MAPS if name not in BY_ROUNDING]
    maps, z0 = partial(all_maps, but=but), guess(but=but)
    traced = jax.jit(lambda z0: equilibrium(maps, z0, solver=solver, on_failure="record", **OPTIONS[1]).solution)(z0)
    size = np.max(np.abs(maps(traced.z) - traced.z), axis=1)
    assert np.all(size[traced.converged] <= 1e-6 * np.max(np.abs(traced.z), axis=1)[traced.converged] + 1e-12)


@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("begin", [1.0, 1.5])
@pytest.mark.parametrize("gain", [0.5, -1.0], ids=["contraction", "cycle"])
def test_the_guess_is_no_step_without_progress(gain: float, begin: float, patience: int):
    """A guess that f maps to zero, whose norm is looked at closely, is counted once by `stagnation`, as on the host."""
    f = lambda z: gain * (z - 1.0)  # noqa: E731
    how: Any = {"solver": "picard", "stagnation": patience, "on_failure": "record"}
    solve = lambda z0: equilibrium(f, z0, **how).solution  # noqa: E731
    host, traced = solve(jnp.full((1, 3), begin)), jax.jit(solve)(jnp.full((1, 3), begin))
    assert (traced.statuses, list(traced.steps)) == (host.status, list(host.steps))


@pytest.mark.parametrize("solver", ["picard", "anderson", "lbroyden", "broyden"])
@pytest.mark.parametrize("shape", [(2, 0), (0, 3)], ids=["no component", "no sample"])
def test_a_state_without_numbers_is_traced(solver: str, shape: tuple[int, int]):
    """A state that holds no number is a solution, as on the host."""
    solve = lambda z0: equilibrium(lambda z: 0.5 * z, z0, solver=solver).solution  # noqa: E731
    host, traced = solve(jnp.zeros(shape)), jax.jit(solve)(jnp.zeros(shape))
    assert traced.z.shape == host.z.shape == shape
    assert traced.statuses == host.status


def test_fallbacks_are_traced():
    """What a solver leaves is solved by the next one, and nothing else is."""
    how: Any = {"solver": "picard", "fallback": ("broyden",), "on_failure": "record", "max_steps": 20}
    solve = lambda z0: equilibrium(all_maps, z0, **how).solution  # noqa: E731
    host, traced = solve(guess()), jax.jit(solve)(guess())
    assert traced.statuses == host.status
    assert list(traced.steps) == list(host.steps)
    assert close(traced.z[host.converged], host.z[host.converged])


@pytest.mark.parametrize("transpose", [False, True])
def test_the_linear_equation_is_that_of_the_host(transpose: bool):
    """GMRES in a loop takes the steps of GMRES on the host, over restarts, and leaves a zero alone."""
    from equilib.adjoints.implicit import ImplicitAdjoint
    from equilib.fixed_points.settled import settled
    from equilib.jax.how import How
    from equilib.jax.maps import Map
    from equilib.jax.traced.solve import linear
    from equilib.numerics.gmres import GMRES

    weight, x = drawn(batch=4, size=12)
    weight, b = 3 * weight, x.at[1].set(0.0)
    adjoint = ImplicitAdjoint(linear_solver=GMRES(restart=5))
    how = How(None, adjoint, SolveOptions(rtol=1e-6, max_steps=40), (), None)
    f_of = Map(lambda z, arrays: f(z, *arrays))
    products = f_of.linearize(None, x, weight, x)
    found = adjoint.solve_adjoint(
        products if transpose else transposed(products), settled(x, how.solver, how.options), b
    )
    none = jnp.zeros(4, dtype=bool)
    traced = linear(b, x, none, weight, x, f=f_of, how=how, transpose=transpose)
    assert found.success
    assert close(traced, found.z, 1e-5)
    assert not np.any(traced[1])


def test_nan_beside_others():
    """A sample that is not finite leaves the gradients of the others alone where its inputs are declared."""
    weight, x = drawn(batch=3)
    spoilt, rows = x.at[1].set(jnp.nan), jnp.asarray([0, 2])
    how = {"solver": "anderson", "rtol": 1e-12, "max_steps": 200, "on_failure": "record"}

    def loss(weight: Any, x: Any) -> Any:
        z = fixed_point(f, jnp.zeros_like(x), weight, x, batched_inputs=(False, True), **how)
        return jnp.sum(z[rows] ** 2)

    expected = jax.grad(loss)(weight, x)
    assert close(jax.grad(loss)(weight, spoilt), expected)
    assert close(jax.jit(jax.grad(loss))(weight, spoilt), expected)


@pytest.mark.parametrize(
    "tolerance", [{"rtol": np.full(3, 1e-12)}, {"rtol": 0.0, "atol": 1e-12}], ids=["components", "absolute"]
)
def test_gradients_have_the_tolerance_of_the_solve(tolerance: dict[str, Any]):
    """Under jit a tolerance of each component, or one that is absolute, is that of the adjoint equation, too."""
    weight, x = drawn(batch=2)

    def loss(weight: Any, **how: Any) -> Any:
        z = fixed_point(f, jnp.zeros_like(x), weight, x, solver="anderson", max_steps=200, **how)
        return jnp.sum(z**2)

    found = jax.jit(jax.grad(lambda weight: loss(weight, **tolerance)))(weight)
    assert close(found, jax.grad(lambda weight: loss(weight, rtol=1e-13))(weight), 1e-9)


class Cautious(Picard):
    """Picard iteration with steps of its own."""

    def step(self, f: Any, state: State) -> State:
        """Go a tenth of the way."""
        z = state.z + 0.1 * state.residual
        return State(z, f.residual(z))


def test_a_method_made_from_picards_takes_its_own_steps():
    """Where z ← f(z) diverges, a shorter step under jit converges as outside."""
    z = jax.jit(lambda x: fixed_point(lambda z, x: -5 * z + x, jnp.zeros((1, 1)), x, solver=Cautious()))(
        jnp.ones((1, 1))
    )
    assert abs(float(z[0, 0]) - 1 / 6) < 1e-4

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg

from equilib import GMRES, Affine, FixedPointProblem, Status, solve
from equilib.arrays import array_namespace
from tests.arrays_under_test import constant_like, lift, lower
from tests.problems import LINEAR, ROTATION, SINGULAR, KnownMap

BATCH, SIZE = 4, 12
EVERY = np.ones(BATCH, bool)


class Counted:
    """v ↦ A v for matrices of shape (batch, n, n) and vectors of any shape, counting its calls."""

    def __init__(self, A: np.ndarray) -> None:
        self.A = A
        self.calls = 0

    def __call__(self, v: Any) -> Any:
        """Return A v."""
        self.calls += 1
        xp = array_namespace(v)
        rows = xp.reshape(v, (v.shape[0], -1, 1))
        return xp.reshape(xp.matmul(constant_like(self.A, v), rows), v.shape)


def nonsymmetric(rng: np.random.Generator, batch: int = BATCH, size: int = SIZE) -> np.ndarray:
    """Draw regular matrices that are neither symmetric nor normal, each of its own condition."""
    A = rng.standard_normal((batch, size, size)) / np.sqrt(size)
    shift = np.linspace(1.2, 4.0, batch)[:, None, None] * np.eye(size)
    return A + shift + np.triu(rng.standard_normal((batch, size, size)), 1) * 0.2


def right_hand_sides(rng: np.random.Generator) -> np.ndarray:
    """Draw right-hand sides whose sizes differ by orders of magnitude."""
    return rng.standard_normal((BATCH, SIZE)) * 10.0 ** np.arange(-2, 2)[:, None]


def gmres(matvec: Callable[[Any], Any], b: Any, rtol: float | np.ndarray = 1e-12, **kept: Any) -> Any:
    """Solve with our GMRES; `active` and `restart` as given, else all of the samples and the whole space."""
    active = kept.get("active", np.ones(b.shape[0], bool))
    return GMRES(kept.get("restart", 40)).solve(matvec, b, rtol=np.broadcast_to(rtol, (b.shape[0],)), active=active)


def relative_residuals(A: np.ndarray, x: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ‖b − A x‖ / ‖b‖ of each sample."""
    return np.linalg.norm(b - np.einsum("bij,bj->bi", A, x), axis=1) / np.linalg.norm(b, axis=1)


def test_dense_systems_are_solved_like_numpy_does(xp: ModuleType, rng: np.random.Generator):
    """Each sample's x is that of numpy.linalg.solve on its own matrix."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    x = gmres(Counted(A), lift(xp, b))
    np.testing.assert_allclose(lower(x), np.linalg.solve(A, b[:, :, None])[:, :, 0], rtol=1e-9)


def test_samples_may_have_any_shape(xp: ModuleType, rng: np.random.Generator):
    """A sample of several axes is one vector; x has the shape and dtype of b."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    x = gmres(Counted(A), lift(xp, b.reshape(BATCH, 2, 3, 2)))
    assert x.shape == (BATCH, 2, 3, 2)
    np.testing.assert_array_equal(lower(x).reshape(b.shape), lower(gmres(Counted(A), lift(xp, b))))


def test_float32_stays_float32(xp: ModuleType, rng: np.random.Generator):
    """In single precision the result has its dtype and its accuracy."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    x = gmres(Counted(A), lift(xp, b, "float32"), rtol=1e-6)
    assert x.dtype == xp.float32
    assert np.all(relative_residuals(A, lower(x).astype(float), b) < 1e-5)


def test_each_sample_stops_at_its_own_tolerance(rng: np.random.Generator):
    """A sample's residual meets its own rtol, and is what it would be alone: no product more is spent on it."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    rtol = np.array([1e-1, 1e-3, 1e-6, 1e-9])
    x = gmres(Counted(A), b, rtol)
    reached = relative_residuals(A, x, b)
    assert np.all(reached <= rtol * (1 + 1e-6))
    assert np.all(reached[:2] > 1e-6), "the loose samples should not have been solved further"
    for i in range(BATCH):
        alone = gmres(Counted(A[i : i + 1]), b[i : i + 1], rtol[i])
        np.testing.assert_allclose(x[i], alone[0], rtol=1e-12)


def test_residuals_are_those_of_scipy_product_by_product(rng: np.random.Generator):
    """With k products the residual is the k-th of SciPy's GMRES, and a tolerance costs as many products as there."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    for i in range(BATCH):
        history: list[float] = []
        scipy.sparse.linalg.gmres(
            A[i], b[i], rtol=1e-13, restart=SIZE, maxiter=1, callback=history.append, callback_type="pr_norm"
        )
        one = slice(i, i + 1)
        for k, expected in enumerate(history[:-1], start=1):
            matvec = Counted(A[one])
            x = gmres(matvec, b[one], 0.0, restart=k)
            assert matvec.calls == k
            np.testing.assert_allclose(relative_residuals(A[one], x, b[one]), expected, rtol=1e-6)
        matvec = Counted(A[one])
        gmres(matvec, b[one], 1e-4)
        assert matvec.calls == 1 + next(k for k, residual in enumerate(history) if residual <= 1e-4)


def test_a_product_is_shared_by_the_batch(rng: np.random.Generator):
    """A batch costs as many products as its most demanding sample."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    together = Counted(A)
    gmres(together, b, 1e-6)
    alone = []
    for i in range(BATCH):
        alone.append(Counted(A[i : i + 1]))
        gmres(alone[-1], b[i : i + 1], 1e-6)
    assert together.calls == max(each.calls for each in alone) > min(each.calls for each in alone)


@pytest.mark.parametrize("scale", [2.0, -2.0, -1.1, 1e-8, 1e200, 1e-200])
def test_a_multiple_of_the_identity_takes_one_product(scale: float, rng: np.random.Generator):
    """The Krylov space is exhausted after one product, whatever the tolerance, and x is exact."""
    b = right_hand_sides(rng)
    matvec = Counted(np.broadcast_to(scale * np.eye(SIZE), (BATCH, SIZE, SIZE)))
    with np.errstate(over="ignore"):  # of squares
        x = gmres(matvec, b, 0.0)
    np.testing.assert_allclose(x, b / scale, rtol=1e-14)
    assert matvec.calls == 1


@pytest.mark.parametrize("signs", [(1.0, 2.0, 5.0), (-1.0, -2.0, -5.0), (-1.0, 2.0, -0.3)])
def test_few_eigenvalues_take_few_products(signs: tuple[float, ...], rng: np.random.Generator):
    """A with three distinct eigenvalues is solved by three products."""
    Q = np.linalg.qr(rng.standard_normal((BATCH, SIZE, SIZE)))[0]
    A = Q @ np.diag(np.resize(signs, SIZE)) @ np.swapaxes(Q, 1, 2)
    b = right_hand_sides(rng)
    matvec = Counted(A)
    assert np.all(relative_residuals(A, gmres(matvec, b, 1e-13), b) < 1e-13)
    assert matvec.calls == 3


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_singular_system_gets_the_best_of_its_krylov_space(dtype: str, sign: float):
    """Where the Krylov space ends without a solution, x is small and its residual the smallest there is."""
    A = sign * np.array([[[1.0, 0.3, 0.0], [0.0, 1.7, 0.0], [0.0, 0.0, 0.0]]])
    b = np.array([[1.0, 0.3, 0.7]])
    matvec = Counted(A)
    x = lower(gmres(matvec, lift(np, b, dtype), 0.0))
    space = np.stack([b[0], A[0] @ b[0]], axis=1)
    best = space @ np.linalg.lstsq(A[0] @ space, b[0])[0]
    np.testing.assert_allclose(x[0], best, rtol=1e-12 if dtype == "float64" else 1e-5)
    assert matvec.calls == 3


def test_consistent_singular_systems_are_solved(rng: np.random.Generator):
    """Where b is in the range of a singular A, there is a solution, and x is one."""
    A = nonsymmetric(rng)
    A[:, :, 7:] = 0.0
    A[:, 7:, :] = 0.0
    b = np.einsum("bij,bj->bi", A, rng.standard_normal((BATCH, SIZE)))
    assert np.all(relative_residuals(A, gmres(Counted(A), b, 1e-12), b) < 1e-11)


def test_the_zero_map_gives_zero(rng: np.random.Generator):
    """A = 0 reduces nothing: x = 0 after one product."""
    matvec = Counted(np.zeros((BATCH, SIZE, SIZE)))
    assert not gmres(matvec, right_hand_sides(rng)).any()
    assert matvec.calls == 1


def test_a_shift_makes_no_progress_until_the_end():
    """On the cyclic shift GMRES stagnates until the whole space is there, and then solves exactly."""
    shift = np.roll(np.eye(SIZE), 1, axis=0)[None]
    b = np.eye(SIZE)[:1]
    np.testing.assert_allclose(gmres(Counted(shift), b, 1e-10, restart=SIZE - 1), 0.0, atol=1e-15)
    np.testing.assert_allclose(relative_residuals(shift, gmres(Counted(shift), b, 1e-10), b), 0.0, atol=1e-14)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_sides_that_are_zero_or_not_finite_give_zero(value: float, xp: ModuleType, rng: np.random.Generator):
    """Their x is zero, without a warning, and that of the others is bit for bit what it is without them."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    reference = lower(gmres(Counted(A), lift(xp, b), 1e-6))
    b[2] = value
    x = lower(gmres(Counted(A), lift(xp, b), 1e-6))
    assert not x[2].any()
    others = [0, 1, 3]
    np.testing.assert_array_equal(x[others], reference[others])
    matvec = Counted(A)
    assert not lower(gmres(matvec, lift(xp, np.full((BATCH, SIZE), value)))).any()
    assert matvec.calls == 0


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_inactive_samples_get_zeros(value: float, xp: ModuleType, rng: np.random.Generator):
    """A sample that is not active gets zeros and no products, whether its numbers are finite or not."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    active = np.array([False, True, False, False])
    A[1], b[~active] = 2 * np.eye(SIZE), value
    matvec = Counted(A)
    x = lower(gmres(matvec, lift(xp, b), active=active))
    assert not x[~active].any()
    np.testing.assert_allclose(x[1], b[1] / 2, rtol=1e-13)
    assert matvec.calls == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_product_that_is_not_finite_ends_its_sample(bad: float, rng: np.random.Generator):
    """A sample whose second product is nan keeps what the first gave; the others do not notice."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    matvec = Counted(A)

    def spoilt(v: np.ndarray) -> np.ndarray:
        product = matvec(v)
        if matvec.calls > 1:
            product[1] = bad
        return product

    with np.errstate(all="ignore"):
        x = gmres(spoilt, b)
    np.testing.assert_allclose(x[1], gmres(Counted(A), b, restart=1)[1], rtol=1e-14)
    others = [0, 2, 3]
    np.testing.assert_array_equal(x[others], gmres(Counted(A), b)[others])


@pytest.mark.parametrize("restart", [1, 4, 40])
@pytest.mark.parametrize(("dtype", "rounding"), [("float64", 1e-14), ("float32", 1e-5)])
def test_a_residual_is_known_without_a_product(
    restart: int, dtype: str, rounding: float, xp: ModuleType, rng: np.random.Generator
):
    """It is b − A x to rounding, wherever the samples stopped; x and the number of products are those of `solve`."""
    A, b = nonsymmetric(rng), lift(xp, right_hand_sides(rng), dtype)
    rtol = np.array([1e-1, 1e-3, 1e-6, 0.3])
    alone, both = Counted(A), Counted(A)
    expected = gmres(alone, b, rtol, restart=restart)
    x, r = GMRES(restart).solve_with_residual(both, b, rtol=rtol, active=EVERY)
    assert both.calls == alone.calls
    assert r.dtype == b.dtype
    np.testing.assert_array_equal(lower(x), lower(expected))
    true = lower(b).astype(float) - np.einsum("bij,bj->bi", A, lower(x).astype(float))
    assert np.all(np.linalg.norm(lower(r) - true, axis=1) <= rounding * np.linalg.norm(lower(b), axis=1))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_residual_without_a_solution_is_the_right_hand_side(value: float, xp: ModuleType, rng: np.random.Generator):
    """Where b is zero or not finite, or a sample is not active, x is zero and the residual b, bit for bit."""
    A, b = nonsymmetric(rng), right_hand_sides(rng)
    b[2] = value
    active = np.array([True, False, True, True])
    x, r = GMRES().solve_with_residual(Counted(A), lift(xp, b), rtol=np.full(BATCH, 1e-6), active=active)
    assert not lower(x)[[1, 2]].any()
    np.testing.assert_array_equal(lower(r)[[1, 2]], b[[1, 2]])
    assert np.all(np.linalg.norm(lower(r)[[0, 3]], axis=1) <= 1e-6 * np.linalg.norm(b[[0, 3]], axis=1))


@pytest.mark.parametrize("size", [1, 3, SIZE])
@pytest.mark.parametrize("rtol", [1e-1, 1e-12])
def test_a_matrix_that_mixes_samples_leaves_no_residual(
    size: int, rtol: float, xp: ModuleType, rng: np.random.Generator
):
    """Whether samples end one by one or all at once, what one of them sends to another is seen."""
    A = np.eye(BATCH * size) + shuffling(rng, BATCH * size)
    mix = lambda v: xp.reshape(xp.matmul(constant_like(A, v), xp.reshape(v, (-1,))), v.shape)  # noqa: E731
    b = lift(xp, rng.standard_normal((BATCH, size)))
    _, residual = GMRES().solve_with_residual(mix, b, rtol=np.full(BATCH, rtol), active=EVERY)
    assert residual is None


def shuffling(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a dense matrix of norm a half."""
    A = rng.standard_normal((size, size))
    return 0.5 * A / np.linalg.norm(A, 2)


@pytest.mark.parametrize("batch", [1, BATCH])
def test_samples_that_end_at_once_cost_one_product_more(batch: int, xp: ModuleType, rng: np.random.Generator):
    """Equal samples end together: nothing shows that they are apart, unless there is one only."""
    A = Counted(np.repeat(nonsymmetric(rng, batch=1), batch, axis=0))
    alone = Counted(A.A)
    b = lift(xp, np.repeat(rng.standard_normal((1, SIZE)), batch, axis=0))
    how: dict[str, Any] = {"rtol": np.full(batch, 1e-6), "active": np.ones(batch, dtype=bool)}
    _, residual = GMRES().solve_with_residual(A, b, **how)
    GMRES().solve(alone, b, **how)
    assert residual is not None
    assert A.calls == alone.calls + (batch > 1)


@pytest.mark.parametrize("value", [0, -3, 2.5, "many"])
def test_a_space_without_dimensions_is_refused(value: object):
    """`restart` is a positive whole number."""
    with pytest.raises(ValueError, match="option 'restart' expects an int >= 1"):
        GMRES(value)  # type: ignore[arg-type]


# --- the solver for affine fixed points


@pytest.mark.parametrize(
    ("known", "restart"), [(LINEAR, 2), (ROTATION, 2), (LINEAR, 20), (ROTATION, 20), (SINGULAR, 20)]
)
def test_affine_problems_are_solved_by_cycles(known: KnownMap, restart: int, xp: ModuleType):
    """A step is one cycle of GMRES: one where the space suffices, and restarts where it does not."""
    solution = solve(known.problem(xp), Affine(GMRES(restart)), lift(xp, known.z0), rtol=1e-9, max_steps=200)
    residual = known.f(lower(solution.z), known.bias) - lower(solution.z)
    assert np.all(np.linalg.norm(residual, axis=1) <= 1.1e-9 * np.linalg.norm(lower(solution.z), axis=1))
    if restart == 20:
        assert solution.steps.tolist() == [1] * 5
    else:
        assert solution.njvp <= restart * solution.steps.max()
    # A leap to the solution asks for the slope there.
    assert solution.nfe == 1 + solution.steps.max() + (restart == 20)


def test_a_cycle_is_not_solved_beyond_the_tolerance():
    """A loose tolerance costs few products: most of what is missing is asked of GMRES, not more."""
    z0 = 1.5 * LINEAR.solution
    loose, tight = (solve(LINEAR.problem(), Affine(), z0, rtol=rtol) for rtol in (0.2, 1e-10))
    assert loose.steps.tolist() == [1] * 5
    assert loose.njvp < tight.njvp / 2


@pytest.mark.parametrize("restart", [2, 20])
def test_what_is_declared_to_be_affine_is_evaluated_once(restart: int, xp: ModuleType):
    """Then cycles cost products only, and what is reported as the residual is f(z) − z to rounding."""
    solution = solve(
        LINEAR.problem(xp, affine=True), Affine(GMRES(restart)), lift(xp, LINEAR.z0), rtol=1e-9, max_steps=200
    )
    z = lower(solution.z)
    assert (solution.nfe, solution.success) == (1, True)
    assert solution.steps.max() == 1 if restart == 20 else solution.steps.max() > 1
    np.testing.assert_allclose(lower(solution.residual), LINEAR.f(z, LINEAR.bias) - z, atol=1e-14)


@pytest.mark.parametrize("tolerance", [{"rtol": 1e-14, "atol": 0.0}, {"rtol": 0.0, "atol": 1e-15}], ids=str)
def test_close_to_rounding_residuals_are_evaluated(tolerance: dict[str, float]):
    """Where rounding could decide about convergence, each step has its evaluation, declared to be affine or not."""
    options = {"max_steps": 5, "on_failure": "record", **tolerance}
    solution = solve(LINEAR.problem(affine=True), Affine(), LINEAR.z0, **options)
    assert solution.nfe == 1 + solution.steps.max()
    np.testing.assert_array_equal(solution.residual, LINEAR.f(solution.z, LINEAR.bias) - solution.z)


def test_a_map_that_is_not_affine_is_not_solved_in_silence():
    """Residuals are evaluated, not assumed: on a map that is far from affine the status tells."""
    problem = FixedPointProblem(lambda z: -5 * np.tanh(z) + 1, jvp=lambda z, v: -5 * (1 - np.tanh(z) ** 2) * v)
    solution = solve(problem, Affine(), np.full((1, 1), 3.0), max_steps=5, on_failure="record")
    assert solution.status[0] is not Status.CONVERGED
    np.testing.assert_array_equal(solution.residual, problem.residual(solution.z))

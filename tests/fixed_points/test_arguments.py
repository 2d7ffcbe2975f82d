"""Wrong arguments of a solve and of an adjoint: each is answered by one sentence that names it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import (
    GMRES,
    FixedPointProblem,
    ImplicitAdjoint,
    JacobianFree,
    Picard,
    Solution,
    SolveOptions,
    SteadyState,
    Unrolled,
    fixed_point,
    odeint,
    ops,
    solve,
)
from equilib.autodiff import value_and_grad
from equilib.ode import OdeProblem
from equilib_anderson.solver import Anderson
from equilib_broyden.shine import Shine
from equilib_neumann.series import Neumann
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_ode.tsit5 import Tsit5
from equilib_revdeq.reversible import Reversible
from tests.installed import solvers

Z0 = np.zeros((2, 3))


class Units(np.ndarray):
    """An array with operators of its own."""


def f(z: Any) -> Any:
    """Return z/2 + 1."""
    return 0.5 * z + 1.0


GUESSES = {
    "list": ([[0.0, 0.0]], "z0 must be an array, such as .*, got a list"),
    "tuple": ((0.0, 1.0), "z0 must be an array, .* got a tuple"),
    "float": (0.0, "z0 must be an array, .* got a float"),
    "none": (None, "z0 must be an array, .* got None"),
    "text": ("zeros", "z0 must be an array, .* got 'zeros'"),
    "function": (f, "z0 must be an array, .* got a function"),
    "integers": (np.zeros((2, 3), int), "z0 must hold floating-point numbers, it is of int64; take z0.astype"),
    "big-endian": (np.zeros((2, 3), ">f8"), "z0 must be in native byte order, it is of >f8; take z0.astype"),
    "bytes": (np.zeros((2, 3), np.uint8), "z0 must hold floating-point numbers, it is of uint8"),
    "truth": (np.zeros((2, 3), bool), "z0 must hold floating-point numbers, it is of bool"),
    "complex": (np.zeros((2, 3), complex), "z0 must be real, it is of complex128; stack the real and the imaginary"),
    "complex64": (np.zeros((2, 3), np.complex64), "z0 must be real, it is of complex64"),
    "objects": (np.array([[None, 1.0]]), "z0 must hold floating-point numbers, it is of object"),
    "strings": (np.array([["0.0"]]), "z0 must hold floating-point numbers, it is of <U3"),
    "subclass": (Z0.view(Units), "z0 must be a plain array, got a Units; take np.asarray"),
    "masked": (np.ma.array([[0.0, 1.0]]), "z0 must be a plain array, got a MaskedArray"),
    "times": (np.zeros((2, 3), "datetime64[s]"), "z0 must hold floating-point numbers, it is of datetime64"),
}


@pytest.mark.parametrize("name", GUESSES)
@pytest.mark.parametrize("batched", [True, False])
def test_a_guess_that_is_none(name: str, batched: bool):
    """What is no array of floating-point numbers is refused, with what to do."""
    guess, sentence = GUESSES[name]
    with pytest.raises(TypeError, match=f"^{sentence}"):
        solve(f, Picard(), guess, batched=batched)


@pytest.mark.parametrize("solver", solvers())
def test_no_solver_solves_complex_equations(solver: Any):
    """Their residuals have norms and their cotangents conjugates, which nothing here knows."""
    with pytest.raises(TypeError, match="z0 must be real"):
        solve(lambda z: 0.5j * z + 1, solver, np.zeros((2, 3), complex))
    with pytest.raises(ValueError, match="keep the dtype of z: float64 became complex128; stack the real and the imag"):
        solve(lambda z: 0.5j * z + 1, solver, np.zeros((2, 3)))


def test_a_traced_guess():
    """A loop is not what is differentiated."""
    with pytest.raises(TypeError, match=r"z0 is traced, and solve cannot be traced: .* use equilib.fixed_point"):
        value_and_grad(lambda z: ops.sum(solve(f, Picard(), z).z))(Z0)


def test_a_guess_without_a_batch():
    """An array without axes is told from a single system."""
    with pytest.raises(ValueError, match="z0 needs a batch axis; pass batched=False"):
        solve(f, Picard(), np.zeros(()))
    assert solve(f, Picard(), np.zeros(()), batched=False).success


SOLVERS = {
    "number": (3, "solver must be a solver, got an int; give its name or the object, such as equilib.Picard"),
    "class": (Anderson, r"solver must be a solver, not a class; write Anderson\(\.\.\.\)"),
    "none": (None, "solver must be a solver, got None"),
    "function": (f, "solver must be a solver, got a function"),
    "integrator": (Tsit5(), "solver must be a solver, got a Tsit5; .* of an integrator SteadyState"),
    "sensitivity": (ImplicitAdjoint(), "solver must be a solver, got an ImplicitAdjoint"),
    "linear solver": (GMRES(), "solver must be a solver, got a GMRES"),
    "options": (SolveOptions(), "solver must be a solver, got a SolveOptions"),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_that_is_none(name: str):
    """As the solver, and as a fallback."""
    wrong, sentence = SOLVERS[name]
    with pytest.raises(TypeError, match=f"^{sentence}"):
        solve(f, wrong, Z0)
    with pytest.raises(TypeError, match=f"^{sentence.replace('solver must', 'fallback must', 1)}"):
        solve(f, Picard(), Z0, fallback=(wrong,))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((Z0, Picard(), f), "problem must be a map of z, got an array of shape"),
        ((Picard(), f, Z0), "problem must be a map of z, got a Picard"),
        ((f, Z0, Picard()), "solver must be a solver, got an array of shape"),
        ((None, Picard(), Z0), "problem must be a map of z, got None"),
        (("cos", Picard(), Z0), "problem must be a map of z, got 'cos'"),
        ((OdeProblem(lambda t, y: -y), Picard(), Z0), "problem must be a map of z, got an OdeProblem"),
        ((Picard, Picard(), Z0), "problem must be a map of z, not a class"),
        ((f, Picard(), Z0, 1e-6), "options must be a SolveOptions, got a float; or write them by name"),
        ((f, Picard(), Z0, {"rtol": 1e-6}), "options must be a SolveOptions, got a dict"),
    ],
    ids=range(9),
)
def test_arguments_in_the_wrong_place(arguments: tuple[Any, ...], sentence: str):
    """The first that is wrong is named."""
    with pytest.raises(TypeError, match=f"^{sentence}"):
        solve(*arguments)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rtol": -1e-3}, "option 'rtol' expects"),
        ({"rtol": float("nan")}, "option 'rtol' expects"),
        ({"atol": "small"}, "option 'atol' expects"),
        ({"max_steps": -1}, "option 'max_steps' expects an int >= 0, got -1"),
        ({"max_steps": 10.5}, "option 'max_steps' expects an int >= 0, got 10.5"),
        ({"on_failure": "warm"}, "option 'on_failure' expects one of .* Did you mean 'warn'"),
        ({"on_failure": None}, "option 'on_failure' expects one of"),
        ({"compact": 2.0}, "option 'compact' expects"),
    ],
    ids=str,
)
def test_options_out_of_range(options: dict[str, Any], sentence: str):
    """The option is named, with what it expects and what was meant."""
    with pytest.raises(ValueError, match=sentence):
        solve(f, Picard(), Z0, **options)


RESULTS = {
    "nothing": (lambda z: None, TypeError, "f must return .*, it returned NoneType; is its return statement missing"),
    "list": (lambda z: [[1.0] * 3] * 2, TypeError, "f must return .*, it returned list; make an array of it"),
    "tuple": (lambda z: (z, z), TypeError, "f must return .*, it returned tuple"),
    "float": (lambda z: 1.0, TypeError, "f must return .*, it returned float"),
    "scalar": (lambda z: np.sum(z), ValueError, r"f must keep the shape of z: \(2, 3\) became \(\)"),
    "features": (lambda z: z[:, :2], ValueError, r"f must keep the shape of z: \(2, 3\) became \(2, 2\)"),
    "samples": (lambda z: z[:1], ValueError, r"f must keep the shape of z: \(2, 3\) became \(1, 3\)"),
    "axes": (lambda z: z[None], ValueError, r"f must keep the shape of z: \(2, 3\) became \(1, 2, 3\)"),
    "integers": (lambda z: np.ones((2, 3), int), ValueError, "float64 became int64; return an array of z.dtype"),
    "objects": (lambda z: z.astype(object), ValueError, "float64 became object; return an array of z.dtype"),
    "float32": (lambda z: z.astype("f"), ValueError, "float64 became float32; give its inputs the dtype of z"),
}


@pytest.mark.parametrize("solver", [Picard(), Anderson(), SteadyState(Tsit5())], ids=str)
@pytest.mark.parametrize("name", RESULTS)
def test_results_of_another_kind(name: str, solver: Any):
    """What f returns is described beside what it was given."""
    wrong, kind, sentence = RESULTS[name]
    with pytest.raises(kind, match=sentence):
        solve(wrong, solver, Z0)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("wrap", [np.matrix, np.ma.array], ids=["matrix", "masked"])
def test_subclasses_of_arrays_end_where_f_does(wrap: Any):
    """f may compute with matrices, whose operators mean something else: what it returns is taken for an array."""
    found = solve(lambda z: wrap(0.5 * z + 1.0), Anderson(), np.zeros((2, 3)), rtol=1e-9)
    assert type(found.z) is np.ndarray
    np.testing.assert_allclose(found.z, 2.0, rtol=1e-7)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: fixed_point(lambda z, x: 0.5 * z + x, np.zeros((2, 3)), x),
        lambda x: odeint(lambda t, y, x: x - y, np.zeros((2, 3)), np.array([0.0, 1.0]), x),
        lambda x: solve(lambda z: 0.5 * z + 1.0, Picard(), x),
    ],
    ids=["an input of a fixed point", "an input of an integration", "a guess"],
)
@pytest.mark.parametrize("kind", [np.matrix, np.ma.MaskedArray], ids=["matrix", "masked"])
def test_subclasses_of_arrays_are_refused_as_what_is_given(kind: Any, call: Any):
    """Their operators mean something else than f expects: the sentence says what to give instead."""
    with pytest.raises(TypeError, match=r"must be a plain array, got a .*; take "):
        call(np.ones((2, 3)).view(kind))


def test_what_is_masked_is_no_result():
    """What stands under a mask is no value of f: it is refused, and does not become part of the solution."""
    hidden = np.ma.array(np.ones((2, 3)), mask=np.eye(2, 3))
    with pytest.raises(
        ValueError, match=r"f returned an array that is masked here and there; return its filled\(...\)"
    ):
        solve(lambda z: 0.5 * z + hidden, Picard(), np.zeros((2, 3)))


@pytest.mark.parametrize("solver", solvers())
def test_a_product_of_other_sizes_names_the_shape(solver: Any):
    """NumPy's own error, with a note on what f was given: the number of features is wrong."""
    with pytest.raises(ValueError, match="matmul") as caught:
        solve(lambda z: ops.tanh(z @ np.ones((4, 4))), solver, Z0)
    assert caught.value.__notes__ == ["f(z) was given z of shape (2, 3) and dtype float64, which it must not change"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"jvp": 3.0}, "jvp must be a function, got a float"),
        ({"vjp": (1, 2)}, "vjp must be a function, got a tuple"),
        ({"linearize": "autograd"}, "linearize must be a function, got 'autograd'"),
        ({"batched_inputs": True}, "batched_inputs must be a tuple of bool, one for each input, got True"),
    ],
    ids=str,
)
def test_a_problem_of_other_parts(settings: dict[str, Any], sentence: str):
    """They are named when the problem is made."""
    with pytest.raises(TypeError, match=f"^{sentence}"):
        FixedPointProblem(f, **settings)
    with pytest.raises(TypeError, match="f must be a function, got None"):
        FixedPointProblem(None)  # type: ignore[arg-type]


def test_products_of_another_shape():
    """J·v is named, and so is its shape; another dtype becomes that of z."""
    with pytest.raises(ValueError, match=r"jvp must keep the shape of z: \(2, 3\) became \(3,\)"):
        solve(FixedPointProblem(f, jvp=lambda z, v: v[0]), NewtonGMRES(), Z0)
    with pytest.raises(TypeError, match=r"jvp must return .*, it returned NoneType"):
        solve(FixedPointProblem(f, jvp=lambda z, v: None), NewtonGMRES(), Z0)
    halved = FixedPointProblem(f, jvp=lambda z, v: np.float64(0.5) * v)
    assert solve(halved, NewtonGMRES(), np.zeros((2, 3), np.float32)).z.dtype == np.float32


SENSITIVITIES = [ImplicitAdjoint(), JacobianFree(), Unrolled(2), Neumann(), Shine(), Reversible()]


@pytest.mark.parametrize("sensitivity", SENSITIVITIES, ids=lambda each: type(each).__name__)
def test_arguments_of_a_pullback(sensitivity: Any):
    """Problem, solution and cotangent are what they are called."""
    problem = FixedPointProblem(f)
    solution = solve(problem, Picard(), Z0)
    assert isinstance(solution, Solution)
    for arguments, kind, sentence in [
        ((solution, problem, Z0), TypeError, "problem must be a FixedPointProblem, got a Solution"),
        ((problem, solution.z, Z0), TypeError, "solution must be a Solution, got an array of shape"),
        ((problem, solution, np.zeros(3)), ValueError, r"the cotangent must be like the fixed point, .* shape \(3,\)"),
        ((problem, solution, Z0.astype("f")), ValueError, "the cotangent must be like the fixed point, .* float32"),
        ((problem, solution, 1.0), ValueError, "the cotangent must be like the fixed point, .* of type float"),
    ]:
        if not isinstance(sensitivity, Shine | Reversible) or (kind is TypeError and arguments[0] is solution):
            with pytest.raises(kind, match=sentence):
                sensitivity.pullback(*arguments)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ImplicitAdjoint(f), "option 'solver' expects a solver .* as an object, got <function"),
        (lambda: ImplicitAdjoint(Picard), "option 'solver' expects a solver .* as an object, got <class"),
        (lambda: ImplicitAdjoint(linear_solver=GMRES), "option 'linear_solver' expects a linear solver"),
        (lambda: NewtonGMRES(Picard()), "option 'linear_solver' expects a linear solver as an object, got Picard"),
        (lambda: SteadyState(Tsit5), "option 'integrator' expects an integrator as an object, got <class"),
        (lambda: Unrolled(0), "option 'depth' expects an int >= 1, got 0"),
        (lambda: Anderson(memory=2.5), "option 'memory' expects an int"),
    ],
    ids=range(7),
)
def test_parts_and_options_of_methods(make: Any, sentence: str):
    """Classes and other objects in their place, and values out of range, are refused when the method is made."""
    with pytest.raises(ValueError, match=sentence):
        make()

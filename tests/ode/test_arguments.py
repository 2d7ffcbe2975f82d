"""Wrong arguments of an integration: each is answered by one sentence that names it, before f is called."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from functools import partial, wraps
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

from equilib import integrate, ops
from equilib.autodiff import value_and_grad
from equilib.errors import NoDerivativeError, brief
from equilib.ode import Event, OdeOptions, OdeProblem, OdeStatus, SteadyState
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.adjoints.discrete import UnseenStepsError
from equilib.ode.evolution import evolve
from equilib_ode.bdf import BDF
from equilib_ode.fixed_steps import RK4
from equilib_ode.kencarp47 import KenCarp47
from equilib_ode.tsit5 import Tsit5
from equilib_scipy.integrators import RK45, Radau
from tests.names import named

Y0, T = np.full((2, 3), 2.0), [0.0, 1.0]


def decay(t: Any, y: Any) -> Any:
    """Return −y."""
    return -y


def level(t: Any, y: Any) -> Any:
    """Return the first component, which is one at the event."""
    return y[:, 0] - 1.0


def never(*arguments: Any) -> Any:
    """Fail: what is refused first is not called."""
    raise AssertionError("it was called")


NO_TIMES = {
    "none": (None, "got None"),
    "text": ("now", "got 'now'"),
    "truth": (True, "got True"),
    "truths": ([False, True], r"got \[False, True\]"),
    "complex": (np.array([0.0, 1j]), "got an array of complex128"),
    "objects": (np.array([0.0, None]), "got an array of object"),
    "fractions": ([Fraction(0), Fraction(1)], "got "),
    "strings": (np.array(["0", "1"]), "got an array of <U1"),
    "dates": (np.array(["2020", "2021"], "datetime64[s]"), r"got an array of datetime64\[s\]; take seconds, as in"),
    "durations": (np.array([0, 1], "timedelta64[s]"), "got an array of timedelta64.*; take seconds"),
    "datetimes": ([datetime(2020, 1, 1), datetime(2021, 1, 1)], "got "),
    "masked": (np.ma.array([0.0, 1.0], mask=[False, True]), "got "),
    "dict": ({0.0: 1.0}, "got {0.0: 1.0}"),
    "set": ({0.0, 1.0}, "got {0.0, 1.0}"),
    "rows": ([[0.0], [0.0, 1.0]], "got "),
    "cube": (np.zeros((2, 2, 2)), r"got an array of shape \(2, 2, 2\)"),
}
TIMES = {
    "t": ("t must be two or more finite times", lambda t: integrate(never, Y0, t, Tsit5(), per_sample=True)),
    "t of evolve": ("t must be two or more finite times", lambda t: evolve(never, Y0, t, integrator=Tsit5())),
    "stops": ("stops must be finite times", lambda t: integrate(never, Y0, T, Tsit5(), stops=t)),
    "stops of evolve": ("stops must be finite times", lambda t: evolve(never, Y0, T, integrator=Tsit5(), stops=t)),
    "trajectory": ("t must be a time or times", integrate(decay, Y0, T, Tsit5(), dense=True).trajectory),
    "trajectory of a library": ("t must be a time or times", integrate(decay, Y0, T, RK45(), dense=True).trajectory),
}


@pytest.mark.parametrize("what", NO_TIMES)
@pytest.mark.parametrize("place", TIMES)
def test_what_is_no_time(place: str, what: str) -> None:
    """What only looks like numbers, or has no shape of times, is refused wherever a time is asked for."""
    (given, got), (must, call) = NO_TIMES[what], TIMES[place]
    with pytest.raises(ValueError, match=f"^{must}.*, {got}"):
        call(given)


@pytest.mark.parametrize(
    ("t", "sentence"),
    [
        ([], r"got \[\]"),
        ([0.0], r"got \[0.0\]"),
        (0.5, "got 0.5"),
        ([0.0, np.nan, 1.0], r"where t\[1\] is nan"),
        ([0.0, np.inf], r"where t\[1\] is inf"),
        ([0.0, 1.0, 0.9], r"where t\[2\] turns back after 1.0"),
        ([0.0, -1.0, -0.9, -2.0], r"where t\[2\] turns back after -1.0"),
        ([0.0, 1.0, 0.0], r"where t\[1\] turns back after 0.0"),
        (np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]]), r"where t\[2, 1\] turns back after 2.0"),
        (np.zeros((2, 0)), r"got an array of shape \(2, 0\)"),
    ],
    ids=named,
)
def test_times_that_do_not_go_on(t: Any, sentence: str) -> None:
    """The place is named."""
    with pytest.raises(ValueError, match=f"^t must be two or more finite times, .*{sentence}"):
        integrate(never, Y0, t, Tsit5(), per_sample=True)


@pytest.mark.parametrize("t", [(0, 1), range(2), np.arange(2), np.float32([0, 1]), np.ma.array(T), strict.asarray(T)])
def test_times_of_other_types(t: Any) -> None:
    """Integers, NumPy's or not, and arrays of another library are times."""
    np.testing.assert_array_equal(integrate(decay, Y0, t, Tsit5()).y, integrate(decay, Y0, T, Tsit5()).y)


def test_times_that_are_traced() -> None:
    """The differentiable function is named."""
    with pytest.raises(TypeError, match=r"^t must be .*, got traced ones; .* use equilib\.odeint"):
        value_and_grad(lambda t: ops.sum(integrate(decay, Y0, t, Tsit5()).y))(np.array(T))


def test_where_a_trajectory_is_asked_for() -> None:
    """No time is no state, of a tree too; a grid for each sample is for samples that stepped by themselves."""
    together, alone = (
        integrate(decay, Y0, T, Tsit5(), dense=True, per_sample=each).trajectory for each in (False, True)
    )
    tree = integrate(lambda t, y: {"a": -y["a"]}, {"a": Y0}, T, Tsit5(), dense=True).trajectory
    assert together([]).shape == alone(np.zeros((0, 2))).shape == tree([])["a"].shape == (0, 2, 3)
    assert alone(np.zeros((4, 2))).shape == together(np.zeros((4, 1))).shape == (4, 2, 3)
    for trajectory, shape in ((together, r"\(times,\), got"), (alone, r"\(times,\) or \(times, 2\), got")):
        with pytest.raises(ValueError, match=rf"t must be .* {shape} an array of shape \(4, 3\)"):
            trajectory(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="t = nan is not between"):
        together(float("nan"))


@pytest.mark.parametrize("integrator", [Tsit5(), RK45()], ids=str)
def test_a_trajectory_that_was_not_kept(integrator: Any) -> None:
    """How to keep it is said."""
    with pytest.raises(ValueError, match="was not kept: integrate it with dense=True"):
        integrate(decay, Y0, T, integrator).trajectory(0.5)


WRONG = {
    "dense": ({"dense": "x"}, TypeError, "dense must be a bool, got 'x'"),
    "states": ({"states": 1}, TypeError, "states must be a bool, got an int"),
    "norm": ({"error_norm": 3}, TypeError, "error_norm must be a function, got an int"),
    "zero": ({"error_norm": 0}, TypeError, "error_norm must be a function, got an int"),
    "norm of two": (
        {"error_norm": lambda error, start: 0},
        TypeError,
        r"error_norm is called as error_norm\(error, start, y\), but takes \(error, start\)",
    ),
    "text": ({"per_sample": "yes"}, ValueError, ".*'per_sample' expects true or false, got the text 'yes'"),
    "none": ({"first_step": "none"}, ValueError, ".*'first_step' expects a float > 0.0 or none, got the text 'none'"),
    "rtol": ({"rtol": np.inf}, ValueError, r".*'rtol' expects a float in \[0.0, inf\), got inf"),
    "atol": ({"atol": np.array(["1"])}, ValueError, ".*'atol' expects a float in"),
    "dict": ({"options": {}}, TypeError, "options must be an OdeOptions, got a dict; or write them by name"),
    "argument": ({"event": []}, TypeError, "integrate has no option 'event'. Did you mean 'events'"),
    "name": ({"rtoll": 1e-6}, TypeError, "integrate has no option 'rtoll'. Did you mean 'rtol'"),
    "events": ({"events": Event(level)}, TypeError, r"events must be a sequence, such as \[Event\(g\)\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_by_name(name: str) -> None:
    """Those of `integrate`, and of `evolve` where it has them, before f is called."""
    settings, kind, sentence = WRONG[name]
    with pytest.raises(kind, match=f"^{sentence}"):
        integrate(never, Y0, T, Tsit5(), **settings)
    if not {"dense", "states", "error_norm"} & settings.keys():
        with pytest.raises(kind, match=f"^{sentence.replace('integrate', 'odeint')}"):
            evolve(never, Y0, T, integrator=Tsit5(), **settings)


def test_options_by_name_in_evolve() -> None:
    """They are those of `integrate`."""
    expected = integrate(decay, Y0, T, Tsit5(), rtol=1e-9).y
    np.testing.assert_array_equal(evolve(decay, Y0, T, integrator=Tsit5(), rtol=1e-9).y, expected)


@pytest.mark.parametrize("integrator", [RK45(), Radau()], ids=str)
@pytest.mark.parametrize("settings", [{"states": True}, {"error_norm": lambda error, start, y: np.zeros(1)}], ids=list)
def test_what_a_library_does_not_do(integrator: Any, settings: dict[str, Any]) -> None:
    """Its norm and its steps are its own; the discrete adjoint, which needs these, is refused where it begins."""
    with pytest.raises(ValueError, match=f"^{next(iter(settings))} is not for .*, whose steps are a library's own"):
        integrate(never, Y0, T, integrator, **settings)
    with pytest.raises(UnseenStepsError, match="takes its steps out of sight"):
        evolve(never, Y0, T, integrator=integrator, adjoint=Discrete())


NORMS = {
    "none": lambda error, start, y: None,
    "number": lambda error, start, y: 0.5,
    "list": lambda error, start, y: [0.5],
    "other lanes": lambda error, start, y: np.zeros(3),
    "like y": lambda error, start, y: np.abs(error),
    "negative": lambda error, start, y: np.array([-1.0]),
    "complex": lambda error, start, y: np.array([0.5j]),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("integrator", [Tsit5(), KenCarp47()], ids=lambda each: type(each).__name__)
def test_norms_that_return_something_else(integrator: Any, name: str) -> None:
    """A norm is a number of each lane."""
    with pytest.raises(ValueError, match=r"^error_norm must return .* of shape \(1,\), it returned"):
        integrate(decay, Y0, T, integrator, error_norm=NORMS[name])


CALLS = {
    "none": (lambda: 0, r"called as f\(t, y\), but takes \(\)$"),
    "y": (lambda y: -y, r"called as f\(t, y\), but takes \(y\)$"),
    "keyword": (lambda t, *, y: -y, r"called as f\(t, y\), but takes \(t, \*, y\)"),
    "parameters": (
        lambda t, y, args: -y,
        r"called as f\(t, y\), but takes \(t, y, args\); what else it depends on are inputs",
    ),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("integrator", [Tsit5(), KenCarp47(), RK45()], ids=lambda each: type(each).__name__)
def test_an_f_of_other_arguments(integrator: Any, name: str) -> None:
    """How it is called and what it takes are told, of trees and events too."""
    f, sentence = CALLS[name]
    for y0 in (Y0, {"a": Y0}):
        for call in (integrate, evolve):
            with pytest.raises(TypeError, match=f"^f is {sentence}"):
                call(f, y0, T, integrator=integrator)
    with pytest.raises(TypeError, match=f"^g is {sentence}".replace("f\\(", "g\\(")):
        Event(f)


def test_functions_that_can_be_called() -> None:
    """Methods, partial functions, defaults, any number of arguments and functions in C are called as before."""

    class Field:
        def slope(self, t: Any, y: Any) -> Any:
            return -y

        __call__ = slope

    several: list[Any] = [Field(), Field().slope, partial(lambda p, t, y: -y, 1), lambda *all_of_them: -all_of_them[1]]
    wrapped = wraps(lambda y: -y)(lambda t, y, p=None: -y)
    for f in (*several, wrapped, lambda t, y=0: -y, lambda t, y, p=1: -y):
        np.testing.assert_array_equal(integrate(f, Y0, T, Tsit5()).y, integrate(decay, Y0, T, Tsit5()).y)
    with pytest.raises(TypeError, match=r"^f is called as f\(t, y, \*inputs\) with 2 inputs, but takes \(t, y\)$"):
        evolve(decay, Y0, T, 1.0, 2.0, integrator=Tsit5())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: OdeProblem(decay, linearize=[]), "linearize must be a function, got a list"),  # type: ignore[arg-type]
        (
            lambda: OdeProblem(decay, linearize=decay),
            r"linearize is called as linearize\(f, t, y\), but takes \(t, y\)",
        ),
        (
            lambda: integrate(OdeProblem(decay, linearize=lambda f, t, y: None), Y0, T, BDF()),  # type: ignore[arg-type,return-value]
            "what linearize returns must be a Linearization, got None",
        ),
        (
            lambda: evolve(OdeProblem(decay), Y0, T, integrator=Tsit5()),
            "f must be a map of t, y and inputs, got an OdeProblem",
        ),
        (
            lambda: evolve(never, Y0, T, {"a": "x"}, integrator=Tsit5()),
            "inputs must be .*, got 'x' at '0/a': take a closure",
        ),
        (
            lambda: evolve(never, Y0, T, np.array([None]), integrator=Tsit5()),
            "inputs must be .*, got an array of object at '0'",
        ),
        (lambda: Event(level, never), "inputs must be .*, got a function at '0'"),
    ],
    ids=range(7),
)
def test_problems_and_inputs(make: Any, sentence: str) -> None:
    """What f is made of, and what it depends on, is named where it is something else."""
    with pytest.raises(TypeError, match=f"^{sentence}"):
        make()


VALUES = {
    "nothing": (lambda t, y: None, "it returned None"),
    "number": (lambda t, y: 1.0, "it returned a float"),
    "list": (lambda t, y: [1.0, 2.0], "it returned a list"),
    "column": (lambda t, y: y[:, :1], r"it returned shape \(2, 1\)"),
    "scalar": (lambda t, y: np.sum(y), r"it returned shape \(\)"),
    "truth": (lambda t, y: y[:, 0] > 1.0, "whose sign changes where it occurs, .*; it returned bool"),
    "integers": (lambda t, y: np.sign(y[:, 0]).astype(int), "it returned int64"),
    "complex": (lambda t, y: y[:, 0] + 0j, "it returned complex128"),
    "objects": (lambda t, y: y[:, 0].astype(object), "it returned object"),
    "nan": (lambda t, y: y[:, 0] * np.nan, "event 0 has nan in sample 0 at t = 0.0"),
    "nan later": (lambda t, y: np.where(t[:, 0] > 0.9, np.nan, 1.0), "event 0 has nan in sample 0 at t = "),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("integrator", [Tsit5(), RK45()], ids=str)
def test_events_that_are_no_numbers(integrator: Any, name: str) -> None:
    """Only of a number of each sample a change of its sign can be seen."""
    g, sentence = VALUES[name]
    with pytest.raises((TypeError, ValueError), match=f"^g must .*{sentence}"):
        integrate(decay, Y0, T, integrator, events=[Event(g)], per_sample=True)


def test_events_of_what_is_not_finite() -> None:
    """Where y is nan so is g, in that sample; the others go on."""
    y0 = np.array([[2.0], [np.nan]])
    found = integrate(decay, y0, T, Tsit5(), events=[Event(level)], per_sample=True, on_failure="record")
    np.testing.assert_allclose(found.reached[0], np.log(2.0), rtol=1e-3)


def test_events_cannot_change_the_state() -> None:
    """What NumPy says has a note; of other libraries g gets a copy."""
    array: Any = (decay, Y0, lambda t, y: np.negative(y, out=y)[:, 0])
    tree: Any = (lambda t, y: {"a": -y["a"]}, {"a": Y0}, lambda t, y: np.negative(y["a"], out=y["a"])[:, 0])
    for f, y0, g in (array, tree):
        with pytest.raises(ValueError, match="read-only") as caught:
            integrate(f, y0, T, Tsit5(), events=[Event(g)], per_sample=True)
        assert caught.value.__notes__[0].startswith("g(t, y) was given t of shape (2, 1) and y")
        assert caught.value.__notes__[1] == "return a new array, or write into one of your own"

    def spoiling(t: Any, y: Any) -> Any:
        y[...] = 1e9
        return y[:, 0]

    found = integrate(decay, strict.asarray(Y0), T, Tsit5(), events=[Event(spoiling)], per_sample=True)
    np.testing.assert_array_equal(np.asarray(found.y), integrate(decay, Y0, T, Tsit5(), per_sample=True).y)


@pytest.mark.parametrize("direction", [True, 2, "up", None, np.zeros(2), float("nan"), 1j], ids=brief)
def test_directions_of_events(direction: Any) -> None:
    """Anything but −1, 0 and 1 is refused."""
    with pytest.raises(ValueError, match=r"^direction must be 1 for rising, -1 for falling or 0 for both, got"):
        Event(level, direction=direction)


@pytest.mark.parametrize("sample", [None, True, "0", 1.5, 2, -3, [0]], ids=brief)
def test_samples_of_a_record(sample: Any) -> None:
    """A sample is named by its number."""
    (record,) = integrate(decay, Y0, T, Tsit5(), events=[Event(level)], per_sample=True).events
    with pytest.raises(IndexError, match=r"^sample must be an int from 0 to 1, got"):
        record.of(sample)
    np.testing.assert_array_equal(record.of(-1)[0], record.of(1)[0])


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [
        (lambda: OdeOptions(foo=1), TypeError, "OdeOptions has no option 'foo'. It has: rtol, atol, per_sample"),  # type: ignore[call-arg]
        (lambda: OdeOptions(max_step=1), TypeError, "OdeOptions has no option 'max_step'. Did you mean 'max_steps'"),  # type: ignore[call-arg]
        (lambda: OdeOptions(1e-6), TypeError, "OdeOptions takes 0 values without a name, not 1: name them"),  # type: ignore[misc]
        (lambda: Tsit5(rtol=1e-6), TypeError, "Tsit5 has no option 'rtol'. It has none"),  # type: ignore[call-arg]
        (lambda: RK4(step=5), TypeError, "RK4 has no option 'step'. Did you mean 'steps'"),  # type: ignore[call-arg]
        (lambda: BDF(max_order=6), ValueError, r"BDF: option 'max_order' expects an int in \[1, 5\], got 6"),
        (lambda: Interpolating(nodes=2), TypeError, "Interpolating has no option 'nodes'"),  # type: ignore[call-arg]
        (lambda: Gauss(nodes=0), ValueError, "Gauss: option 'nodes' expects an int >= 1, got 0"),
        (lambda: KenCarp47(linear_solver=[]), ValueError, ".*'linear_solver' expects a linear solver or none"),  # type: ignore[arg-type]
        (lambda: SteadyState(decay), ValueError, ".*'integrator' expects an integrator as an object, got <function"),  # type: ignore[arg-type]
        (lambda: SteadyState(Tsit5(), step_tol=1), TypeError, "SteadyState has no option 'step_tol'. Did you mean"),
    ],
    ids=range(11),
)
def test_options_of_methods(make: Any, kind: type[Exception], sentence: str) -> None:
    """Unknown ones are named with what was meant, and so are parts of another kind."""
    with pytest.raises(kind, match=f"^{sentence}"):
        make()


def test_an_event_of_what_has_no_derivative() -> None:
    """The function in the way is named, where the event is differentiated."""

    def when(y0: Any) -> Any:
        event = Event(lambda t, y: y[:, 0] - 1.0 + np.spacing(y[:, 0]))
        return ops.sum(evolve(decay, y0, T, integrator=Tsit5(), events=[event], per_sample=True).events[0].t)

    with pytest.raises(NoDerivativeError, match=r"^g cannot be traced \(it calls spacing, .*; write it with"):
        value_and_grad(when)(Y0)


@pytest.mark.parametrize("integrator", [KenCarp47(), BDF()], ids=lambda each: type(each).__name__)
def test_an_implicit_method_of_what_has_no_derivative(integrator: Any) -> None:
    """The function in the way is named, without the arrays, and what to do instead."""
    buffer = np.empty((2, 3))
    for f, cause in (
        (lambda t, y: np.negative(y, out=buffer), "negative with out=, which no derivative follows"),
        (lambda t, y: -np.spacing(y), "spacing, which has no derivative"),
    ):
        with pytest.raises(NoDerivativeError) as caught:
            integrate(f, Y0, T, integrator)
        text = str(caught.value)
        assert text.startswith(f"an implicit step needs products J·v, and f cannot be traced (it calls {cause})")
        for way in ("equilib.ops or autograd.numpy", "OdeProblem(..., linearize=...)", "an integrator without"):
            assert way in text
        assert len(text) < 300
        assert "array(" not in text


@pytest.mark.parametrize("per_sample", [False, True], ids=["together", "alone"])
@pytest.mark.parametrize("integrator", [Tsit5(), KenCarp47(), RK45()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("shape", [(0, 3), (2, 0)], ids=str)
def test_an_empty_state_is_integrated(shape: tuple[int, ...], integrator: Any, per_sample: bool) -> None:
    """Successfully, without an evaluation, as `solve` does; what f depends on has gradients of zero."""
    y0, events = np.zeros(shape), [Event(lambda t, y: y.sum(axis=1))] if per_sample else []
    found = integrate(never, y0, T, integrator, per_sample=per_sample, dense=True, events=events)
    assert (found.success, found.status, found.nfe) == (True, (OdeStatus.FINISHED,) * shape[0], 0)
    assert (found.y.shape, found.trajectory(0.5).shape, found.trajectory([]).shape) == ((2, *shape), shape, (0, *shape))
    assert [each.y.shape for each in found.events] == [(0, *shape)] * len(events)
    ways: list[Any] = [Interpolating(), Gauss(), Backsolve(), *([] if isinstance(integrator, RK45) else [Discrete()])]
    for way in ways:
        end = partial(evolve, lambda t, y, p: p * y, y0, T, integrator=integrator, adjoint=way, per_sample=per_sample)
        np.testing.assert_array_equal(value_and_grad(lambda p, end=end: ops.sum(end(p).state))(np.ones(1))[1], 0.0)

"""Options whose values are parts: named, nested by dots, refused with what was meant, and recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from equilib.errors import UserError
from equilib.options import (
    Blueprint,
    Checked,
    OptionError,
    PartOption,
    Parts,
    build,
    describe,
    option,
    part,
    plain_options,
    split,
    unfold,
)


@dataclass(frozen=True)
class Cycle(Checked):
    """A linear solver."""

    restart: int = option(20, help="vectors kept", minimum=1)

    def solve(self) -> None:
        """Be known for a linear solver by this."""


@dataclass(frozen=True)
class Sweep:
    """Another linear solver."""

    sweeps: int = option(3, help="sweeps", minimum=1)
    solve = Cycle.solve


@dataclass(frozen=True)
class Newton(Checked):
    """A solver with a linear solver."""

    linear: Any = part("cycle", lambda: Cycle(10), kind="linear solver", help="of a step")
    forcing: float = option(0.1, help="reduction", exclusive_minimum=0)


@dataclass(frozen=True)
class Adjoint:
    """An adjoint with a solver, or none."""

    solver: Any | None = part(None, kind="solver", help="of the equation")
    rtol: float | None = option(None, help="tolerance", minimum=0)


@dataclass(frozen=True)
class Flow:
    """A solver with a part that must be given in Python, and whose option depends on it."""

    clock: Any = part("fast", kind="clock", help="of the flow")
    step: float = option(1.0, help="first step", exclusive_minimum=0)


@dataclass(frozen=True)
class Clock:
    """A part of a flow."""

    rate: float = option(2.0, help="ticks", exclusive_minimum=0)


@dataclass(frozen=True)
class Shelf(Parts):
    """Parts by kind and name."""

    blueprints: Mapping[str, Mapping[str, Blueprint]] = field(default_factory=dict)

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind."""
        return sorted(self.blueprints.get(kind, {}))

    def blueprint(self, kind: str, name: str) -> Blueprint:
        """Return what a name stands for."""
        if name not in self.names(kind):
            raise UserError(f"no {kind} {name!r}")
        return self.blueprints[kind][name]

    def name_of(self, kind: str, factory: type) -> str:
        """Return the name of a class without presets."""
        found = self.blueprints[kind].items()
        return next(name for name, each in found if each.factory is factory and not each.preset)


SHELF = Shelf(
    {
        "linear solver": {"cycle": Blueprint(factory=Cycle), "sweep": Blueprint(factory=Sweep)},
        "solver": {
            "newton": Blueprint(factory=Newton),
            "flow": Blueprint(factory=Flow),
            "slow": Blueprint(factory=Flow, preset={"clock": "slow"}),
            "swept": Blueprint(factory=Newton, preset={"linear": "sweep", "linear.sweeps": 7, "forcing": 0.5}),
        },
        "clock": {
            "fast": Blueprint(factory=Clock),
            "slow": Blueprint(factory=Clock, preset={"rate": 0.5}, around={"step": 4.0, "unknown": 1}),
        },
    }
)


def make(cls: Any, **values: object) -> Any:
    """Build with the parts of the shelf; in the names of options two underscores are a dot."""
    return build(cls, {name.replace("__", "."): value for name, value in values.items()}, owner="it", parts=SHELF)


@pytest.mark.parametrize(
    ("cls", "values", "expected"),
    [
        (Newton, {}, Newton(Cycle(10))),
        (Newton, {"linear": "cycle"}, Newton(Cycle(10))),
        (Newton, {"linear__restart": "5"}, Newton(Cycle(5))),
        (Newton, {"linear": "cycle", "linear__restart": 5, "forcing": "0.2"}, Newton(Cycle(5), 0.2)),
        (Newton, {"linear": "sweep"}, Newton(Sweep())),
        (Newton, {"linear": Sweep(9)}, Newton(Sweep(9))),
        (Adjoint, {"solver": "none"}, Adjoint()),
        (Adjoint, {"solver": None}, Adjoint()),
        (Adjoint, {"solver": "newton"}, Adjoint(Newton())),
        (Adjoint, {"solver": "newton", "solver__linear__restart": "4", "rtol": 0}, Adjoint(Newton(Cycle(4)), 0.0)),
        (
            Adjoint,
            {"solver": "newton", "solver__linear": "sweep", "solver__linear__sweeps": "4"},
            Adjoint(Newton(Sweep(4))),
        ),
        (Flow, {}, Flow(Clock())),
        (Flow, {"clock__rate": 3}, Flow(Clock(3.0))),
    ],
)
def test_a_part_is_made_from_its_name_and_its_options(cls: type, values: dict[str, object], expected: object) -> None:
    """To any depth, in any order, from text and from objects; what is not said is the default's, options and all."""
    assert make(cls, **values) == expected
    assert make(cls, **dict(reversed(values.items()))) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"solver": "swept"}, Newton(Sweep(7), 0.5)),
        ({"solver": "swept", "solver__linear__sweeps": 2}, Newton(Sweep(2), 0.5)),
        ({"solver": "slow"}, Flow(Clock(0.5), 4.0)),
        ({"solver": "flow", "solver__clock": "slow"}, Flow(Clock(0.5), 4.0)),
        ({"solver": "flow", "solver__clock": "slow", "solver__step": 2}, Flow(Clock(0.5), 2.0)),
        ({"solver": "flow"}, Flow(Clock(2.0), 1.0)),
    ],
)
def test_a_name_brings_values_and_what_is_given_wins(values: dict[str, object], expected: object) -> None:
    """A name may set options of its part, of the part's parts, and defaults of what it is a part of."""
    assert make(Adjoint, **values).solver == expected


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (Newton, {"liner": "cycle"}, "it has no option 'liner'. Did you mean 'linear'?"),
        (Newton, {"restart": 5}, "it has no option 'restart'. Did you mean 'linear.restart'?"),
        (Newton, {"linear__restrat": 5}, "it has no option 'linear.restrat'. Did you mean 'linear.restart'?"),
        (Newton, {"linear": "sweep", "linear__restart": 5}, "no option 'linear.restart'."),
        (Newton, {"forcing__x": 5}, "it has no option 'forcing.x'"),
        (Newton, {"linear": "cykle"}, "it: option 'linear': no linear solver 'cykle'"),
        (Newton, {"linear": "none"}, "no linear solver 'none'"),
        (Newton, {"linear": None}, "it: option 'linear' expects a linear solver, got None"),
        (Newton, {"linear": 3}, "it: option 'linear' expects a linear solver, got 3"),
        (Newton, {"linear__restart": "0"}, "it: option 'linear.restart' expects an int >= 1, got '0'"),
        (Newton, {"linear": "cycle:restart=3"}, "Write linear=cycle,linear.restart=3"),
        (
            Newton,
            {"linear": Cycle(), "linear__restart": 3},
            "it: option 'linear' is Cycle, so there is no 'linear.rest",
        ),
        (Adjoint, {"solver__forcing": 3}, "it: option 'solver' is none, so there is no 'solver.forcing'"),
        (Adjoint, {"solver": "newton", "solver__linear__x": 1}, "it has no option 'solver.linear.x'"),
        (Adjoint, {"solver": "slow", "solver__clock": "fast"}, "'solver.clock' expects one of 'slow', got 'fast'"),
        (Adjoint, {"solver": "slow", "solver__clock": "none"}, "'solver.clock' expects one of 'slow', got 'none'"),
    ],
)
def test_a_mistake_is_answered_by_its_dotted_name(cls: type, values: dict[str, object], message: str) -> None:
    """Names that are unknown get a suggestion in parts, too; values say which part's they are."""
    with pytest.raises(OptionError) as caught:
        make(cls, **values)
    assert message in str(caught.value)


def test_what_a_part_refuses_is_told_with_its_name() -> None:
    """A ValueError of the part's class reaches the user with the option that it is the value of."""

    @dataclass(frozen=True)
    class Picky:
        size: int = option(1, help="size")

        def __post_init__(self) -> None:
            raise ValueError("never content")

    shelf = Shelf({"linear solver": {"picky": Blueprint(factory=Picky)}})
    with pytest.raises(OptionError, match="it: option 'linear': never content"):
        build(Newton, {"linear": "picky"}, owner="it", parts=shelf)


def test_in_python_the_value_is_the_object() -> None:
    """The class takes objects and names of installed ones, its default is one; `build` is told what names stand for."""
    assert Newton().linear == Cycle(10)
    assert build(Newton, {"linear": Sweep(2)}, owner="it") == Newton(Sweep(2))
    with pytest.raises(UserError, match="no linear solver 'cycle'"):
        Newton("cycle")
    with pytest.raises(OptionError, match="expects a linear solver, got None"):
        Newton(None)
    with pytest.raises(OptionError, match="no linear solver is known by its name here; give an object"):
        build(Newton, {"linear": "sweep"}, owner="it")


def test_an_option_that_is_a_part_says_what_it_expects() -> None:
    """Its kind, its default by name, and whether none will do."""
    linear, _ = describe(Newton)
    solver, _ = describe(Adjoint)
    assert isinstance(linear, PartOption)
    assert (linear.kind, linear.default, linear.instance, linear.expects) == (
        "linear solver",
        "cycle",
        Cycle(10),
        "a linear solver",
    )
    assert (solver.default, solver.expects, solver.required) == (None, "a solver or none", False)


@pytest.mark.parametrize(
    ("blueprint", "values", "expected"),
    [
        (Blueprint(factory=Newton), {}, {"linear": "cycle", "linear.restart": 10, "forcing": 0.1}),
        (Blueprint(factory=Newton), {"linear": "sweep"}, {"linear": "cycle", "linear.sweeps": 3, "forcing": 0.1}),
        (Blueprint(factory=Adjoint), {}, {"solver": None, "rtol": None}),
        (SHELF.blueprint("solver", "swept"), {}, {"linear": "sweep", "linear.sweeps": 7, "forcing": 0.5}),
        (SHELF.blueprint("solver", "slow"), {}, {"clock": "slow", "clock.rate": 0.5, "step": 4.0}),
        (Blueprint(factory=Flow), {}, {"clock": "fast", "clock.rate": 2.0, "step": 1.0}),
    ],
)
def test_options_unfold(blueprint: Blueprint, values: dict[str, object], expected: dict[str, object]) -> None:
    """What there is to set: dotted names with the defaults that hold, of the parts that are chosen."""
    assert {each.name: each.default for each in unfold(blueprint, SHELF, values)} == expected


@pytest.mark.parametrize(
    "made",
    [
        Newton(),
        Newton(Sweep(8), 0.3),
        Adjoint(),
        Adjoint(Newton(Sweep(4)), 1e-3),
        Adjoint(Flow(Clock(3.0), 2.0)),
        Adjoint(Flow(Clock(0.5), 1.0)),
    ],
)
def test_an_object_is_made_again_from_its_plain_options(made: object) -> None:
    """The record of an object, names and numbers, is what it is built from."""
    plain = plain_options(made, SHELF)
    assert all(isinstance(value, str | int | float | None) for value in plain.values())
    assert build(type(made), plain, owner="it", parts=SHELF) == made
    text = {name: str(value) for name, value in plain.items()}
    assert build(type(made), text, owner="it", parts=SHELF) == made


def test_options_of_parts_are_shared_out_with_their_part() -> None:
    """A dotted name goes to whoever has the part; an unknown one is compared with dotted names."""
    newton, adjoint = Blueprint(factory=Newton), Blueprint(factory=Adjoint)
    values = {"linear.restart": 3, "solver": "newton", "solver.forcing": 0.5, "rtol": 1}
    shares = split(values, newton, adjoint, owner="it", parts=SHELF)
    assert shares == ({"linear.restart": 3}, {"solver": "newton", "solver.forcing": 0.5, "rtol": 1})
    with pytest.raises(OptionError, match=r"no option 'restart'\. Did you mean 'linear\.restart'"):
        split({"restart": 3}, newton, adjoint, owner="it", parts=SHELF)
    assert Parts().names("solver") == ()

"""The options of dataclasses: described, parsed, refused."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from equilib.errors import UserError
from equilib.options import (
    Blueprint,
    OptionError,
    Parts,
    build,
    describe,
    option,
    parse_assignments,
    parse_spec,
    split,
)

if TYPE_CHECKING:
    from nowhere import Absent


@dataclass(frozen=True)
class Krylov:
    """A solver's options of every kind."""

    restart: int = option(10, help="vectors kept", minimum=1)
    damping: float = option(0.5, help="share kept", exclusive_minimum=0, maximum=1)
    inner: str = option("batched", help="linear solver", choices=("batched", "scipy"))
    line_search: bool = option(True, help="whether to shorten steps")
    eta: float | None = option(None, help="forcing term", minimum=0, exclusive_maximum=1)
    plain: int = 3
    scale: float = 1.0
    matrix: tuple[float, ...] = ()
    derived: int = field(default=0, init=False)


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The driver's options."""

    rtol: float = 1e-3
    max_steps: int = 50
    restart: int = 0


BLUEPRINTS = (Blueprint(factory=Krylov), Blueprint(factory=Driver))


def test_options_are_the_constructible_simple_fields() -> None:
    """Every init field of a simple type is an option, marked or not; other fields are not."""
    names = [each.name for each in describe(Krylov)]
    assert names == ["restart", "damping", "inner", "line_search", "eta", "plain", "scale"]


def test_an_option_carries_what_its_field_declares() -> None:
    """Type, default, help, bounds and choices come from the field."""
    restart, damping, inner, _, eta, plain, _ = describe(Krylov)
    assert (restart.type, restart.default, restart.help, restart.bounds.minimum) == (int, 10, "vectors kept", 1)
    assert str(damping.bounds) == "in (0, 1]"
    assert inner.choices == ("batched", "scipy")
    assert (eta.type, eta.optional, eta.default) == (float, True, None)
    assert (plain.type, plain.default, plain.help, plain.required) == (int, 3, "", False)


def test_a_declared_option_is_an_ordinary_field() -> None:
    """The class is constructed as if `option` were not there."""
    assert Krylov() == Krylov(10, 0.5, "batched", True, None, 3)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("restart", "20", 20),
        ("restart", np.int64(20), 20),
        ("damping", "1e-3", 1e-3),
        ("damping", "1", 1.0),
        ("damping", 1, 1.0),
        ("damping", np.float32(0.25), 0.25),
        ("inner", "scipy", "scipy"),
        *[("line_search", text, True) for text in ("true", "True", "yes", "on", "1", True)],
        *[("line_search", text, False) for text in ("false", "no", "OFF", "0", False)],
        ("eta", "none", None),
        ("eta", None, None),
        ("eta", "0.1", 0.1),
        ("line-search", "off", False),
    ],
)
def test_texts_and_values_become_the_fields_type(name: str, value: object, expected: object) -> None:
    """A Python value and its text give the same option, of exactly the field's type; '-' may stand for '_'."""
    built = build(Krylov, {name: value}, owner="solver 'krylov'")
    found = getattr(built, name.replace("-", "_"))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "expects"),
    [
        ("restart", "ten", "an int >= 1"),
        ("restart", "1.5", "an int >= 1"),
        ("restart", 1.0, "an int >= 1"),
        ("restart", True, "an int >= 1"),
        ("restart", "0", "an int >= 1"),
        ("restart", None, "an int >= 1"),
        ("restart", "none", "an int >= 1"),
        ("damping", "nan", r"a float in \(0, 1\]"),
        ("damping", math.nan, r"a float in \(0, 1\]"),
        ("damping", 10**400, r"a float in \(0, 1\]"),
        ("damping", "0", r"a float in \(0, 1\]"),
        ("damping", "1.0001", r"a float in \(0, 1\]"),
        ("damping", False, r"a float in \(0, 1\]"),
        ("scale", "nan", "a float"),
        ("scale", np.float32("nan"), "a float"),
        ("eta", "1", r"a float in \[0, 1\) or none"),
        ("inner", 3, "one of 'batched', 'scipy'"),
        ("inner", "scipi", "one of 'batched', 'scipy', got 'scipi'. Did you mean 'scipy'?"),
        ("line_search", "maybe", "true or false"),
        ("line_search", 1, "true or false"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(name: str, value: object, expects: str) -> None:
    """The error names the owner, the option, what it expects and what it got."""
    with pytest.raises(OptionError, match=f"^solver 'krylov': option '{name}' expects {expects}"):
        build(Krylov, {name: value}, owner="solver 'krylov'")


def test_option_errors_are_user_errors_and_value_errors() -> None:
    """The command line and a library caller each catch them as what they are used to."""
    assert issubclass(OptionError, UserError)
    assert issubclass(OptionError, ValueError)


def test_an_unknown_option_gets_a_suggestion() -> None:
    """A near miss is answered by the name that was meant."""
    with pytest.raises(OptionError, match=r"^solver 'krylov' has no option 'restrat'\. Did you mean 'restart'\?$"):
        build(Krylov, {"restrat": 1}, owner="solver 'krylov'")


def test_an_unknown_option_far_from_all_lists_them() -> None:
    """Where nothing is near, the options are listed."""
    with pytest.raises(OptionError, match=r"has no option 'q'\. It has: rtol, max_steps, restart\."):
        build(Driver, {"q": 1}, owner="solver 'x'")


def test_a_class_without_options_says_so() -> None:
    """A class without fields refuses every option."""

    @dataclass(frozen=True)
    class Bare: ...

    with pytest.raises(OptionError, match=r"adjoint 'bare' has no option 'rtol'\. It has none\."):
        build(Bare, {"rtol": 1}, owner="adjoint 'bare'")


def test_an_option_spelled_twice_is_refused() -> None:
    """'max-steps' and 'max_steps' are one option."""
    with pytest.raises(OptionError, match="twice"):
        build(Driver, {"max-steps": 1, "max_steps": 2}, owner="solver 'x'")


def test_a_required_option_must_be_given() -> None:
    """A field without a default is a required option."""

    @dataclass(frozen=True)
    class Polynomial:
        degree: int
        scale: float = 1.0

    degree, scale = describe(Polynomial)
    assert (degree.required, degree.default, scale.required) == (True, MISSING, False)
    with pytest.raises(OptionError, match="experiment 'p' needs a value for option 'degree'"):
        build(Polynomial, {"scale": 2}, owner="experiment 'p'")
    assert build(Polynomial, {"degree": "2"}, owner="experiment 'p'") == Polynomial(2)


def test_what_the_class_itself_refuses_is_an_option_error() -> None:
    """A ValueError of `__post_init__` reaches the user with the owner's name."""

    @dataclass(frozen=True)
    class Window:
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low exceeds high")

    with pytest.raises(OptionError, match=r"^solver 'window': low exceeds high$"):
        build(Window, {"low": 5}, owner="solver 'window'")


def test_default_factories_give_the_default() -> None:
    """A field with a factory shows what it makes."""

    @dataclass(frozen=True)
    class Seeded:
        seed: int = field(default_factory=lambda: 7)

    assert describe(Seeded)[0].default == 7


@pytest.mark.parametrize(
    "settings",
    [
        {"default": 0, "minimum": 1},
        {"default": 1.0, "exclusive_maximum": 1},
        {"default": "a", "choices": ("b", "c")},
        {"default": 1, "minimum": 0, "exclusive_minimum": 0},
        {"default": 1, "maximum": 2, "exclusive_maximum": 2},
    ],
    ids=str,
)
def test_a_declaration_that_contradicts_itself_fails_when_it_is_made(settings: dict[str, Any]) -> None:
    """A default out of range, or two bounds on one side, cannot be imported."""
    with pytest.raises(ValueError):
        option(help="", **settings)


@pytest.mark.parametrize(
    "settings",
    [{"help": "\x1b[2J"}, {"help": "", "choices": ("a", "\x07")}, {"help": "", "default": "\udcff"}],
    ids=ascii,
)
def test_a_declaration_gives_a_terminal_no_order(settings: dict[str, Any]) -> None:
    """Texts of options, which help shows, hold what can be shown."""
    with pytest.raises(ValueError, match="which a terminal does not show"):
        option(**{"default": "a", **settings})


@pytest.mark.parametrize(
    ("bounds", "text", "allowed"),
    [
        ({"minimum": 1}, "an int >= 1", [1, 2, 3, 4]),
        ({"exclusive_minimum": 1}, "an int > 1", [2, 3, 4]),
        ({"maximum": 3}, "an int <= 3", [0, 1, 2, 3]),
        ({"exclusive_maximum": 3}, "an int < 3", [0, 1, 2]),
        ({"minimum": 1, "exclusive_maximum": 3}, "an int in [1, 3)", [1, 2]),
        ({"exclusive_minimum": 1, "maximum": 3}, "an int in (1, 3]", [2, 3]),
        ({}, "an int", [0, 1, 2, 3, 4]),
    ],
    ids=str,
)
def test_bounds_read_as_they_hold(bounds: dict[str, float], text: str, allowed: list[int]) -> None:
    """An end belongs to the interval exactly where the description says so."""

    @dataclass(frozen=True)
    class Bounded:
        n: int = option(2, help="", **bounds)

    (described,) = describe(Bounded)
    assert described.expects == text
    assert [n for n in range(5) if described.bounds.allow(n)] == allowed


def test_only_dataclasses_have_options() -> None:
    """Anything else is refused by name."""
    for thing in (int, Krylov(), lambda: None):
        with pytest.raises(TypeError, match="is not a dataclass"):
            describe(thing)  # type: ignore[arg-type]


def test_an_option_of_a_type_without_text_is_the_authors_error() -> None:
    """`option` on a list cannot be parsed, and says which field it is."""

    @dataclass(frozen=True)
    class Wrong:
        sizes: tuple[int, ...] = option((1,), help="sizes")

    with pytest.raises(TypeError, match=r"Wrong\.sizes is an option of type"):
        describe(Wrong)


def test_an_annotation_out_of_reach_is_the_authors_error() -> None:
    """A name imported for type checkers only cannot be evaluated, and the error says which."""

    @dataclass(frozen=True)
    class Hidden:
        inner: Absent | None = None

    with pytest.raises(TypeError, match=r"Hidden has an annotation that cannot be evaluated.*Absent"):
        describe(Hidden)


@pytest.mark.parametrize(
    ("spec", "name", "values"),
    [
        ("newton-gmres", "newton-gmres", {}),
        (
            "newton-gmres:linear-solver.restart=10,max_steps=20",
            "newton-gmres",
            {"linear_solver.restart": "10", "max_steps": "20"},
        ),
        (" picard : damping = 0.5 ", "picard", {"damping": "0.5"}),
        ("scipy:krylov", "scipy:krylov", {}),
        ("scipy:krylov:rtol=1e-3", "scipy:krylov", {"rtol": "1e-3"}),
        ("ode:method=bs3:fast", "ode", {"method": "bs3:fast"}),
        ("picard:max-steps=3", "picard", {"max_steps": "3"}),
        ("x:a=b=c", "x", {"a": "b=c"}),
        ("x:a=", "x", {"a": ""}),
    ],
)
def test_a_spec_is_a_name_and_its_options(spec: str, name: str, values: dict[str, str]) -> None:
    """A name may hold colons; the options begin before the first '='."""
    assert parse_spec(spec) == (name, values)


@pytest.mark.parametrize("spec", ["", ":", "picard:", "restart=10", ":restart=10", "x:a=1,", "x:a=1,b", "x:=1"])
def test_a_malformed_spec_is_refused(spec: str) -> None:
    """What is neither a name nor name:option=value is an option error that quotes it."""
    with pytest.raises(OptionError, match="is not of the form"):
        parse_spec(spec)


def test_an_option_given_twice_is_refused() -> None:
    """The later value does not silently win."""
    with pytest.raises(OptionError, match="option 'max-steps' is given twice"):
        parse_assignments(["max_steps=1", "max-steps=2"])


def test_split_gives_each_class_its_options() -> None:
    """Every value goes to the class that has it, and to the first one if several have it."""
    shares = split({"restart": "2", "max-steps": "9", "eta": "0"}, *BLUEPRINTS, owner="solver 'krylov'", parts=Parts())
    assert shares == ({"restart": "2", "eta": "0"}, {"max_steps": "9"})


def test_split_suggests_over_all_classes() -> None:
    """An unknown option is compared with the options of every class."""
    with pytest.raises(OptionError, match=r"solver 'krylov' has no option 'max_step'\. Did you mean 'max_steps'\?"):
        split({"max_step": "9"}, *BLUEPRINTS, owner="solver 'krylov'", parts=Parts())

"""From what was typed to an integrator, its options and an ODE adjoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict

import pytest

from equilib.errors import UserError
from equilib.ode.adjoints import Backsolve, Discrete, Interpolating
from equilib.ode.adjoints.discrete import UnseenStepsError
from equilib.options import OptionError
from equilib.plugin import choosing
from equilib.plugin.choice import Choice
from equilib.plugin.registry import Registry, UnknownName
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcabm import VCABM


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Return the installed plugins."""
    return Registry.discover()


def choose(
    registry: Registry,
    integrator: str,
    *,
    adjoint: str | None = None,
    defaults: Mapping[str, object] | None = None,
    **options: str,
) -> Choice:
    """Choose with the defaults of an experiment."""
    preferred = defaults or {"rtol": 1e-3}
    return choosing.choose(registry, integrator, solves="ode", options=options, adjoint=adjoint, defaults=preferred)


def test_preferences_fill_what_is_open_and_what_is_typed_wins(registry: Registry) -> None:
    """They reach the integration's options, also those typed with the integrator; failures are recorded."""
    method = choose(registry, "tsit5")
    assert method.solver == Tsit5()
    assert (method.options.rtol, method.options.on_failure) == (1e-3, "record")
    typed = choose(registry, "vcabm:max_order=4,rtol=1e-5", atol="1e-7", on_failure="raise")
    assert typed.solver == VCABM(4)
    assert (typed.options.rtol, typed.options.atol, typed.options.on_failure) == (1e-5, 1e-7, "raise")


@pytest.mark.parametrize(
    ("spec", "kind"), [(None, Interpolating), ("backsolve", Backsolve), ("discrete", Discrete)], ids=str
)
def test_an_adjoint_is_the_interpolating_one_or_the_one_named(registry: Registry, spec: str | None, kind: type) -> None:
    """The record names it."""
    method = choose(registry, "tsit5", adjoint=spec)
    assert isinstance(method.sensitivity, kind)
    assert method.backward.name == (spec or "interpolating")


def test_a_method_describes_and_introduces_itself(registry: Registry) -> None:
    """The record has the form of a solver's, so that it can be read in the same way; people get two lines."""
    method = choose(registry, "vcabm:max_order=4")
    described = method.describe()
    assert described["solver"] == {"name": "vcabm", "options": {"max_order": 4}}
    assert described["adjoint"] == {"name": "interpolating", "options": {}, "exact": True}
    assert described["solve"] == asdict(method.options)
    first, second = method.introduce()
    assert re.fullmatch(r"Integrator: vcabm \(max_order=4\) with rtol=0\.001, atol=1e-06", first)
    assert second == "Adjoint: interpolating"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"integrator": "tsit"}, UnknownName, "no integrator 'tsit'. Did you mean 'tsit5'?"),
        ({"integrator": "newton-gmres"}, UnknownName, "no integrator 'newton-gmres'"),
        ({"integrator": "tsit5", "adjoint": "gaus"}, UnknownName, "no adjoint 'gaus'. Did you mean 'gauss'?"),
        (
            {"integrator": "tsit5", "adjoint": "implicit"},
            UnknownName,
            "adjoint 'implicit' differentiates a fixed point, where the solution of an ODE is asked for. "
            "Available: backsolve, discrete, gauss, interpolating.",
        ),
        (
            {"integrator": "tsit5:rtoll=1"},
            OptionError,
            "'tsit5' has no option 'rtoll'. Did you mean 'rtol'?",
        ),
        ({"integrator": "tsit5:rtol=-1"}, OptionError, "option 'rtol' expects"),
        ({"integrator": "tsit5:rtol=1e-3", "rtol": "1e-4"}, OptionError, "both in --solver and with -o"),
        (
            {"integrator": "scipy:rk45", "adjoint": "discrete"},
            UnseenStepsError,
            "use interpolating, gauss or backsolve",
        ),
        ({"integrator": "tsit5", "adjoint": "gauss:depth=3"}, OptionError, "adjoint 'gauss' has no option 'depth'"),
    ],
)
def test_what_cannot_be_is_refused(
    registry: Registry, arguments: dict[str, str], error: type[UserError], message: str
) -> None:
    """Unknown names, and options that are unknown, out of range or doubled, are errors."""
    with pytest.raises(error) as caught:
        choose(registry, **arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)

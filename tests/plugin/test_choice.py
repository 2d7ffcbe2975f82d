"""From what was typed to a solver, its options and an adjoint."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest

from equilib import ImplicitAdjoint
from equilib.adjoints.jacobian_free import JacobianFree
from equilib.adjoints.unrolled import Unrolled
from equilib.errors import UserError
from equilib.fixed_points.picard import Picard
from equilib.numerics.gmres import GMRES
from equilib.options import OptionError, describe, option
from equilib.plugin import SolverEntry, choosing, hookimpl
from equilib.plugin.choice import Choice
from equilib.plugin.registry import Registry, UnknownName
from equilib_newton_gmres.solver import NewtonGMRES

DEFAULTS = {"rtol": 1e-2, "max_steps": 10, "linear_solver.restart": 7}


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Return the installed plugins."""
    return Registry.discover()


def choose(
    registry: Registry,
    solver: str,
    *,
    adjoint: str | None = None,
    defaults: Mapping[str, object] | None = None,
    **options: str,
) -> Choice:
    """Choose with the defaults of an experiment."""
    return choosing.choose(
        registry, solver, options=options, adjoint=adjoint, defaults=DEFAULTS if defaults is None else defaults
    )


def test_the_experiments_preferences_fill_what_is_open(registry: Registry) -> None:
    """They reach the solver and its driver; unconverged samples are recorded."""
    method = choose(registry, "newton-gmres")
    assert isinstance(method.solver, NewtonGMRES)
    assert method.solver.linear_solver == GMRES(7)
    assert (method.options.rtol, method.options.max_steps, method.options.on_failure) == (1e-2, 10, "record")


def test_what_is_typed_wins(registry: Registry) -> None:
    """Options in the solver's text and options apart both override the preferences."""
    method = choose(
        registry, "newton-gmres:linear-solver.restart=3,max-steps=4", rtol="1e-5", forcing="0.5", on_failure="raise"
    )
    assert isinstance(method.solver, NewtonGMRES)
    assert (method.solver.linear_solver, method.solver.forcing) == (GMRES(3), 0.5)
    assert (method.options.rtol, method.options.max_steps, method.options.on_failure) == (1e-5, 4, "raise")


def test_preferences_that_a_solver_does_not_have_are_passed_over(registry: Registry) -> None:
    """An experiment may prefer a restart although Picard iteration has none."""
    method = choose(registry, "picard", damping="0.25")
    assert method.solver == Picard(damping=0.25)
    assert method.options.max_steps == 10


@pytest.mark.parametrize(
    ("spec", "kind", "name", "exact"),
    [
        (None, ImplicitAdjoint, "implicit", True),
        ("implicit:rtol=1e-7", ImplicitAdjoint, "implicit", True),
        ("jacobian-free", JacobianFree, "jacobian-free", False),
        ("unrolled:depth=9", Unrolled, "unrolled", False),
    ],
)
def test_an_adjoint_is_the_solvers_own_or_the_one_named(
    registry: Registry, spec: str | None, kind: type, name: str, exact: bool
) -> None:
    """Without a name the solver brings its adjoint, set up like itself; with one, that is used with its options."""
    method = choose(registry, "newton-gmres", adjoint=spec)
    assert isinstance(method.sensitivity, kind)
    assert (method.backward.name, method.exact) == (name, exact)
    if isinstance(method.sensitivity, ImplicitAdjoint):
        own = ImplicitAdjoint(linear_solver=GMRES(7))
        assert method.sensitivity == (own if spec is None else ImplicitAdjoint(rtol=1e-7))
    if isinstance(method.sensitivity, Unrolled):
        assert method.sensitivity.depth == 9


def test_a_method_records_every_option(registry: Registry) -> None:
    """The record has the solver's and the adjoint's options, set or not, and the driver's."""
    method = choose(registry, "newton-gmres:backtracks=2", adjoint="implicit")
    described = method.describe()
    linear = {"linear_solver": "gmres", "linear_solver.restart": 7}
    own = {each.name: getattr(method.solver, each.name) for each in describe(NewtonGMRES)}
    assert described["solver"] == {"name": "newton-gmres", "options": own | linear}
    assert {"backtracks": 2, **linear}.items() <= described["solver"]["options"].items()
    gmres = {"linear_solver": "gmres", "linear_solver.restart": 20}
    options = {"solver": None, **gmres, "rtol": None, "max_steps": None}
    assert described["adjoint"] == {"name": "implicit", "options": options, "exact": True}
    assert described["solve"] == dataclasses.asdict(method.options)


def test_a_method_introduces_itself(registry: Registry) -> None:
    """The lines for people have the options that are set, and whether the gradient is exact."""
    solver, adjoint = choose(registry, "newton-gmres:backtracks=2", adjoint="implicit").introduce()
    assert re.fullmatch(
        r"Solver: newton-gmres \(.*linear_solver.restart=7, .*backtracks=2.*\) with rtol=0\.01, max_steps=10", solver
    )
    assert adjoint == "Adjoint: implicit (linear_solver=gmres, linear_solver.restart=20)"
    assert choose(registry, "picard", adjoint="jacobian-free").introduce() == (
        "Solver: picard (damping=0.0) with rtol=0.01, max_steps=10",
        "Adjoint: jacobian-free: an approximate gradient",
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"solver": "newton"}, UnknownName, "no solver 'newton'. Did you mean 'newton-gmres'?"),
        ({"solver": "picard", "adjoint": "implict"}, UnknownName, "no adjoint 'implict'. Did you mean 'implicit'?"),
        ({"solver": ""}, OptionError, "'' is not of the form NAME"),
        ({"solver": "picard", "adjoint": ""}, OptionError, "'' is not of the form NAME"),
        ({"solver": "picard:dampin=1"}, OptionError, "solver 'picard' has no option 'dampin'. Did you mean 'damping'?"),
        ({"solver": "picard:damping=x"}, OptionError, "option 'damping' expects"),
        ({"solver": "picard:damping=-1"}, OptionError, "option 'damping' expects"),
        ({"solver": "picard", "max_steps": "0.5"}, OptionError, "option 'max_steps' expects an int"),
        ({"solver": "picard:damping=0.1,damping=0.2"}, OptionError, "option 'damping' is given twice"),
        ({"solver": "picard:damping=0.1", "damping": "0.2"}, OptionError, "both in --solver and with -o"),
        ({"solver": "picard:max-steps=1", "max_steps": "2"}, OptionError, "option 'max_steps' of solver 'picard'"),
        (
            {"solver": "picard", "adjoint": "unrolled:depth=0"},
            OptionError,
            "'unrolled': option 'depth' expects",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    registry: Registry, arguments: dict[str, str], error: type[UserError], message: str
) -> None:
    """Unknown names, and options that are unknown, of the wrong type, out of range or doubled, are errors."""
    with pytest.raises(error) as caught:
        choose(registry, **arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)


@dataclass(frozen=True)
class Plain(Picard):
    """A solver from elsewhere that brings no adjoint of its own."""

    strength: int = option(1, help="of nothing", minimum=1)


class Elsewhere:
    """A plugin with that solver, whose record prefers an adjoint that another plugin has."""

    @hookimpl
    def equilib_solvers(self) -> Iterable[SolverEntry]:
        """Yield it."""
        yield SolverEntry(name="plain", factory=Plain, summary="Plain", adjoint="unrolled")


def test_a_solvers_record_chooses_its_adjoint() -> None:
    """The adjoint that a record names is looked up among all plugins."""
    registry = Registry.discover()
    registry.register(Elsewhere(), name="elsewhere")
    method = choose(registry, "plain:strength=2")
    assert method.solver == Plain(strength=2)
    assert isinstance(method.sensitivity, Unrolled)
    assert method.exact is False

"""Which methods a comparison runs: lists, "all", and the folders they get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import pytest

from equilib.commands.combinations import combine, names_in
from equilib.errors import UserError
from equilib.options import option
from equilib.plugin import SensitivityEntry, SolverEntry, hookimpl
from equilib.plugin.registry import Registry

ODE_ADJOINTS = ("backsolve", "discrete", "gauss", "interpolating")
UNSEEN = ("scipy:rk45", "discrete")


@dataclass(frozen=True)
class Stub:
    """Options of a solver or an adjoint."""

    memory: int = option(5, help="how much it keeps", minimum=1)


class Plugin:
    """Solvers that can be used, cannot be used here, and cannot be imported; adjoints, one of them for one solver."""

    @hookimpl
    def equilib_solvers(self) -> Iterable[SolverEntry]:
        """Yield them."""
        yield SolverEntry(name="slow", factory=Stub, summary="slow", adjoint="exact")
        yield SolverEntry(name="lib:fast", factory=Stub, summary="fast", adjoint="exact")
        yield SolverEntry(name="absent", factory=Stub, summary="absent", unavailable="install the-library")
        yield SolverEntry(name="broken", factory="no_such_module:Solver", summary="broken")

    @hookimpl
    def equilib_sensitivities(self) -> Iterable[SensitivityEntry]:
        """Yield them."""
        yield SensitivityEntry(name="exact", factory=Stub, summary="exact")
        yield SensitivityEntry(name="rough", factory=Stub, summary="rough", exact=False)
        yield SensitivityEntry(name="reusing", factory=Stub, summary="reusing", exact=False, solvers=("slow",))


class OnlyReusing:
    """An adjoint for a solver that nobody provides."""

    @hookimpl
    def equilib_sensitivities(self) -> Iterable[SensitivityEntry]:
        """Yield it."""
        yield SensitivityEntry(name="nothing", factory=Stub, summary="nothing", exact=False, solvers=("nobody",))


@pytest.fixture
def registry() -> Registry:
    """Return the records of `Plugin`."""
    registry = Registry()
    registry.register(Plugin(), name="stubs")
    return registry


def test_all_is_every_solver_that_can_be_used_here(registry: Registry) -> None:
    """What cannot be used is left out with the reason, and does not stop the rest."""
    chosen, skipped = combine(registry, ["all"], [], {})
    assert [each.solver for each in chosen] == ["lib:fast", "slow"]
    assert skipped["absent"] == "install the-library"
    assert "No module named 'no_such_module'" in skipped["broken"]


def test_a_solver_that_is_named_must_be_there(registry: Registry) -> None:
    """Asked for by name, a solver that cannot be used is an error."""
    with pytest.raises(UserError, match="install the-library"):
        combine(registry, ["slow", "absent"], [], {})


def test_every_solver_meets_every_adjoint(registry: Registry) -> None:
    """The combinations are the product, in the order given; without adjoints each solver keeps its own."""
    chosen, _ = combine(registry, ["slow", "lib:fast"], ["exact", "rough"], {})
    assert [(each.solver, each.adjoint) for each in chosen] == [
        ("slow", "exact"),
        ("slow", "rough"),
        ("lib:fast", "exact"),
        ("lib:fast", "rough"),
    ]
    assert [each.adjoint for each in combine(registry, ["slow"], [], {})[0]] == [None]


def test_pairs_that_do_not_go_together_are_left_out_of_all(registry: Registry) -> None:
    """An adjoint that reuses the state of one solver meets that one alone; the reason is given for the others."""
    chosen, skipped = combine(registry, ["slow", "lib:fast"], ["all"], {})
    assert [(each.solver, each.adjoint) for each in chosen] == [
        ("slow", "exact"),
        ("slow", "reusing"),
        ("slow", "rough"),
        ("lib:fast", "exact"),
        ("lib:fast", "rough"),
    ]
    assert list(skipped) == ["lib:fast+reusing"]
    assert "reuses what slow learned" in skipped["lib:fast+reusing"]


def test_pairs_that_were_named_must_go_together(registry: Registry) -> None:
    """Asked for by name, such a pair is an error, and so is "all" where nothing is left."""
    for solvers in (["slow", "lib:fast"], ["lib:fast"]):
        with pytest.raises(
            UserError, match=r"'reusing' reuses what slow learned, and cannot be used with .* 'lib:fast'"
        ):
            combine(registry, solvers, ["reusing"], {})
    registry.register(OnlyReusing(), name="only")
    with pytest.raises(
        UserError, match="no solver goes with the adjoint: adjoint 'nothing' reuses what nobody learned"
    ):
        combine(registry, ["all"], ["nothing"], {})


def test_integrators_meet_the_adjoints_of_odes() -> None:
    """An experiment that integrates has its own names, "all" too; pairs that cannot be are left out, or an error."""
    registry = Registry.discover()
    chosen, skipped = combine(registry, ["tsit5", "scipy:rk45"], ["all"], {}, solves="ode")
    pairs = [(each.solver, each.adjoint) for each in chosen]
    assert pairs == [pair for pair in product(("tsit5", "scipy:rk45"), ODE_ADJOINTS) if pair != UNSEEN]
    assert list(skipped) == ["+".join(UNSEEN)]
    assert "vcabm" in {each.solver for each in combine(registry, ["all"], [], {}, solves="ode")[0]}
    for solvers, adjoints, fallback, message in (
        (["newton-gmres"], [], (), "no integrator 'newton-gmres'"),
        (
            ["tsit5"],
            ["implicit"],
            (),
            "adjoint 'implicit' differentiates a fixed point, where",
        ),
        (["scipy:rk45"], ["discrete"], (), "no discrete adjoint"),
        (["tsit5"], [], ("picard",), "leave out --fallback"),
    ):
        with pytest.raises(UserError, match=message):
            combine(registry, solvers, adjoints, {}, fallback, solves="ode")


def test_what_is_named_twice_runs_once(registry: Registry) -> None:
    """The same method is not run again, the same solver with other options is."""
    chosen, _ = combine(registry, ["slow", "slow", "slow:memory=2"], [], {})
    assert [each.solver for each in chosen] == ["slow", "slow:memory=2"]


def test_folders_differ_and_fit_every_file_system(registry: Registry) -> None:
    """Names hold no character that a file system refuses, and no two are alike."""
    specs = ["lib:fast", "lib:fast:memory=2", "lib:fast: memory=2", "lib:fast:memory=3"]
    names = [each.name for each in combine(registry, specs, ["rough:memory=1"], {})[0]]
    assert len({name.lower() for name in names}) == 4
    assert names[0] == "lib-fast+rough-memory=1"
    assert all(set(name).isdisjoint('<>:"/\\|?* ,') for name in names)


def test_options_are_refused_before_anything_runs(registry: Registry) -> None:
    """An option that one of the methods does not know is an error at once."""
    with pytest.raises(UserError, match="adjoint 'exact' has no option 'memry'"):
        combine(registry, ["slow"], ["exact:memry=2"], {})


def test_a_list_holds_names(registry: Registry) -> None:
    """Blanks and empty items do not matter; options do not fit in a list."""
    assert names_in(" slow , lib:fast,", "solver") == ["slow", "lib:fast"]
    assert names_in("", "solver") == []
    with pytest.raises(UserError, match="--adjoint NAME:OPTION=VALUE"):
        names_in("neumann:terms=3,exact", "adjoint")

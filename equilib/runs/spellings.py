"""Old spellings of solvers and adjoints in the records of runs, and today's.

Defaults and rules that have changed since are spelled out, so that an old run goes on as it began. Only `auto` is
another method than it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from equilib.options import parse_spec

FORMAT = 2
"""The spelling of today's records, their "format"; records without one are of the first."""

Options: TypeAlias = dict[str, Any]
Respell: TypeAlias = Callable[[Options, Mapping[str, Any]], Options]
"""Maps the options of an old name, and the solver of the run as it was recorded, to today's options."""


def modern(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of `run.json` with names and options as they are spelled today."""
    method = facts.get("method")
    if not isinstance(method, dict):
        return dict(facts)
    if facts.get("format") == FORMAT:
        adjoint = method.get("adjoint") or {}
        return {**facts, "method": {**method, "adjoint": _with_linear_solver(adjoint)}} if adjoint else dict(facts)
    solve = method.get("solve") or {}
    if "per_sample" in solve:  # which integrations have, whose names and defaults are as ever
        return dict(facts)
    forward = method.get("solver") or {}
    method = {
        **method,
        "solver": _respelled(SOLVERS, forward, forward),
        "adjoint": _respelled(ADJOINTS, method.get("adjoint") or {}, forward),
        "fallback": [_respelled(SOLVERS, each, forward) for each in method.get("fallback") or ()],
        "solve": {**solve, "criterion": "residual"},
    }
    return {**facts, "method": method, "request": _request(facts.get("request"), method)}


def spec_of(chosen: Mapping[str, Any]) -> str:
    """Return what was recorded of a solver or an adjoint as --solver and --adjoint take it."""
    given = ",".join(f"{name}={'none' if value is None else value}" for name, value in chosen["options"].items())
    return f"{chosen['name']}:{given}" if given else str(chosen["name"])


def _with_linear_solver(adjoint: Mapping[str, Any]) -> dict[str, Any]:
    """Name the linear solver of an implicit adjoint that was recorded without one, unless it had a solver."""
    options = dict(adjoint.get("options") or {})
    if options.get("linear_solver", "") is None:
        del options["linear_solver"]
        if options.get("solver", "") is None:
            options |= {"linear_solver": "gmres", "linear_solver.restart": 20}
    return {**adjoint, "options": options}


def _request(request: Any, method: Mapping[str, Any]) -> Any:
    """Return a request that names what was recorded in full."""
    if not isinstance(request, dict):
        return request
    named = {part: spec_of(method[part]) for part in ("solver", "adjoint") if method.get(part)}
    fallback = [spec_of(each) for each in method.get("fallback") or ()]
    solve = {name: "none" if value is None else str(value) for name, value in (method.get("solve") or {}).items()}
    return {**request, **named, **({"fallback": fallback} if fallback else {}), "options": solve}


def _respelled(table: Mapping[str, Respell], chosen: Mapping[str, Any], forward: Mapping[str, Any]) -> dict[str, Any]:
    name, options = str(chosen.get("name")), dict(chosen.get("options") or {})
    if name not in table:
        return dict(chosen)
    return {**chosen, "name": RENAMED.get(name, name), "options": table[name](options, forward)}


def _renamed(names: Mapping[str, str], others: str = "{}", gone: Sequence[str] = ()) -> Respell:
    """Return the respelling that renames options, those in `names` and the others by a format, without those `gone`."""
    return lambda options, _: {
        names.get(old, others.format(old)): value for old, value in options.items() if old not in gone
    }


def _with(former: Options, respell: Respell = lambda options, _: options) -> Respell:
    """Return the respelling that gives what was the default, or the only rule, where nothing else was chosen."""
    return lambda options, forward: {**former, **respell(options, forward)}


def _of_gmres(options: Options, forward: Mapping[str, Any]) -> Options:
    """Respell `linear_solver=batched,restart=20`."""
    chosen, restart = options.pop("linear_solver", "batched"), int(options.pop("restart", 20))
    # An iteration of BiCGStab has two products.
    limit, value = ("products", max(restart, 2)) if chosen == "bicgstab" else ("restart", restart)
    found = {"linear_solver": "gmres" if chosen == "batched" else chosen, f"linear_solver.{limit}": value, **options}
    return {**found, "linear_solver.balance": False} if chosen == "library" else found


def _of_implicit(options: Options, forward: Mapping[str, Any]) -> Options:
    """Respell `solver=bicgstab` and `solver=anderson:memory=3;mixing=0.5`."""
    name, given = parse_spec(options.pop("solver", "gmres").replace(";", ","))
    option = "linear_solver" if name in ("gmres", "bicgstab") else "solver"
    inner = SOLVERS[name](dict(given), forward) if name in SOLVERS else given
    return {option: name, **{f"{option}.{key}": value for key, value in inner.items()}, **options}


def _of_ode_adjoint(options: Options, forward: Mapping[str, Any]) -> Options:
    """Respell `integrator=same`, which is that of the forward solve, or tsit5 where that has none."""
    integrator, order = options.pop("integrator", "same"), {}
    if integrator == "same":
        integrator = forward["name"] if forward["name"] in ("tsit5", "dopri5", "bs3", "vcab3", "vcabm") else "tsit5"
        order = {"solver.integrator.max_order": forward["options"]["max_order"]} if integrator == "vcabm" else {}
    steps = {"solver.step_rtol": options.pop("step_rtol", 0.03), "solver.first_step": options.pop("first_step", 1.0)}
    options.setdefault("max_steps", 500)
    return {"solver": "steady", "solver.integrator": integrator, **order, **steps, **options}


_LIBRARIES = ("scipy:rk45", "scipy:dop853", "scipy:lsoda", "scipy:bdf", "scipy:radau", "sundials:cvode")
_STEADY = {"step_rtol": "step_rtol", "first_step": "first_step", "longest_step": "largest_step"}

_RESTART = {"restart": "linear_solver.restart"}

SOLVERS: dict[str, Respell] = {
    "newton-gmres": _with({"enlarge": False}, _of_gmres),
    "anderson": _with({"growth": 2.0, "restart": "last"}),
    "lbroyden": _with({"growth": 5.0, "rejections": 8}),
    "auto": _renamed(_RESTART, gone=("probe", "patience", "dense", "backtracks", "plain_steps")),
    "pseudo-transient": _renamed(_RESTART),
    "vcabm": _renamed({"max_order": "integrator.max_order"}),
    # What was not of the steady state was of the library's integrator.
    **dict.fromkeys(_LIBRARIES, _renamed(_STEADY, others="integrator.{}")),
}
"""Solvers of old records by name."""

ADJOINTS: dict[str, Respell] = {"gmres": _of_gmres, "implicit": _of_implicit, "ode-adjoint": _of_ode_adjoint}
"""Adjoints of old records by name."""

RENAMED = {"gmres": "implicit", "ode-adjoint": "implicit"}
"""Those whose name is another today."""

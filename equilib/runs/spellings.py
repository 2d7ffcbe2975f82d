"""Old spellings of solvers and adjoints in the records of runs, and today's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    if facts.get("format") == FORMAT or not isinstance(method, dict):
        return dict(facts)
    forward = method.get("solver") or {}
    if "per_sample" not in (method.get("solve") or {}):  # which integrations have, whose names are spelled as ever
        method = {
            **method,
            "solver": _respelled(SOLVERS, forward, forward),
            "adjoint": _respelled(ADJOINTS, method.get("adjoint") or {}, forward),
            "fallback": [_respelled(SOLVERS, each, forward) for each in method.get("fallback") or ()],
        }
    return {**facts, "method": method, "request": _request(facts.get("request"), method)}


def spec_of(chosen: Mapping[str, Any]) -> str:
    """Return what was recorded of a solver or an adjoint as --solver and --adjoint take it."""
    given = ",".join(f"{name}={'none' if value is None else value}" for name, value in chosen["options"].items())
    return f"{chosen['name']}:{given}" if given else str(chosen["name"])


def _request(request: Any, method: Mapping[str, Any]) -> Any:
    """Return a request that names what was recorded in full, where it named anything."""
    if not isinstance(request, dict):
        return request
    options = request.get("options") or {}
    solve = {name: value for name, value in options.items() if name in (method.get("solve") or {})}
    changed: dict[str, Any] = {"options": solve} if "options" in request else {}
    if request.get("solver") is not None or options.keys() - solve.keys():
        changed["solver"] = spec_of(method["solver"])
    if request.get("adjoint") is not None:
        changed["adjoint"] = spec_of(method["adjoint"])
    if request.get("fallback"):
        changed["fallback"] = [spec_of(each) for each in method["fallback"]]
    return {**request, **changed}


def _respelled(table: Mapping[str, Respell], chosen: Mapping[str, Any], forward: Mapping[str, Any]) -> dict[str, Any]:
    name, options = str(chosen.get("name")), dict(chosen.get("options") or {})
    if name not in table:
        return dict(chosen)
    return {**chosen, "name": RENAMED.get(name, name), "options": table[name](options, forward)}


def _renamed(names: Mapping[str, str], others: str = "{}") -> Respell:
    """Return the respelling that renames options: those in `names`, and the others by a format."""
    return lambda options, _: {names.get(old, others.format(old)): value for old, value in options.items()}


def _of_gmres(options: Options, forward: Mapping[str, Any]) -> Options:
    """Respell `linear_solver=batched,restart=20`."""
    chosen, restart = options.pop("linear_solver", "batched"), int(options.pop("restart", 20))
    # An iteration of BiCGStab has two products.
    limit, value = ("products", max(restart, 2)) if chosen == "bicgstab" else ("restart", restart)
    return {"linear_solver": "gmres" if chosen == "batched" else chosen, f"linear_solver.{limit}": value, **options}


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

SOLVERS: dict[str, Respell] = {
    "newton-gmres": _of_gmres,
    **dict.fromkeys(("auto", "pseudo-transient"), _renamed({"restart": "linear_solver.restart"})),
    "vcabm": _renamed({"max_order": "integrator.max_order"}),
    # What was not of the steady state was of the library's integrator.
    **dict.fromkeys(_LIBRARIES, _renamed(_STEADY, others="integrator.{}")),
}
"""Solvers of old records by name."""

ADJOINTS: dict[str, Respell] = {"gmres": _of_gmres, "implicit": _of_implicit, "ode-adjoint": _of_ode_adjoint}
"""Adjoints of old records by name."""

RENAMED = {"gmres": "implicit", "ode-adjoint": "implicit"}
"""Those whose name is another today."""

"""SciPy's root finders and time steppers as equilib plugins, on the host: each sample is a call of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from equilib.plugin import TIME_STEPS, Capabilities, IntegratorEntry, SolverEntry, hookimpl

EVERY = (
    " The states travel to the host and back with every evaluation, and SciPy computes in float64; f is evaluated once "
    "for all samples, on its own device and in its own dtype."
)


def _root(name: str, factory: str, summary: str, advice: str, **capabilities: Any) -> SolverEntry:
    return SolverEntry(
        name=f"scipy:{name}",
        factory=f"equilib_scipy.{factory}",
        summary=summary,
        advice=advice + EVERY,
        capabilities=Capabilities(**capabilities),
    )


ROOTS = (
    _root(
        "hybr",
        "minpack:Hybr",
        "SciPy's hybr: Powell's hybrid method with a dense Jacobian, from MINPACK",
        "The most dependable of SciPy's for small states, also where f is expansive. Each Jacobian costs a product "
        "J·v per element of z, and memory and work grow with the square and the cube of their number, so images are "
        "out of reach: `largest` says where it refuses. It needs few evaluations otherwise. Where J·v is not to be "
        "had, set `jacobian=difference`.",
        needs_jvp=True,
    ),
    _root(
        "lm",
        "minpack:LevenbergMarquardt",
        "SciPy's lm: Levenberg-Marquardt with a dense Jacobian, from MINPACK",
        "For small states where `scipy:hybr` fails, or where I − J is singular. It makes a Jacobian in every step, and "
        "may end in a minimum of ‖f(z) − z‖ that is no fixed point; the status then is that it stalled. A smaller "
        "`factor` keeps it near the initial guess.",
        needs_jvp=True,
    ),
    _root(
        "broyden1",
        "nonlin:Broyden1",
        "SciPy's broyden1: Broyden's good method with a line search",
        "To compare with `broyden` and `lbroyden`, which do the same with less overhead. It keeps every update: give a "
        "`max_rank` where memory counts. If it wanders, lower `alpha`.",
    ),
    _root(
        "broyden2",
        "nonlin:Broyden2",
        "SciPy's broyden2: Broyden's bad method with a line search",
        "Now and then better than `scipy:broyden1`, more often worse. It keeps every update: give a `max_rank` where "
        "memory counts. If it wanders, lower `alpha`.",
    ),
    _root(
        "anderson",
        "nonlin:Anderson",
        "SciPy's anderson: Anderson mixing with a line search",
        "To compare with `anderson`, which has less overhead and a better scaled regularization. For contractions; on "
        "rotations raise `memory`. If it stalls, lower `regularization`.",
    ),
    _root(
        "linearmixing",
        "nonlin:LinearMixing",
        "SciPy's linearmixing: damped Picard iteration with a line search",
        "A baseline: it converges where Picard iteration does and, thanks to the line search, somewhat beyond. Lower "
        "`alpha` where f is expansive with negative eigenvalues.",
    ),
    _root(
        "diagbroyden",
        "nonlin:DiagBroyden",
        "SciPy's diagbroyden: Broyden's method with a diagonal Jacobian",
        "For maps that act almost element by element; elsewhere hardly better than `scipy:linearmixing`, and not "
        "dependable. Lower `alpha` first.",
    ),
    _root(
        "excitingmixing",
        "nonlin:ExcitingMixing",
        "SciPy's excitingmixing: damped Picard iteration with a step per element",
        "A heuristic from electronic structure codes, for maps that act almost element by element. Not dependable; "
        "lower `alpha` and `largest_alpha` first.",
    ),
    _root(
        "krylov",
        "nonlin:Krylov",
        "SciPy's krylov: Newton-Krylov with products by difference quotients",
        "The one of SciPy's for large states: it needs no derivative, and converges where f is expansive. Every "
        "product costs an evaluation, up to `inner_steps` of them in a step. `newton-gmres` has exact products for "
        "about the same price and is the better choice where J·v is to be had. In float32 expect no residual below "
        "about 1e-5 of z.",
    ),
    _root(
        "df-sane",
        "dfsane:DFSane",
        "SciPy's df-sane: the spectral residual method, without derivatives or memory",
        "For huge states: it keeps a few vectors and costs about one evaluation per step. Slow on rotations and on "
        "badly conditioned maps. It never gives up before max_steps, which has to be some hundreds. If it runs away, "
        "lower `longest_step`.",
        least_steps=100,
    ),
)


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Return `scipy:METHOD` for the methods of `scipy.optimize.root`."""
    return ROOTS


STEADY = {"step_rtol": 0.01, "first_step": 0.5}
"""What suits them as solvers: as the tolerance of SciPy's steps does not follow the residual at once, a smaller one."""

IMPLICIT = ("LSODA", "BDF", "Radau")

INTEGRATORS = (
    (
        "RK45",
        5,
        "SciPy's RK45: Dormand & Prince's method of order 5",
        "To compare with `dopri5`, which is the same method with less overhead: six evaluations a step.",
    ),
    (
        "DOP853",
        8,
        "SciPy's DOP853: Dormand & Prince's method of order 8",
        "For high accuracy: twelve evaluations a step. Its order does not pay on the way to a steady state, but it is "
        "stable at long steps.",
    ),
    (
        "LSODA",
        12,
        "SciPy's LSODA: Adams methods, and BDF where the equation is stiff",
        "Where it is not known whether the equation is stiff: cheap steps of one or two evaluations, and a change to "
        "an implicit method, with dense Jacobians, where it is. Before SciPy 1.17 its samples are integrated one after "
        "the other.",
    ),
    (
        "BDF",
        5,
        "SciPy's BDF: backward differentiation formulas of order 1 to 5",
        "For small stiff equations, and small states with some eigenvalues far to the left, where explicit steppers "
        "crawl: implicit, with dense Jacobians.",
    ),
    (
        "Radau",
        5,
        "SciPy's Radau: the implicit Runge-Kutta method Radau IIA of order 5",
        "For small stiff equations at higher accuracy than `scipy:bdf`, and with fast rotations: fewer, dearer steps.",
    ),
)

EVERY_INTEGRATION = (
    " The state travels to the host and back with every evaluation, and SciPy computes in float64, with its own error "
    "norm; f keeps its device and dtype. There is no discrete adjoint."
)


@hookimpl
def equilib_integrators() -> Iterable[IntegratorEntry]:
    """Yield `scipy:METHOD` for the steppers of `scipy.integrate`."""
    for method, order, summary, advice in INTEGRATORS:
        yield IntegratorEntry(
            name=f"scipy:{method.lower()}",
            factory=f"equilib_scipy.integrators:{method}",
            summary=summary,
            advice=advice + EVERY_INTEGRATION,
            order=order,
            steady=STEADY,
            capabilities=Capabilities(needs_jvp=method in IMPLICIT, least_steps=TIME_STEPS),
        )

"""ODE integrators as an equilib plugin: for initial value problems, and as fixed-point solvers."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import Capabilities, IntegratorEntry, SensitivityEntry, SolverEntry, hookimpl

ADVICE = (
    "It follows the flow z' = f(z) − z to where it stands still, so it converges wherever the eigenvalues λ of the "
    "Jacobian have Re λ < 1: also where f is expansive and Picard iteration diverges. Where f contracts, it needs "
    "several times the evaluations of Picard or Anderson iteration. Allow it max_steps of 50 or more. If it wanders, "
    "lower step_rtol."
)

LEAST_STEPS = 100
"""A time step is at most a few of the flow's time units, of which a solve takes seven or more."""


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield one solver per integrator: the steady state of z' = f(z) − z."""
    for name, factory, summary in (
        ("tsit5", "SteadyTsit5", "Steady state of z' = f(z) − z by Tsitouras' Runge-Kutta method of order 5"),
        ("dopri5", "SteadyDopri5", "Steady state of z' = f(z) − z by Dormand & Prince's method of order 5"),
        ("bs3", "SteadyBS3", "Steady state of z' = f(z) − z by Bogacki & Shampine's method of order 3"),
        ("vcab3", "SteadyVCAB3", "Steady state of z' = f(z) − z by variable-step Adams-Bashforth of order 3"),
        ("vcabm", "SteadyVCABM", "Steady state of z' = f(z) − z by Adams-Bashforth-Moulton of variable order"),
    ):
        yield SolverEntry(
            name=name,
            factory=f"equilib_ode.solvers:{factory}",
            summary=summary,
            advice=ADVICE,
            capabilities=Capabilities(least_steps=LEAST_STEPS),
            adjoint="implicit",
        )


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield the adjoint `ode-adjoint`."""
    yield SensitivityEntry(
        name="ode-adjoint",
        factory="equilib_ode.adjoint:OdeAdjoint",
        summary="Integrate λ' = Jᵀλ − λ + g to its steady state",
        advice=(
            "The adjoint in the manner of the ODE solvers: it converges wherever they do. The default, implicit, "
            "solves the same equation by GMRES in far fewer products; choose this one to compare."
        ),
        exact=True,
    )


@hookimpl
def equilib_integrators() -> Iterable[IntegratorEntry]:
    """Yield the integrators."""
    yield IntegratorEntry(
        name="tsit5",
        factory="equilib_ode.tsit5:Tsit5",
        summary="Tsitouras' Runge-Kutta method of order 5, six evaluations a step",
        advice="The default for smooth equations that are not stiff.",
        order=5,
    )
    yield IntegratorEntry(
        name="dopri5",
        factory="equilib_ode.dopri5:Dopri5",
        summary="Dormand & Prince's Runge-Kutta method of order 5, six evaluations a step",
        advice="The classic: compare with it. Tsitouras' method needs somewhat fewer steps.",
        order=5,
    )
    yield IntegratorEntry(
        name="bs3",
        factory="equilib_ode.bs3:BogackiShampine3",
        summary="Bogacki & Shampine's Runge-Kutta method of order 3, three evaluations a step",
        advice="For loose tolerances, where a method of order 5 has no use for its order.",
        order=3,
    )
    yield IntegratorEntry(
        name="vcab3",
        factory="equilib_ode.vcab3:VCAB3",
        summary="Adams-Bashforth of order 3, one evaluation per accepted step and none per rejected one",
        advice=(
            "For an expensive right-hand side at loose tolerances. Its steps are short: on decaying solutions "
            "stability bounds them by 6/11 of the fastest time constant."
        ),
        order=3,
    )
    yield IntegratorEntry(
        name="vcabm",
        factory="equilib_ode.vcabm:VCABM",
        summary="Adams-Bashforth-Moulton of variable order up to 13, two evaluations per accepted step",
        advice="For high accuracy, or an expensive right-hand side; it needs the fewest evaluations below 1e-6.",
        order=13,
    )

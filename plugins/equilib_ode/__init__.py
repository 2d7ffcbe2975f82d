"""ODE integrators as an equilib plugin: for initial value problems and, by their steady states, fixed points."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import (
    STEADY_STATE,
    TIME_STEPS,
    Capabilities,
    IntegratorEntry,
    SensitivityEntry,
    SolverEntry,
    hookimpl,
)


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield `steady`, the solver that any integrator makes."""
    yield SolverEntry(
        name="steady",
        factory="equilib.ode.steady_state:SteadyState",
        summary="Steady state of z' = f(z) − z by any integrator, as in steady:integrator=vcabm",
        advice=f"{STEADY_STATE} Every integrator is a solver of its own name, too, with the options that suit it.",
        capabilities=Capabilities(least_steps=TIME_STEPS),
    )


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield `ode-adjoint`."""
    yield SensitivityEntry(
        name="ode-adjoint",
        factory="equilib.adjoints.implicit:ImplicitAdjoint",
        summary="Integrate λ' = Jᵀλ − λ + g to its steady state: implicit:solver=tsit5,max_steps=500",
        advice=(
            "The adjoint in the manner of the ODE solvers: it converges wherever they do. `implicit` with its linear "
            "solver solves the same equation in far fewer products; choose this one to compare. For another integrator "
            "write `implicit:solver=vcabm,max_steps=500`."
        ),
        preset={"solver": "tsit5", "max_steps": 500},
    )


IMPLICIT = Capabilities(least_steps=TIME_STEPS, needs_jvp=True)

INTEGRATORS = (
    IntegratorEntry(
        name="tsit5",
        factory="equilib_ode.tsit5:Tsit5",
        summary="Tsitouras' Runge-Kutta method of order 5, six evaluations a step",
        advice="The default for smooth equations that are not stiff.",
        order=5,
    ),
    IntegratorEntry(
        name="dopri5",
        factory="equilib_ode.dopri5:Dopri5",
        summary="Dormand & Prince's Runge-Kutta method of order 5, six evaluations a step",
        advice="The classic: compare with it. Tsitouras' method needs somewhat fewer steps.",
        order=5,
    ),
    IntegratorEntry(
        name="bs3",
        factory="equilib_ode.bs3:BogackiShampine3",
        summary="Bogacki & Shampine's Runge-Kutta method of order 3, three evaluations a step",
        advice="For loose tolerances, where a method of order 5 has no use for its order.",
        order=3,
    ),
    IntegratorEntry(
        name="vcab3",
        factory="equilib_ode.vcab3:VCAB3",
        summary="Adams-Bashforth of order 3, one evaluation per accepted step and none per rejected one",
        advice=(
            "For an expensive right-hand side at loose tolerances. Its steps are short: on decaying solutions "
            "stability bounds them by 6/11 of the fastest time constant."
        ),
        order=3,
        # Its controller keeps the errors at a small part of this.
        steady={"step_rtol": 0.1},
    ),
    IntegratorEntry(
        name="vcabm",
        factory="equilib_ode.vcabm:VCABM",
        summary="Adams-Bashforth-Moulton of variable order up to 13, two evaluations per accepted step",
        advice="For high accuracy, or an expensive right-hand side; it needs the fewest evaluations below 1e-6.",
        order=13,
    ),
    IntegratorEntry(
        name="kencarp47",
        factory="equilib_ode.kencarp47:KenCarp47",
        summary="Kennedy & Carpenter's L-stable method of order 4 with six implicit stages, for stiff equations",
        advice=(
            "For stiff equations, where the steps of an explicit method follow the fastest time constant long after it "
            "has decayed. It needs J·v: small samples are solved by LU, others by GMRES."
        ),
        order=4,
        capabilities=IMPLICIT,
    ),
    IntegratorEntry(
        name="bdf",
        factory="equilib_ode.bdf:BDF",
        summary="Backward differentiation formulas of order 1 to 5, some two evaluations a step, for stiff equations",
        advice=(
            "For stiff equations with an expensive right-hand side: it needs the fewest evaluations. Where "
            "J has large imaginary eigenvalues, take `kencarp47`."
        ),
        order=5,
        capabilities=IMPLICIT,
    ),
    IntegratorEntry(
        name="auto",
        factory="equilib_ode.auto:Auto",
        summary="tsit5, or kencarp47 where a sample turns out to be stiff",
        advice=(
            "Where it is not known whether the equation is stiff, or only parts of it are: a sample changes its method "
            "when its steps are bounded by stability for a while, and back."
        ),
        order=4,
        solves=False,  # of that name there is another
    ),
    *(
        IntegratorEntry(
            name=factory.lower(),
            factory=f"equilib_ode.fixed_steps:{factory}",
            summary=f"{method} in equal steps, {evaluations} a step",
            advice="For a given number of `steps`, whatever the error: no tolerance is asked for, and none is kept.",
            order=order,
            solves=False,  # no step of theirs follows the residual
        )
        for factory, method, evaluations, order in (
            ("Euler", "Euler's method of order 1", "one evaluation", 1),
            ("Midpoint", "The explicit midpoint rule of order 2", "two evaluations", 2),
            ("RK4", "The classical Runge-Kutta method of order 4", "four evaluations", 4),
        )
    ),
)


@hookimpl
def equilib_integrators() -> Iterable[IntegratorEntry]:
    """Yield the integrators."""
    return INTEGRATORS

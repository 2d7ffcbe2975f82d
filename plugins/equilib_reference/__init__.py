"""The core's own solver, sensitivities and optimizer, registered like everybody else's."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import OptimizerEntry, SensitivityEntry, SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `picard`."""
    yield SolverEntry(
        name="picard",
        factory="equilib.fixed_points.picard:Picard",
        summary="Damped fixed-point iteration z ← f(z)",
        advice=(
            "The cheapest step there is: one evaluation of f. It converges where f contracts, at the rate of the "
            "spectral radius of its Jacobian, and diverges where that exceeds one. Use it as the baseline; where it "
            "needs more than some 15 steps, a method with memory needs fewer."
        ),
    )


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield the core's sensitivities."""
    yield SensitivityEntry(
        name="implicit",
        factory="equilib.adjoints.implicit:ImplicitAdjoint",
        summary="Solve w = Jᵀw + g at the fixed point, by a linear solver or by any solver",
        advice=(
            "The gradient of the fixed point, for any forward solver. GMRES keeps an array for each product Jᵀ·w of a "
            "cycle; `linear_solver=bicgstab` needs a handful, but converges less smoothly. `solver=NAME` iterates on "
            "the equation with any solver instead, as in `implicit:solver=anderson,solver.memory=3`; it converges "
            "where that solver would on f near the fixed point."
        ),
    )
    yield SensitivityEntry(
        name="jacobian-free",
        factory="equilib.adjoints.jacobian_free:JacobianFree",
        summary="Take w = g, as if the Jacobian were zero",
        exact=False,
    )
    yield SensitivityEntry(
        name="unrolled",
        factory="equilib.adjoints.unrolled:Unrolled",
        summary="Differentiate Picard iteration from the initial guess",
        advice=(
            "The gradient of `depth` iterations, and of the fixed point where they converge; they start at the initial "
            "guess, so it also has a gradient. Memory does not grow with the depth: few iterates are kept and steps "
            "evaluated again. Where memory is plentiful, `checkpoints=none` evaluates each step once. Take `implicit` "
            "where Picard iteration is slow."
        ),
        exact=False,
    )
    for name, summary, advice in ODE_ADJOINTS:
        factory = f"equilib.ode.adjoints:{name.title()}"
        yield SensitivityEntry(name=name, factory=factory, summary=summary, advice=advice, solves="ode")


ODE_ADJOINTS = (
    (
        "interpolating",
        "Integrate λ' = −(∂f/∂y)ᵀ λ backward beside the interpolated solution",
        "The default: dependable, and exact up to the tolerance. It keeps the solution of every step.",
    ),
    (
        "gauss",
        "Integrate λ backward, and the cotangents of the parameters by Gauss's quadrature",
        "Cheaper than `interpolating` where there are many parameters; it keeps the solution of every step.",
    ),
    (
        "backsolve",
        "Integrate y, λ and the cotangents of the parameters backward together",
        "It keeps nothing but the solution at the output times; but where the flow contracts, its reverse drifts away: "
        "prefer `interpolating` there.",
    ),
    (
        "discrete",
        "Carry the cotangent back through each step that was taken",
        "The gradient of the computed solution, whatever the tolerance; not for the integrators of libraries, whose "
        "steps are out of sight.",
    ),
)


@hookimpl
def equilib_optimizers() -> Iterable[OptimizerEntry]:
    """Yield `adam` and `adamw`."""
    yield OptimizerEntry(
        name="adam",
        factory="equilib.training.optimizers:Adam",
        summary="Adam with decoupled weight decay",
        advice="The first choice; `weight_decay` is AdamW's, relative to the learning rate.",
    )
    yield OptimizerEntry(
        name="adamw",
        factory="equilib.training.optimizers:Adam",
        summary="Adam with a decoupled weight decay of 0.01",
        advice="`adam` with what PyTorch's AdamW decays by default; biases and scales are left alone.",
        preset={"weight_decay": 0.01},
    )

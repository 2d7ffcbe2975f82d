"""Gradients of an integration with all there is, by every integrator and every adjoint, beside differences.

Three balls fall with a drag that jumps at a time, the stop, from heights and speeds that are a tree; they end on a
floor that rises, a terminal event, and their highest points are another event. The loss has times and states of both
events, the states at the end, and one in between. Its derivative along a direction of each input alone (the initial
state and time, gravity, the two drags, the floor's height and speed) is compared with central differences of tsit5 at
1e-12; the table has the largest deviation, relative to the sum of what the elements contribute where that is more than
1. Tolerances are 1e-9, of methods of order 3 1e-8; rk4 takes 1,000 steps. Nothing is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.ode import Event, FixedStepIntegrator, LibraryIntegrator, OdeOptions
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib.plugin import IntegratorEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry
from equilib_ode.tsit5 import Tsit5

RESULT = Path(__file__).parent / "results" / "ode_gradients.md"
NOTES = """
What is left of 1.4e-7 is the differences' own.
"""

WAYS = (Interpolating(), Gauss(), Backsolve(), Discrete())
STOP = 0.35
AT: dict[str, np.ndarray] = {
    "height": np.array([1.0, 2.0, 5.0]),
    "speed": np.array([[0.3], [1.0], [-3.0]]),
    "t0": np.array(0.1),
    "gravity": np.array(9.81),
    "drag": np.array([0.02, 0.05]),
    "floor": np.array([0.0, 0.1, -0.2]),
    "rise": np.array(0.3),
}
_rng = np.random.default_rng(1)
DIRECTION = {name: _rng.uniform(0.5, 1.5, value.shape) for name, value in AT.items()}


def main(argv: Sequence[str]) -> None:
    """Differentiate by all, and print or save the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ode_gradients", description=__doc__)
    parser.add_argument("--save", action="store_true", help="write the table to benchmarks/results/ode_gradients.md")
    save = parser.parse_args(argv).save
    expected = differences()
    names = " | ".join(type(way).__name__.lower() for way in WAYS)
    lines = ["# Gradients of integrations\n", f"{__doc__}", f"| integrator | {names} |", "|---|" + "---|" * len(WAYS)]
    for name, integrator in integrators().items():
        errors = [deviation(integrator, way, expected) for way in WAYS]
        lines.append(f"| {name} | " + " | ".join("" if each is None else f"{each:.1e}" for each in errors) + " |")
        print(lines[-1], flush=True)
    if save:
        RESULT.write_text("\n".join(lines) + "\n" + NOTES)
        print(f"written to {RESULT}")


def integrators() -> dict[str, Any]:
    """Return what is installed, but what takes equal steps only where its order is 4."""
    registry = Registry.discover()
    entries = [each.entry for each in registry.provided(IntegratorEntry)]
    found = {
        each.name: build_named(registry, IntegratorEntry, each.name).part for each in entries if not each.unavailable
    }
    return {
        name: replace(each, steps=1000) if isinstance(each, FixedStepIntegrator) else each
        for name, each in found.items()
        if not isinstance(each, FixedStepIntegrator) or each.order >= 4
    }


def loss(at: dict[str, Any], integrator: Any, way: Any, tolerance: float) -> Any:
    """Return the loss at inputs, traced or not."""

    def fall(t: Any, y: Any, gravity: Any, drag: Any) -> Any:
        speed = y["speed"]
        late = (np.reshape(np.asarray(t), (-1, 1)) >= STOP) * np.ones_like(AT["speed"])
        pull = ops.add(drag[0] * (1 - late), drag[1] * late)
        return {"height": speed[:, 0], "speed": -gravity - pull * speed * speed * speed}

    events = [
        Event(lambda t, y, floor, rise: y["height"] - floor - rise * t, at["floor"], at["rise"]),
        Event(lambda t, y: y["speed"][:, 0], direction=-1, terminal=False),
    ]
    options = OdeOptions(rtol=tolerance, atol=tolerance, per_sample=True, max_steps=10**6)
    how: dict[str, Any] = {"adjoint": way, "options": options, "stops": (STOP,), "events": events}
    start = {name: at[name] for name in ("height", "speed")}
    found = evolve(fall, start, [at["t0"], 0.4, 5.0], at["gravity"], at["drag"], integrator=integrator, **how)
    floor, top = found.events
    total = ops.sum(ops.sin(floor.t[0])) + ops.sum(0.5 * floor.y["speed"][0]) + ops.sum(ops.cos(found.state["speed"]))
    return total + ops.sum(found.y["height"][1][1:]) + ops.sum(top.t[0][:2]) + ops.sum(top.y["height"][0][:2])


def differences() -> dict[str, float]:
    """Return the derivative along the direction of each input alone."""
    derivatives = {}
    for name in AT:
        ends = [AT | {name: AT[name] + step * DIRECTION[name]} for step in (1e-5, -1e-5)]
        more, less = (float(loss(end, Tsit5(), Discrete(), 1e-12)) for end in ends)
        derivatives[name] = (more - less) / 2e-5
    return derivatives


def deviation(integrator: Any, way: Any, expected: dict[str, float]) -> float | None:
    """Return the largest relative deviation from what is expected; None where a library's steps are out of sight."""
    if isinstance(way, Discrete) and isinstance(integrator, LibraryIntegrator):
        return None
    tolerance = 1e-8 if integrator.order == 3 else 1e-9
    gradient = value_and_grad(lambda at: loss(at, integrator, way, tolerance))(AT)[1]
    parts = {name: gradient[name] * DIRECTION[name] for name in AT}
    return max(
        abs(float(np.sum(part)) - expected[name]) / max(1.0, float(np.sum(np.abs(part))))
        for name, part in parts.items()
    )

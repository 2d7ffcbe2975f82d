"""Stiff neural ODEs in JAX with diffrax, as its experts would write them: run by `benchmarks.stiff_node`.

Kvaerno5 as in diffrax's example of a stiff equation, or with Newton's method as on its page on root finders; samples
have steps of their own by `jax.vmap`. Everything is compiled ahead of time, and the time of that is reported.
"""

from __future__ import annotations

from importlib.metadata import version
from time import perf_counter
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import optimistix

from benchmarks.peers.exchange import Arrays, hand_back, receive
from benchmarks.peers.stopwatch import seconds

Params = dict[str, jax.Array]
PARAMETERS = ("weight1", "bias1", "weight2", "bias2")


def main() -> None:
    """Compile and time every case; return solutions, gradients, counts and times."""
    folder, arrays, settings = receive()
    jax.config.update("jax_enable_x64", True)  # noqa: FBT003 - JAX's signature
    found: Arrays = {}
    report: dict[str, Any] = {}
    for case in settings["cases"]:
        constants = {name: jnp.asarray(arrays[f"{case}/{name}"]) for name in ("rates", "leak", "y0", "t")}
        params = {name: jnp.asarray(arrays[f"{case}/{name}"]) for name in PARAMETERS}
        results, report[case] = _measure(params, constants, settings)
        found |= {f"{case}/{name}": each for name, each in results.items()}
    hand_back(
        folder, found, {"cases": report, "versions": {name: version(name) for name in ("jax", "diffrax", "optimistix")}}
    )


def _measure(params: Params, constants: Params, settings: dict[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    def forward(params: Params, y0: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        return _solve(params, constants, y0, settings)

    def loss(params: Params, y0: jax.Array) -> jax.Array:
        return jnp.mean(forward(params, y0)[0] ** 2)

    y0, begun = constants["y0"], perf_counter()
    solve = jax.jit(forward).lower(params, y0).compile()
    gradient_of = jax.jit(jax.grad(loss)).lower(params, y0).compile()
    compile_seconds = perf_counter() - begun
    (y, stats), gradient = solve(params, y0), gradient_of(params, y0)
    results = {"slope": _field(params, constants, y0), "y": y, **gradient}
    steps = {
        name: int(jnp.max(stats[key]))
        for name, key in (("accepted", "num_accepted_steps"), ("rejected", "num_rejected_steps"))
    }
    times = {
        "forward": seconds(lambda: jax.block_until_ready(solve(params, y0)), settings["repeats"]),
        "gradient": seconds(lambda: jax.block_until_ready(gradient_of(params, y0)), settings["repeats"]),
    }
    figures = {**steps, "nfe": None, "njvp": None, "vjp": None, "compile_seconds": compile_seconds, **times}
    return {name: jax.device_get(each) for name, each in results.items()}, figures


def _solve(
    params: Params, constants: Params, y0: jax.Array, settings: dict[str, Any]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return y at the output times, shape (times, batch, size), and diffrax's statistics."""
    tolerances = {name: settings[name] for name in ("rtol", "atol")}
    times, solver = constants["t"], diffrax.Kvaerno5()
    if settings["newton"]:
        solver = diffrax.Kvaerno5(root_finder=optimistix.Newton(rtol=1e-8, atol=1e-8))

    def one(y0: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, params: _field(params, constants, y)),
            solver,
            times[0],
            times[-1],
            None,
            y0,
            params,
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=diffrax.PIDController(**tolerances),
            adjoint=diffrax.RecursiveCheckpointAdjoint(settings["checkpoints"]),
            max_steps=settings["max_steps"],
        )
        return solution.ys, solution.stats

    if len(y0) == 1:  # without what vmap makes of a loop's condition
        y, stats = one(y0[0])
        return y[:, None], stats
    y, stats = jax.vmap(one)(y0)
    return jnp.swapaxes(y, 0, 1), stats


def _field(params: Params, constants: Params, y: jax.Array) -> jax.Array:
    hidden = jnp.tanh(y @ params["weight1"] + params["bias1"])
    return constants["rates"] * (hidden @ params["weight2"] + params["bias2"] - constants["leak"] * y)


if __name__ == "__main__":
    main()

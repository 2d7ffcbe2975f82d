"""Our contestant and jaxopt in `benchmarks.embed_jax`: one process, in turn."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchmarks.peers.exchange import hand_back, receive
from benchmarks.peers.stopwatch import microseconds

Layer = Callable[[Any, Any], tuple[Any, Any]]
"""W and u to z, and how often f was evaluated."""


def main() -> None:
    """Time all pairs of solvers on both states, and return times, evaluations and residuals."""
    folder, arrays, settings = receive()
    sys.path.append(settings["packages"])  # JAX and jaxopt, where our environment has none
    if settings.get("at_once"):
        _at_once()
    figures: dict[str, Any] = {}
    unreached: list[str] = []
    for state, tolerance in settings["tolerances"].items():
        f, given = _map(state), (arrays[f"{state}_weight"], arrays[f"{state}_injection"])
        for name, peer in settings["solvers"].items():
            title, theirs = f"{state}, {name} / {peer}", _theirs(f, peer, given, tolerance)
            if theirs is None:
                unreached.append(title)
                continue
            figures |= _pair(title, f, (_ours(f, name, tolerance), theirs), given, tolerance, settings["alternations"])
    versions = {name: version(name) for name in ("equilib", "jax", "jaxopt")}
    hand_back(folder, {}, {"figures": figures, "unreached": unreached, "versions": versions})


def _at_once() -> None:
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", val=False)


def _map(state: str) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    layout = ("NHWC", "HWIO", "NHWC")
    if state == "dense":
        return lambda z, weight, u: jnp.tanh(z @ weight + u)
    return lambda z, weight, u: jnp.tanh(
        jax.lax.conv_general_dilated(z, weight, (1, 1), "SAME", dimension_numbers=layout) + u
    )


def _ours(f: Callable[..., Any], name: str, tolerance: float) -> Layer:
    import jax.numpy as jnp

    from equilib.jax import equilibrium

    def layer(weight: Any, u: Any) -> tuple[Any, Any]:
        found = equilibrium(f, jnp.zeros_like(u), weight, u, solver=name, rtol=tolerance)
        return found.z, found.solution.nfe

    return layer


def _theirs(f: Callable[..., Any], peer: str, given: tuple[Any, Any], tolerance: float) -> Layer | None:
    """Return a solver of jaxopt's with the loosest tolerance, in halves, that holds each sample to ours, or None."""
    import jax
    import jax.numpy as jnp
    import jaxopt

    def layer(tol: float, how: dict[str, float]) -> Layer:
        residual = lambda z, weight, u: f(z, weight, u) - z  # noqa: E731
        solver = getattr(jaxopt, peer)(residual if peer == "Broyden" else f, maxiter=50, tol=tol, **how)

        def run(weight: Any, u: Any) -> tuple[Any, Any]:
            found = solver.run(jnp.zeros_like(u), weight, u)
            return found.params, found.state.iter_num

        return run

    # Full steps, as ours, or a line search, which fails to reach the tolerance at all on the small state.
    for how in [{"stepsize": 1.0}, {}] if peer == "Broyden" else [{}]:
        for halves in range(12):
            made = layer(tolerance * given[1].size ** 0.5 / 2**halves, how)
            if _excess(f, jax.jit(made)(*given)[0], given, tolerance) <= 1:
                return made
    return None


def _excess(f: Callable[..., Any], z: Any, given: tuple[Any, Any], tolerance: float) -> float:
    """Return the largest residual of a sample, over the tolerance."""
    import jax.numpy as jnp

    size = lambda x: jnp.sqrt(jnp.mean(x**2, axis=tuple(range(1, x.ndim))))  # noqa: E731
    return float(jnp.max(size(f(z, *given) - z) / size(z)) / tolerance)


def _pair(
    name: str,
    f: Callable[..., Any],
    layers: tuple[Layer, Layer],
    given: tuple[Any, Any],
    tolerance: float,
    alternations: int,
) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    at = tuple(map(jnp.asarray, given))
    forward = [jax.jit(layer) for layer in layers]
    gradient = [
        jax.jit(jax.grad(lambda w, u, layer=layer: jnp.sum(layer(w, u)[0] ** 2), argnums=(0, 1))) for layer in layers
    ]
    found = [run(*at) for run in forward]
    told = {
        "nfe": [int(count) for _, count in found],
        "residuals": [_excess(f, z, given, tolerance) for z, _ in found],
    }

    def times(runs: list[Any]) -> list[list[float]]:
        timed = [lambda run=run: jax.block_until_ready(run(*at)) for run in runs]
        return [[microseconds(each, 3) for each in timed] for _ in range(alternations)]

    return {f"{name}, forward": {"us": times(forward), **told}, f"{name}, gradient": {"us": times(gradient), **told}}


if __name__ == "__main__":
    main()

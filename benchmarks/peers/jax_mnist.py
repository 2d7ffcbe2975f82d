"""The MNIST tutorial in JAX, as its experts would write it: run by `benchmarks.mnist`.

Everything is compiled ahead of time, and the time of that is reported. Anderson mixing is written by hand, as no
maintained library of JAX has it; the implicit adjoint is solved by the same method. Kernels of the cell are applied as
matrix products, the fastest of XLA's ways on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from benchmarks.peers.exchange import Arrays, hand_back, receive

CHANNELS, CHECKED = 64, 100
MEMORY, RIDGE = 5, 1e-8

Params = dict[str, jax.Array]
Solve = Callable[..., tuple[jax.Array, jax.Array]]


def main() -> None:
    """Compile, train, and return the record of the epochs, the parameters and some equilibria."""
    folder, arrays, settings = receive()
    params = {name: jnp.asarray(array) for name, array in arrays.items() if name.startswith("params/")}
    data = {name: jnp.asarray(array) for name, array in arrays.items() if not name.startswith("params/")}
    optimizer = optax.adam(settings["rate"])
    state = optimizer.init(params)
    solve = _anderson_solve(settings)
    begun = perf_counter()
    compiled = {depth: _compile(solve, optimizer, depth, params, state, data) for depth in (settings["depth"], 0)}
    compile_seconds = perf_counter() - begun
    report: dict[str, Any] = {"epochs": [], "compile_seconds": compile_seconds, "versions": _versions()}
    for index, order in enumerate(arrays["order"]):
        pretraining = index < settings["pretrain_epochs"]
        train, test = compiled[settings["depth"] if pretraining else 0]
        start = perf_counter()
        counts = []
        for rows in order:
            params, state, loss, nfe = train(params, state, data["train_images"], data["train_labels"], rows)
            counts.append(nfe)
            if "first_batch_seconds" not in report:
                report["first_batch_seconds"] = loss.block_until_ready() and perf_counter() - start + compile_seconds
        loss.block_until_ready()
        seconds = perf_counter() - start
        nfe, vjp = (float(sum(float(each[i]) for each in counts)) / len(order) for i in range(2))
        right = test(params, data["test_images"], data["test_labels"])
        phase = "pretrain" if pretraining else "train"
        figures = {"nfe": nfe, "njvp": 0.0, "vjp": vjp, "loss": float(loss), "test_accuracy": float(right)}
        report["epochs"].append({"phase": phase, "seconds": seconds, **figures})
    _, z, _, _ = forward(params, data["test_images"][:CHECKED], solve, 0)
    hand_back(folder, _on_host({**params, "z": z}), report)


def _compile(
    solve: Solve, optimizer: optax.GradientTransformation, depth: int, params: Params, state: Any, data: Params
) -> tuple[Any, Any]:
    def loss_of(params: Params, probe: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, z, guess, nfe = forward(params, x, solve, depth, probe)
        loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))
        return loss + 0.01 * jnp.mean((z - guess) ** 2), nfe

    def train(params: Params, state: Any, images: jax.Array, labels: jax.Array, rows: jax.Array) -> tuple[Any, ...]:
        gradient_of = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
        (loss, nfe), (gradient, vjp) = gradient_of(params, jnp.zeros(()), images[rows], labels[rows])
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss, (nfe, vjp)

    def test(params: Params, images: jax.Array, labels: jax.Array) -> jax.Array:
        logits, *_ = forward(params, images, solve, depth)
        return jnp.mean(jnp.argmax(logits, axis=-1) == labels)

    examples = params, state, data["train_images"], data["train_labels"], data["order"][0, 0]
    trained = jax.jit(train, donate_argnums=(0, 1)).lower(*examples).compile()
    tested = jax.jit(test).lower(params, data["test_images"], data["test_labels"]).compile()
    return trained, tested


def forward(
    params: Params, x: jax.Array, solve: Solve, depth: int, probe: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return logits, equilibrium, initial guess and evaluations; a positive `depth` iterates instead of solving.

    The derivative with respect to `probe`, a zero, is the number of vjps of the adjoint.
    """
    part = {name.removeprefix("params/"): value for name, value in params.items()}
    x = jax.nn.gelu(_conv(x, part["before/0/weight"], 1, 0) + part["before/0/bias"], approximate=True)
    x = _group_norm(x, part["before/2/scale"], part["before/2/shift"])
    x = _conv(x, part["before/3/weight"], 2, 1) + part["before/3/bias"]
    u = jnp.tanh(_window_product(x, part["deq/cell/inject/0/weight"]))
    weights = part["deq/cell/recur/0/weight"], part["deq/cell/after/0/weight"]
    # What is made of z = 0 before u is added is the same for every sample.
    guess = z = _cell(weights, jnp.zeros_like(u[:1]), u)
    if depth:
        for _ in range(depth):
            z = _cell(weights, z, u)
        nfe = jnp.asarray(depth, jnp.float32)
    else:
        z, nfe = solve(weights, u, lax.stop_gradient(guess), jnp.zeros(()) if probe is None else probe)
    pooled = jnp.mean(jax.nn.relu(_group_norm(z, part["after/0/scale"], part["after/0/shift"])), axis=(1, 2))
    return pooled @ part["after/3/weight"] + part["after/3/bias"], z, guess, nfe + 1


def _cell(weights: tuple[jax.Array, jax.Array], z: jax.Array, u: jax.Array) -> jax.Array:
    return jnp.tanh(_window_product(jnp.tanh(_window_product(z, weights[0])) + u, weights[1]))


def _conv(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    pads = [(padding, padding)] * 2
    return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _window_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve with a 3×3 kernel, keeping the size, as one matrix product."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(windows, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def _group_norm(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    """Normalize each channel of each image: as many groups as channels."""
    mean, variance = jnp.mean(x, (1, 2), keepdims=True), jnp.var(x, (1, 2), keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + shift


def _anderson_solve(settings: dict[str, Any]) -> Solve:
    run = partial(anderson, tolerance=settings["tolerance"], max_steps=settings["max_steps"])

    @jax.custom_vjp
    def solve(weights: Any, u: jax.Array, z0: jax.Array, probe: jax.Array) -> tuple[jax.Array, jax.Array]:
        return run(lambda z: _cell(weights, z, u), z0)

    def ahead(weights: Any, u: jax.Array, z0: jax.Array, probe: jax.Array) -> tuple[Any, Any]:
        z, nfe = solve(weights, u, z0, probe)
        return (z, nfe), (weights, u, z)

    def back(saved: Any, cotangents: tuple[jax.Array, jax.Array]) -> tuple[Any, ...]:
        weights, u, z = saved
        g = cotangents[0]
        _, pull = jax.vjp(_cell, weights, z, u)
        w, vjp = run(lambda w: pull(w)[1] + g, g)
        towards_weights, _, towards_u = pull(w)
        return towards_weights, towards_u, jnp.zeros_like(z), vjp

    solve.defvjp(ahead, back)
    return solve


def anderson(
    f: Callable[[jax.Array], jax.Array], z0: jax.Array, *, tolerance: float, max_steps: int
) -> tuple[jax.Array, jax.Array]:
    """Anderson mixing with a memory of changes, each sample with its weights; stop when all have converged."""
    batch, size = z0.shape[0], z0[0].size

    def residual(rows: jax.Array) -> jax.Array:
        return f(rows.reshape(z0.shape)).reshape(batch, size) - rows

    def unfinished(carry: tuple[Any, ...]) -> jax.Array:
        steps, z, r, *_ = carry
        missing = jnp.linalg.norm(r, axis=1) > tolerance * jnp.linalg.norm(z, axis=1)
        return jnp.any(missing) & (steps < max_steps)

    def step(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        steps, z, r, moves, changes = carry
        gram = jnp.einsum("bid,bjd->bij", changes, changes)
        scale = jnp.trace(gram, axis1=1, axis2=2)[:, None, None]
        # A place that is still empty gets the weight zero.
        gram = gram + (RIDGE * scale + (jnp.sum(changes**2, -1) == 0)[:, :, None]) * jnp.eye(MEMORY)
        gamma = jnp.linalg.solve(gram, jnp.einsum("bid,bd->bi", changes, r)[..., None])[..., 0]
        new = z + r - jnp.einsum("bi,bid->bd", gamma, moves + changes)
        later = residual(new)
        place = steps % MEMORY
        return steps + 1, new, later, moves.at[:, place].set(new - z), changes.at[:, place].set(later - r)

    first = z0.reshape(batch, size)
    none = jnp.zeros((batch, MEMORY, size), z0.dtype)
    steps, z, *_ = lax.while_loop(unfinished, step, (0, first, residual(first), none, none))
    return z.reshape(z0.shape), jnp.asarray(steps + 1, jnp.float32)


def _on_host(arrays: Params) -> Arrays:
    return {name: jax.device_get(array) for name, array in arrays.items()}


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("jax", "optax")}


if __name__ == "__main__":
    main()

"""The neural-ODE tutorial in JAX with diffrax, as its experts would write it: run by `benchmarks.node`.

The steps are common to the batch, as in the other libraries; everything is compiled ahead of time, and the time of
that is reported.
"""

from __future__ import annotations

from importlib.metadata import version
from time import perf_counter
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import optax

from benchmarks.peers.exchange import hand_back, receive

Params = dict[str, jax.Array]


def main() -> None:
    """Compile, train, and return the record of the epochs."""
    folder, arrays, settings = receive()
    params = {name.removeprefix("params/"): jnp.asarray(each) for name, each in arrays.items() if "params/" in name}
    data = {name: jnp.asarray(array) for name, array in arrays.items() if "params/" not in name}
    optimizer = optax.adam(settings["rate"])
    state = optimizer.init(params)
    begun = perf_counter()
    train, test = _compile(settings, optimizer, params, state, data)
    compile_seconds = perf_counter() - begun
    report: dict[str, Any] = {"epochs": [], "compile_seconds": compile_seconds}
    for order in arrays["order"]:
        start = perf_counter()
        counts = []
        for rows in order:
            params, state, loss, nfe = train(params, state, data["train_images"], data["train_labels"], rows)
            counts.append(nfe)
            if "first_batch_seconds" not in report:
                loss.block_until_ready()
                report["first_batch_seconds"] = compile_seconds + perf_counter() - start
        loss.block_until_ready()
        seconds = perf_counter() - start
        nfe = float(sum(map(float, counts)) / len(order))
        right = float(test(params, data["test_images"], data["test_labels"]))
        # Backward: a vjp for each evaluation where the steps are differentiated; backsolve's are not reported.
        vjp = nfe if settings["adjoint"] == "RecursiveCheckpointAdjoint" else None
        figures = {"nfe": nfe, "njvp": 0.0, "vjp": vjp, "loss": float(loss), "test_accuracy": right}
        report["epochs"].append({"phase": "train", "seconds": seconds, **figures})
    report["versions"] = {name: version(name) for name in ("jax", "diffrax", "optax")}
    hand_back(folder, {}, report)


def _compile(
    settings: dict[str, Any], optimizer: optax.GradientTransformation, params: Params, state: Any, data: Params
) -> tuple[Any, Any]:
    term = diffrax.ODETerm(lambda t, y, params: _right_hand_side(params, y))
    controller = diffrax.PIDController(rtol=settings["rtol"], atol=settings["atol"])
    adjoint = getattr(diffrax, settings["adjoint"])()

    def forward(params: Params, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        flat = x.reshape(len(x), -1)
        y0 = jnp.tanh(flat @ params["before/1/weight"] + params["before/1/bias"])
        solution = diffrax.diffeqsolve(
            term, diffrax.Tsit5(), 0.0, 1.0, None, y0, params, stepsize_controller=controller, adjoint=adjoint
        )
        # Tsit5: six evaluations a step, the first of them kept from the step before, and one at the start.
        return solution.ys[-1] @ params["after/weight"] + params["after/bias"], 6 * solution.stats["num_steps"] + 1

    def loss_of(params: Params, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, nfe = forward(params, x)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y)), nfe

    def train(params: Params, state: Any, images: jax.Array, labels: jax.Array, rows: jax.Array) -> tuple[Any, ...]:
        (loss, nfe), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, images[rows], labels[rows])
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss, nfe

    def test(params: Params, images: jax.Array, labels: jax.Array) -> jax.Array:
        return jnp.mean(jnp.argmax(forward(params, images)[0], axis=-1) == labels)

    examples = params, state, data["train_images"], data["train_labels"], data["order"][0, 0]
    trained = jax.jit(train, donate_argnums=(0, 1)).lower(*examples).compile()
    tested = jax.jit(test).lower(params, data["test_images"], data["test_labels"]).compile()
    return trained, tested


def _right_hand_side(params: Params, y: jax.Array) -> jax.Array:
    for index in (0, 2, 4):
        y = jnp.tanh(y @ params[f"ode/{index}/weight"] + params[f"ode/{index}/bias"])
    return y


if __name__ == "__main__":
    main()

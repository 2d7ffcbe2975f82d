"""Solves in JAX on two devices: inside of `jax.shard_map`, and of sharded arrays."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("jax", reason="JAX is not installed")

BEGIN = """
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from equilib.jax import JitError, fixed_point
from tests.embed.jax.cells import close, f, iterated

keys = jax.random.split(jax.random.key(0), 2)
W, x = 0.2 * jax.random.normal(keys[0], (4, 4)), jax.random.normal(keys[1], (4, 4))
mesh = jax.make_mesh((2,), ("b",), axis_types=(AxisType.Auto,))
layer = lambda W, x: fixed_point(f, jnp.zeros_like(x), W, x, solver="anderson", rtol=1e-11, max_steps=100)
loss = lambda W, x: jnp.sum(jnp.sin(layer(W, x)))
expected = jax.grad(lambda W, x: jnp.sum(jnp.sin(iterated(W, x))), argnums=(0, 1))(W, x)
"""

LAWS = {
    # Rows of the batch on each device: values, gradients and tangents are those of the whole batch.
    "rows": """
part = lambda W, x: jax.lax.psum(loss(W, x), "b")
whole = jax.shard_map(part, mesh=mesh, in_specs=(P(), P("b")), out_specs=P())
assert close(jax.jit(jax.shard_map(layer, mesh=mesh, in_specs=(P(), P("b")), out_specs=P("b")))(W, x), iterated(W, x))
found = jax.jit(jax.grad(whole, argnums=(0, 1)))(W, x)
assert all(map(close, found, expected))
slope = jax.jit(lambda: jax.jvp(whole, (W, x), (W, x))[1])()
assert close(slope, sum(jnp.sum(one * two) for one, two in zip(expected, (W, x))))
""",
    # Columns of the weight on each device, the state the same on all: f may communicate.
    "columns": """
def step(z, W, x):
    return jnp.tanh(jax.lax.psum(z[:, 2 * jax.lax.axis_index("b") + jnp.arange(2)] @ W, "b") + x)
def part(W, x):
    return jnp.sum(jnp.sin(fixed_point(step, jnp.zeros_like(x), W, x, solver="anderson", rtol=1e-11, max_steps=100)))
whole = jax.shard_map(part, mesh=mesh, in_specs=(P("b"), P()), out_specs=P())
found = jax.jit(jax.grad(whole, argnums=(0, 1)))(W, x)
assert all(map(close, found, expected))
""",
    # Devices that would wait for each other for ever are refused.
    "waiting": """
step = lambda z, x: jnp.tanh(0.1 * jax.lax.pmean(z, "b") + x)
part = lambda x: fixed_point(step, jnp.zeros_like(x), x, solver="anderson")
try:
    jax.jit(jax.shard_map(part, mesh=mesh, in_specs=P("b"), out_specs=P("b")))(x)
except JitError as error:
    assert "communicates over the mesh axis 'b'" in str(error)
else:
    raise AssertionError
""",
    # Sharded arrays are solved for under jit and outside; explicit shardings are refused.
    "sharded": """
for spec in (P("b"), P(None, "b")):
    given = jax.device_put(W, NamedSharding(mesh, P())), jax.device_put(x, NamedSharding(mesh, spec))
    for derivative in (jax.grad(loss, argnums=(0, 1)), jax.jit(jax.grad(loss, argnums=(0, 1)))):
        assert all(map(close, derivative(*given), expected))
explicit = jax.make_mesh((2,), ("b",), axis_types=(AxisType.Explicit,))
for solve in (layer, jax.jit(layer)):
    try:
        with jax.set_mesh(explicit):
            solve(W, jax.device_put(x, NamedSharding(explicit, P("b"))))
    except JitError as error:
        assert "AxisType.Auto" in str(error)
    else:
        raise AssertionError
""",
}


@pytest.mark.parametrize("law", LAWS)
def test_on_two_devices(law: str):
    """What is solved for on two devices is what one device finds, in values and derivatives."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_ENABLE_X64": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + LAWS[law]], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]

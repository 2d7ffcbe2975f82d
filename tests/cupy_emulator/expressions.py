"""What the emulator is compared with the real CuPy on: small expressions, by what they say about CuPy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np


def arrays(cp: Any) -> dict[str, Any]:
    """Return the arrays that the expressions use: `a` and `z` on the device, `h` on the host."""
    a = cp.asarray(np.arange(6, dtype="f").reshape(2, 3))
    return {
        "cp": cp,
        "np": np,
        "a": a,
        "z": cp.asarray(np.arange(48, dtype="f").reshape(2, 3, 4, 2)),
        "h": np.ones((2, 3), "f"),
    }


def _assigned(cp: Any, a: Any, index: Any, value: Any) -> Any:
    b = a.copy()
    b[index] = value
    return b


def _added(a: Any, value: Any) -> Any:
    b = a.copy()
    b += value
    return b


E = Callable[..., Any]
EXPRESSIONS: dict[str, E] = {
    text: eval(f"lambda cp, np, a, z, h: {text}", {"copy": copy, "assigned": _assigned, "added": _added})
    for text in """
a + h
h + a
a == h
a < np.array(2)
a * np.array(2.0)
a + 'x'
a == None
a * np.float32(2)
a * 2.0
np.float64(2) * a
2 ** a
a ** 2
a ** 0.5
a // 2
a % 2
-(a > 0)
~(a > 0)
abs(a)
a @ a.T
a @ a[0]
a[0] @ a[0]
a @ 2
z @ z.transpose(0, 1, 3, 2)
z @ cp.ones((2, 5), 'f')
z.transpose(0, 1, 3, 2) @ z
a.T @ a
a[:, ::2] @ a[:, ::2].T
cp.arange(6).reshape(2, 3) @ cp.arange(6).reshape(3, 2)
np.asarray(a)
np.array([a])
np.sum(a)
np.add(a, a)
np.add(a, h)
np.add(a, a, out=h)
np.where(a > 0, a, 0)
np.linalg.norm(a)
np.isfinite(a)
np.stack([a, a])
np.concatenate([a, a])
np.zeros_like(a)
np.vecdot(a, a)
np.shape(a)
np.ndim(a)
np.matmul(a, a.T)
cp.add(a, a, where=a > 0)
cp.add(a, [1])
cp.add.reduce(a, axis=1)
cp.maximum.reduce(a)
cp.concatenate([a, h])
cp.concatenate([a, a], axis=1)
cp.concatenate([a] * 9)
cp.stack([h, h])
cp.stack([a, a], axis=1)
cp.stack([a[0]] * 12)
cp.tanh(h)
cp.tanh(a)
cp.where(a > 0, a, 0.0)
cp.where(a > 0, a, h)
cp.where(a > 0, a, a.astype('d'))
cp.take(a, cp.asarray([1, 0]), axis=0)
cp.take(a, np.array([1, 0]), axis=0)
cp.sum(a, where=a > 1)
cp.sum(a, initial=1)
cp.max(a, initial=1)
cp.max(a, axis=(0, 1), keepdims=True)
cp.mean(z, axis=(1, 3), keepdims=True)
cp.all(a >= 0)
cp.isfinite(a)
cp.argmax(a, axis=-1)
cp.clip(a, 1, None)
cp.reshape(a, shape=(3, 2))
cp.reshape(a, (3, 2))
cp.flip(z, axis=(0, 1))
cp.broadcast_to(a, (2, 2, 3))
cp.squeeze(a[:1], axis=0)
cp.linalg.norm(a, axis=1)
cp.zeros((2, 3), dtype='U1')
cp.asarray([None])
cp.asarray(h)
cp.asarray([h, h])
cp.asarray([1.0, a[0, 0]])
cp.array([a[0], a[1]])
cp.array([a[0, 0], a[1, 1]])
cp.full_like(a, float('nan'))
cp.full((2,), a[0, 1])
cp.zeros((2, 3))
cp.ones((2, 3), 'f')
cp.eye(2)
cp.arange(5)
cp.ascontiguousarray(a.T)
cp.result_type(a, 2.0)
cp.result_type(a, a.astype('d'))
cp.no_such_function(a)
a.no_such_method()
a.__array_namespace__()
a.to_device('cpu')
a.sum()
a.sum(axis=1)
a.sum(dtype='d')
(a > 0).sum()
a[0, 0]
a[1, None, :, ...]
a[[0, 1]]
a[np.array([True, False])]
a[cp.array([True, False])]
a[np.int64(1)]
a[5]
z[:, ::-1, 1:3]
a.T.reshape(-1)
a.reshape(3, 2)
a.reshape(3, -1)
a.astype('d')
a.astype('f', copy=False) is a
a.copy()
a.max(axis=1)
a[:0].max()
float(a[0, 1])
int(a[0, 2])
a[0, 2].item()
bool(a)
bool(a[0, 0])
len(a)
len(a[0, 0])
hash(a)
range(a[0, 1])
[1, 2, 3][cp.asarray(1)]
round(a[0, 0])
f'{a[0, 1]:.2f}'
memoryview(a)
copy.deepcopy(a)
assigned(cp, a, ..., h)
assigned(cp, a, ..., 2.0)
assigned(cp, a, ..., np.array(2.0))
assigned(cp, a, ..., a[::-1])
assigned(cp, a, (slice(None), 1), 0.0)
assigned(cp, a, a > 2, 1.0)
added(a, h)
added(a, 1.5)
added(a, a.astype('d'))
added(cp.arange(3), 1.5)
cp.lib.stride_tricks.as_strided(z, (2, 2, 3), (96, 32, 4)) + 0
cp.linalg.solve(cp.eye(3)[None, ...] * 2, cp.ones((1, 3, 1)))
cp.cumsum(a, axis=1)
cp.nan_to_num(a)
cp.logical_and(a > 0, a > 1)
cp.sqrt(a)
cp.vecdot(a, a)
cp.unstack(a)
""".strip().splitlines()
}


def outcome(cp: Any, text: str) -> dict[str, Any]:
    """Return what an expression gives: its kind, type of elements, shape and numbers, or the kind of its error."""
    try:
        found = EXPRESSIONS[text](**arrays(cp))
    except Exception as error:
        kinds = (AttributeError, IndexError, TypeError, NotImplementedError, ValueError)
        return {"raises": next((kind.__name__ for kind in kinds if isinstance(error, kind)), type(error).__name__)}
    parts = found if isinstance(found, (list, tuple)) and found and hasattr(found[0], "get") else [found]
    return {"gives": [_described(cp, part) for part in parts]}


def _described(cp: Any, value: Any) -> Any:
    if isinstance(value, cp.ndarray):
        host = value.get()
        return [
            "array",
            host.dtype.str,
            list(host.shape),
            np.nan_to_num(host.astype("d"), nan=-77).round(5).ravel().tolist(),
        ]
    if isinstance(value, np.ndarray):
        return ["host array", value.dtype.str, list(value.shape)]
    return [type(value).__name__, str(value)]

"""`cupyx.scipy.sparse.linalg.gmres` as CuPy 14 has it: written anew after its documentation and its behaviour.

Differences from SciPy's that matter: `maxiter` counts products and is rounded up to whole cycles; a cycle always has
`restart` products; there is no guard against a breakdown, which ends in a LinAlgError of the small problem; the
operator's result is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cupy_emulator import meter
from tests.cupy_emulator.array import ndarray, wrap


class LinearOperator:
    """A square matrix that is known by its products."""

    def __init__(
        self,
        shape: tuple[int, int],
        matvec: Callable[[ndarray], ndarray],
        rmatvec: Any = None,
        matmat: Any = None,
        dtype: Any = None,
        rmatmat: Any = None,
    ) -> None:
        self.shape, self._matvec, self.dtype = shape, matvec, np.dtype(float if dtype is None else dtype)

    def matvec(self, x: ndarray) -> ndarray:
        y = self._matvec(x)
        if not isinstance(y, ndarray):
            raise TypeError("a product on the device must be an array on the device")
        return y.reshape(self.shape[0])


def gmres(
    A: Any,
    b: ndarray,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: Any = None,
    maxiter: Any = None,
    M: Any = None,
    callback: Any = None,
    callback_type: Any = None,
) -> tuple[ndarray, int]:
    """Return x and 0, or x and the products that did not suffice."""
    if not isinstance(b, ndarray):
        raise TypeError("b must be an array on the device")
    if A.dtype.char not in "fd":
        raise TypeError(f"unsupported dtype (actual: {A.dtype})")
    if M is not None or callback is not None:
        raise NotImplementedError("the emulator knows neither preconditioners nor callbacks")
    size = A.shape[0]
    restart = min(20 if restart is None else restart, size)
    maxiter = 10 * size if maxiter is None else maxiter
    right = b._host.astype(A.dtype).ravel()
    x = np.zeros_like(right) if x0 is None else x0._host.astype(A.dtype).ravel()
    scale = float(np.linalg.norm(right))
    meter.download()
    if scale == 0:
        return b, 0
    target, done = max(float(atol), rtol * scale), 0
    while True:
        residual = right - _product(A, x.copy())
        norm = np.linalg.norm(residual)
        meter.launch("gmres_residual", 3 * right.nbytes)
        meter.download()
        if norm <= target or done >= maxiter:
            return wrap(x), 0 if norm <= target else done
        V, H = _arnoldi(A, residual, norm, restart)
        meter.download()
        y = np.linalg.lstsq(H, np.eye(restart + 1, 1, dtype=A.dtype)[:, 0] * norm)[0]
        meter.upload()
        meter.product(size, 1, restart)
        x = x + V @ y
        done += restart


def _arnoldi(A: LinearOperator, residual: np.ndarray, norm: Any, restart: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the basis and the Hessenberg matrix of a whole cycle, orthogonalized once by classical Gram-Schmidt."""
    size = residual.size
    V, H = np.zeros((size, restart), A.dtype), np.zeros((restart + 1, restart), A.dtype)
    with np.errstate(all="ignore"):
        V[:, 0] = residual / norm
        for j in range(restart):
            u = _product(A, V[:, j].copy())
            H[: j + 1, j] = V[:, : j + 1].T @ u
            u = u - V[:, : j + 1] @ H[: j + 1, j]
            H[j + 1, j] = np.linalg.norm(u)
            for name in ("gemv", "gemv", "nrm2", "divide", "copy"):
                meter.launch(f"gmres_{name}", 2 * residual.nbytes)
            if j + 1 < restart:
                V[:, j + 1] = u / H[j + 1, j]
    return V, H


def _product(A: LinearOperator, v: np.ndarray) -> np.ndarray:
    given = A.matvec(wrap(v))
    if given.dtype != A.dtype or not given._host.flags.c_contiguous:
        raise TypeError("CuPy would hand this product to cuBLAS as it is: it must be contiguous, of A's dtype")
    return given._host

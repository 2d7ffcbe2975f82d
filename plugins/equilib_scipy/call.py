"""One call of `scipy.optimize.root` for one sample."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from equilib.libraries import Ending, Sample

JACOBIAN = "compute the dense Jacobian: exact, by products J·v, or by difference quotients, one per element"

LARGEST = 2000
"""The size of a sample beyond which dense Jacobians are refused by default: 32 MB each."""


def call_root(
    sample: Sample, method: str, options: Mapping[str, Any], *, jacobian: str | None, out_of_steps: int
) -> Ending:
    """Run a method of `scipy.optimize.root`; `out_of_steps` is the status by which it says that it ran out of steps.

    `jacobian` is the kind of dense Jacobian, where the method takes one.
    """
    # Deferred: SciPy takes longer to load than everything else a solve needs.
    from scipy.optimize import root

    derivative = {} if jacobian is None else {"jac": partial(sample.jacobian, kind=jacobian)}
    result = root(sample.residual, sample.z0, method=method, options=dict(options), **derivative)
    return Ending(gave_up=result.status != out_of_steps, message=" ".join(str(result.message).split()))

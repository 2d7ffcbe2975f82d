"""A model in float64: the gradient of its parameters, held to finite differences."""

import numpy as np

from equilib import SolveOptions, ops
from equilib.arrays import in_dtype
from equilib.layers import Chain, Dense, KaimingUniform
from equilib.models import DeepEquilibrium, InjectedCell

rng = np.random.default_rng(0)
cell = InjectedCell(Dense(4, 8), Dense(8, 8, initial_weight=KaimingUniform(0.3)), Chain(ops.tanh))
deq = DeepEquilibrium(cell, "broyden", options=SolveOptions(rtol=1e-12))
params = in_dtype(deq.init(rng), "float64")
x = rng.normal(size=(3, 4))
found = deq(params, x)
print(found)
print(deq.check_gradient(params, x))
assert found.z.dtype == np.float64
assert found.residual_norm.max() < 1e-11

"""A graph: an implicit network on a ring of 60 nodes with a sparse adjacency, of which ten have a label."""

import numpy as np
from scipy import sparse

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Dense, KaimingUniform, SparseProduct
from equilib.models import DeepEquilibrium, DEQChain, InjectedCell
from equilib.training.optimizers import Adam

rng = np.random.default_rng(0)
ring = sparse.diags_array([0.5, 0.5, 0.5, 0.5], offsets=[-1, 1, -59, 59], shape=(60, 60)).tocsr()
labels, known = np.repeat([0, 1, 2], 20), np.arange(3, 60, 6)
x = (np.eye(3)[labels] + rng.normal(size=(60, 3)))[None].astype(np.float32)  # a graph is one sample
recur = Chain(SparseProduct(ring), Dense(16, 16, initial_weight=KaimingUniform(0.5)))
deq = DeepEquilibrium(InjectedCell(Dense(3, 16), recur, Chain(ops.tanh)), "anderson")
model, optimizer = DEQChain(Chain(), deq, Dense(16, 3)), Adam(weight_decay=1.0)


def loss(params):
    return ops.cross_entropy(ops.take(model(params, x)[0][0], known), labels[known])


params = model.init(rng)
state = optimizer.init(params)
for step in range(40):
    value, gradient = value_and_grad(loss)(params)
    params, state = optimizer.update(params, gradient, state, 0.01)
accuracy = np.mean(model(params, x)[0][0].argmax(-1) == labels)
print("accuracy on all nodes:", accuracy)
assert accuracy > 0.75

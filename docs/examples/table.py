"""A table: the diabetes data of scikit-learn, by an equilibrium of 16 numbers and the trainer."""

import numpy as np
from sklearn.datasets import load_diabetes

from equilib import ops
from equilib.layers import Chain, Dense, KaimingUniform
from equilib.models import DeepEquilibrium, DEQChain, InjectedCell
from equilib.training.data import Dataset
from equilib.training.objectives import Regression
from equilib.training.plan import Plan
from equilib.training.trainer import Trainer

x, y = load_diabetes(return_X_y=True)
x, y = (np.float32((each - each.mean(0)) / each.std(0)) for each in (x, y[:, None]))
data = Dataset(train_inputs=x[:350], train_targets=y[:350], test_inputs=x[350:], test_targets=y[350:])

cell = InjectedCell(Dense(10, 16), Dense(16, 16, initial_weight=KaimingUniform(gain=0.3)), Chain(ops.tanh))
model = DEQChain(Chain(), DeepEquilibrium(cell, "anderson"), Dense(16, 1))
params = model.init(np.random.default_rng(0))
trainer = Trainer(model=model, params=params, data=data, objective=Regression(), plan=Plan(epochs=10, batch_size=32))
for metrics in trainer.epochs():
    print(metrics["epoch"], metrics["test_squared_error"], metrics["unconverged"])
assert metrics["test_squared_error"] < 0.7  # of 1, the variance

"""What a notebook shows of a solve: a table, and a chart of the residuals."""

import matplotlib.pyplot as plt
import numpy as np

from equilib import equilibrium, ops

rng = np.random.default_rng(0)
W, x = 0.3 * rng.normal(size=(8, 8)), rng.normal(size=(5, 8))
figure, ax = plt.subplots()
for solver in ("picard", "anderson", "newton-gmres"):
    found = equilibrium(lambda z: ops.tanh(z @ W + x), np.zeros((5, 8)), solver=solver, rtol=1e-10, max_steps=200)
    found.solution.plot(ax)
    print(found.solution)
ax.set_title("residuals of five samples, three solvers")
figure.savefig("residuals.png")
print(found._repr_html_()[:40])  # the last line of a notebook's cell, `found`, shows this table

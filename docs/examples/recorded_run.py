"""A run of the command line in Python: loaded, used, saved and loaded again."""

import subprocess
import sys
from dataclasses import replace

import numpy as np

import equilib

command = [sys.executable, "-m", "equilib", "run", "table", "--epochs", "1", "--dtype", "float64", "--out", "my-run"]
subprocess.run([*command, "--overwrite"], check=True)

run = equilib.load_run("my-run")
print(run)
data = run.training().host_data  # NumPy arrays, whatever the run computed on
logits = run.predict(data.test_inputs)
print("accuracy:", np.mean(logits.argmax(-1) == data.test_targets), "recorded:", run.score)

equilib.save("params.npz", run.params)
again = equilib.load("params.npz", like=run.params)
assert np.array_equal(replace(run, params=again).predict(data.test_inputs), logits)

"""A CuPy without a GPU, for tests: it has what CuPy has, refuses what CuPy refuses, and counts.

A NumPy array in a class of its own has what CuPy's array has, and no more. `api.json` is every public name of CuPy with
its parameters, by introspection (`record_api`), `truth.json` what the real CuPy made of the expressions in
`expressions` (`record_truth`); `test_emulator` compares. It is stricter than CuPy where that is silent and wrong:
indices out of bounds raise, an index that occurs twice in an assignment raises, memory from `empty` is nan. Kernels of
one's own run their NumPy twin. It runs no CUDA code and knows nothing of time, asynchrony, TF32 and flushed denormals.
"""

from tests.cupy_emulator.kernels import twin
from tests.cupy_emulator.meter import Meter, metered
from tests.cupy_emulator.modules import emulated, install

__all__ = ["Meter", "emulated", "install", "metered", "twin"]

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAVY = ("scipy", "autograd", "pluggy", "click", "cupy", "rich", "array_api_compat", "sklearn", "pooch", "matplotlib")


def loaded_by(program: str) -> set[str]:
    """Run a program in a fresh interpreter and return the names of the packages that it loaded."""
    tail = "\nimport sys\nprint('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program) + tail],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_import_equilib_is_light():
    """`import equilib` loads NumPy, the standard library, and nothing else."""
    plain, ours = loaded_by("import numpy"), loaded_by("import equilib")
    foreign = {name for name in ours - plain if name not in sys.stdlib_module_names}
    assert foreign == {"equilib"}
    assert not ours & set(HEAVY)


@pytest.mark.parametrize("solver", ["Picard()", "NewtonGMRES()"])
def test_solving_with_given_derivatives_needs_no_autograd(solver: str):
    """A solve and its adjoint on a map whose products are given load neither autograd nor SciPy."""
    program = f"""
        import numpy as np
        from equilib import FixedPointProblem, ImplicitAdjoint, Picard, solve
        from equilib_newton_gmres.solver import NewtonGMRES

        slope = lambda z: -np.sin(z)
        problem = FixedPointProblem(np.cos, jvp=lambda z, v: slope(z) * v, vjp=lambda z, w: slope(z) * w)
        solution = solve(problem, {solver}, np.zeros((2, 1)), rtol=1e-10, max_steps=100)
        pulled = ImplicitAdjoint().pullback(problem, solution, np.ones((2, 1)))
        np.testing.assert_allclose(solution.z, 0.7390851332, rtol=1e-9)
        np.testing.assert_allclose(pulled.solves[0].z, 1 / (1 + np.sin(0.7390851332)), rtol=1e-8)
    """
    assert not loaded_by(program) & {"autograd", "scipy", "array_api_compat"}


def test_the_library_linear_solver_loads_scipy_when_it_is_used():
    """SciPy, which takes longer to load than everything else, is loaded by the solve that needs it."""
    program = """
        import sys
        import numpy as np
        from equilib import solve
        from equilib_linear_solvers.library import LibraryGMRES
        from equilib_newton_gmres.solver import NewtonGMRES
        from equilib import FixedPointProblem

        solver = NewtonGMRES(LibraryGMRES())
        assert "scipy" not in sys.modules
        solve(FixedPointProblem(np.cos, jvp=lambda z, v: -np.sin(z) * v), solver, np.zeros((2, 1)))
    """
    assert "scipy" in loaded_by(program)


def test_differentiating_loads_autograd_and_no_gpu_library():
    """Models and training load autograd; CuPy is loaded by nothing but CuPy arrays."""
    loaded = loaded_by("import equilib.models, equilib.training")
    assert "autograd" in loaded
    assert not loaded & {"cupy", "cupyx", "cupy_backends"}

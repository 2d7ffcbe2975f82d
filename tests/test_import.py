from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from importlib.abc import MetaPathFinder

import pytest

from equilib.errors import needing

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


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_front_without_its_library_says_how_to_install_it(library: str, monkeypatch: pytest.MonkeyPatch):
    """Where its library is missing, the import of a front is no such module, and names the extra that installs it."""
    for name in [each for each in sys.modules if f"{each}.".startswith((f"{library}.", f"equilib.{library}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(library), *sys.meta_path])
    for module in ("", ".closures"):
        with pytest.raises(
            ModuleNotFoundError, match=rf'equilib.{library} needs .*; run: pip install "equilib\['
        ) as told:
            importlib.import_module(f"equilib.{library}{module}")
        assert told.value.name == library


def test_a_fault_in_an_optional_library_is_told_as_it_is():
    """That another module is missing is not told as if the library were."""
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'other'$"), needing("a", purpose="b", extra="c"):
        raise ModuleNotFoundError("No module named 'other'", name="other")


class Missing(MetaPathFinder):
    """A library that is not installed."""

    def __init__(self, library: str) -> None:
        self.library = library

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Find none of its modules, and say so."""
        if name.partition(".")[0] == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

"""A package that is not ours publishes a solver: built, installed beside equilib in a fresh environment, and used."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from equilib_experiments.data.digits import load_small_digits

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "docs" / "examples" / "equilib-relaxation"

pytestmark = pytest.mark.slow


def call(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout, so that nothing is imported from it by accident."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )


def requirements() -> list[str]:
    """Return what a plain `pip install equilib` brings, and the build backend."""
    return ["hatchling", *(each for each in requires("equilib") or [] if "extra ==" not in each)]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of a fresh environment with equilib and the example, built from this checkout."""
    folder = tmp_path_factory.mktemp("third-party")
    call(sys.executable, "-m", "venv", "fresh", cwd=folder).check_returncode()
    programs = folder / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    fetched = call(*pip, "--retries", "0", *requirements(), cwd=folder)
    if fetched.returncode:
        pytest.skip(f"the requirements of equilib cannot be installed here: {fetched.stderr.strip()[-200:]}")
    built = call(*pip, "--no-build-isolation", "--no-deps", "--no-index", REPOSITORY, EXAMPLE, cwd=folder)
    assert built.returncode == 0, built.stderr
    return programs


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write scikit-learn's digits as IDX files: the fresh environment has neither it nor the network."""
    folder = tmp_path_factory.mktemp("digits")
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    found = load_small_digits()
    arrays = (found.train_images, found.train_labels, found.test_images, found.test_labels)
    for name, array in zip(names, arrays, strict=True):
        header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
        (folder / f"{name}-ubyte").write_bytes(header + array.tobytes())
    return folder


def test_an_installed_solver_is_listed(scripts: Path) -> None:
    """The entry point alone makes the solver known, beside ours and with its own package as owner."""
    listed = call(scripts / "equilib", "solvers", "--json", cwd=scripts)
    assert listed.returncode == 0, listed.stderr
    solvers = {record["name"]: record for record in json.loads(listed.stdout)}
    assert solvers["relaxation"]["distribution"] == "equilib-relaxation"
    assert solvers["newton-gmres"]["distribution"] == "equilib"


def test_an_installed_solver_shows_its_options(scripts: Path) -> None:
    """`show` reads the options from the class in the other package."""
    shown = call(scripts / "equilib", "solvers", "show", "relaxation", cwd=scripts)
    assert shown.returncode == 0, shown.stderr
    assert "step_size  a float > 0  0.5      share of the residual that is added" in shown.stdout


def test_no_installed_plugin_is_broken(scripts: Path) -> None:
    """In an environment with the plain requirements every plugin loads, ours included."""
    listed = call(scripts / "equilib", "plugins", "--json", cwd=scripts)
    assert {row["name"]: row["cause"] for row in json.loads(listed.stdout) if row["status"] != "ok"} == {}


def test_an_installed_solver_solves(scripts: Path) -> None:
    """The solver is found by name and reaches the fixed point, with an option given as text."""
    code = """if True:
        import numpy as np
        from equilib import solve
        from equilib.options import build
        from equilib.plugin import SolverEntry
        from equilib.plugin.registry import Registry

        solver = build(Registry.discover().get(SolverEntry, "relaxation").load(), {"step_size": "0.7"}, owner="solver")
        print(float(solve(np.cos, solver, np.zeros((1, 1)), rtol=1e-10, atol=0).z[0, 0]))
    """
    solved = call(scripts / "python", "-c", code, cwd=scripts)
    assert solved.returncode == 0, solved.stderr
    assert float(solved.stdout) == pytest.approx(0.7390851332151607, rel=1e-8)


def test_an_installed_solver_trains(scripts: Path, digits: Path, tmp_path: Path) -> None:
    """`equilib run mnist --solver its-name` trains with it, and the record says so."""
    out = tmp_path / "run"
    trained = call(
        *(scripts / "equilib", "run", "mnist", "--solver", "relaxation:step_size=0.9", "--data-dir", digits),
        *("--limit", "100", "--epochs", "1", "--pretrain-epochs", "1", "--out", out),
        cwd=tmp_path,
    )
    assert trained.returncode == 0, trained.stderr
    assert "Test accuracy:" in trained.stdout
    record = json.loads((out / "run.json").read_text())
    assert record["method"]["solver"] == {"name": "relaxation", "options": {"step_size": 0.9}}
    assert record["status"] == "finished"

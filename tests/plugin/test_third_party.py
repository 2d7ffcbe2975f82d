"""A package that is not ours publishes a part of each kind: built, installed in a fresh environment, and used."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from importlib.metadata import requires
from pathlib import Path

import numpy as np
import pytest

from equilib_experiments.data.digits import SmallDigits

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "docs" / "examples" / "equilib-relaxation"

pytestmark = pytest.mark.slow


def call(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout, so that nothing is imported from it by accident."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )


def requirements(extra: str = "", only: tuple[str, ...] = ()) -> list[str]:
    """Return what a plain `pip install equilib` brings, and the build backend; or what of an extra starts like that."""
    known = requires("equilib") or []
    if extra:
        return [each.partition(";")[0] for each in known if f"extra == '{extra}'" in each and each.startswith(only)]
    return ["hatchling", *(each for each in known if "extra ==" not in each)]


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
    found = SmallDigits().load(None, print)
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
    assert "step_size  a float > 0  0.5      add this share of the residual" in shown.stdout


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


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("linear-solvers", "richardson"),
        ("optimizers", "sign-momentum"),
        ("datasets", "stripes"),
        ("experiments", "sine"),
        ("experiments", "stripes"),
    ],
)
def test_everything_that_it_publishes_is_shown(scripts: Path, kind: str, name: str) -> None:
    """A linear solver, an optimizer, a data set and experiments come from the same package, with their options."""
    shown = call(scripts / "equilib", kind, "show", name, "--json", cwd=scripts)
    assert shown.returncode == 0, shown.stderr
    record = json.loads(shown.stdout)
    assert (record["name"], record["distribution"]) == (name, "equilib-relaxation")
    assert record["options"]


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
    assert record["versions"]["equilib-relaxation"]


PARTS = (
    *("--solver", "relaxation"),
    *("--optimizer", "sign-momentum:momentum=0.8", "--data", "stripes:count=200"),
)


@pytest.fixture(scope="module")
def interrupted(scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of eight epochs of an experiment of theirs, which Ctrl-C ended in its third or so."""
    out = tmp_path_factory.mktemp("runs") / "stripes"
    argv = (scripts / "equilib", "run", "stripes", *PARTS, "--epochs", "8", "--out", out)
    with subprocess.Popen([str(part) for part in argv], cwd=out.parent, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while time.monotonic() < end and _epochs(out) < 2 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert 2 <= _epochs(out) < 8
    return out


def _epochs(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


@pytest.fixture(scope="module")
def resumed(scripts: Path, interrupted: Path) -> Path:
    """Return the folder of that run, resumed to its end."""
    went_on = call(scripts / "equilib", "resume", interrupted, cwd=interrupted.parent)
    assert went_on.returncode == 0, went_on.stderr
    return interrupted


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts as POSIX has them")
def test_an_installed_experiment_resumes_bit_for_bit(scripts: Path, resumed: Path) -> None:
    """With its own solver's parts, optimizer and data set it ends as a run that nobody stopped."""
    out = resumed.parent / "whole"
    whole = call(
        *(scripts / "equilib", "run", "stripes", *PARTS, "--epochs", "8", "--out", out),
        cwd=resumed.parent,
    )
    assert whole.returncode == 0, whole.stderr
    with np.load(out / "model.npz") as one, np.load(resumed / "model.npz") as other:
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    record = json.loads((resumed / "run.json").read_text())
    assert (record["status"], len(record["resumed"])) == ("finished", 1)
    assert record["data"] == "200 images of stripes, made on the spot"
    assert record["optimizer"] == {"name": "sign-momentum", "options": {"momentum": 0.8}}


def test_an_installed_experiment_is_evaluated(scripts: Path, resumed: Path) -> None:
    """The score is the recorded one, to the last digit."""
    tested = call(scripts / "equilib", "evaluate", resumed, "--json", cwd=resumed.parent)
    assert tested.returncode == 0, tested.stderr
    found = json.loads(tested.stdout)
    assert found["same_data"]
    assert found["score"] == found["recorded"] > 0.8


def test_an_installed_experiment_predicts(scripts: Path, resumed: Path, tmp_path: Path) -> None:
    """An image of stripes has the class that its data set names."""
    image = np.zeros((28, 28), np.uint8)
    image[:, ::4] = image[:, 1::4] = 200
    np.save(tmp_path / "image.npy", image)
    said = call(scripts / "equilib", "predict", resumed, tmp_path / "image.npy", "--json", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    (found,) = json.loads(said.stdout)
    assert found["label"] == "upright"
    assert set(found["probabilities"]) == {"upright", "lying"}


def test_installed_experiments_are_compared(scripts: Path, tmp_path: Path) -> None:
    """Its own solver and one of ours train the same model on the same points."""
    compared = call(
        *(scripts / "equilib", "compare", "sine", "--solvers", "relaxation,anderson", "--epochs", "3", "--json"),
        *("--out", tmp_path / "compared"),
        cwd=tmp_path,
    )
    assert compared.returncode == 0, compared.stderr
    found = json.loads(compared.stdout)
    assert [(run["solver"], run["status"]) for run in found["runs"]] == [
        ("relaxation", "finished"),
        ("anderson", "finished"),
    ]
    assert {curve["solver"] for curve in found["residual"]} == {"relaxation", "anderson"}


def test_the_gradient_of_an_installed_experiment_is_checked(scripts: Path, tmp_path: Path) -> None:
    """Its solver, solved tightly, has the right gradient."""
    argv = ("sine", "--solver", "relaxation", "-o", "rtol=1e-11", "-o", "max_steps=200", "--json")
    checked = call(scripts / "equilib", "check-gradient", *argv, cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["verdict"].startswith("Right")


def test_an_installed_experiment_is_reported(scripts: Path, resumed: Path) -> None:
    """The page of a run names its parts, and shows the classes of its data set."""
    pip = (scripts / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--retries", "0")
    fetched = call(*pip, *requirements("experiments", only=("jinja2", "matplotlib")), cwd=scripts)
    if fetched.returncode:
        pytest.skip(f"what reports need cannot be installed here: {fetched.stderr.strip()[-200:]}")
    reported = call(scripts / "equilib", "report", resumed, cwd=resumed.parent)
    assert reported.returncode == 0, reported.stderr
    (page,) = resumed.rglob("report.html")
    text = page.read_text(encoding="utf-8")
    for words in ("sign-momentum (momentum=0.8)", "relaxation", "200 images of stripes", "upright"):
        assert words in text

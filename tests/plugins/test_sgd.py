"""Stochastic gradient descent with momentum is the published one, and a run trains, resumes and records with it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from equilib.arrays.trees import tree_leaves
from equilib.cli import main
from equilib.options import OptionError
from equilib.training.optimizers import optimizer
from equilib_sgd.optimizer import SGD
from tests.arrays_under_test import lift, lower
from tests.cli.test_resume import record, run, same, stop_after
from tests.digits import write_digits


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_published_algorithm(xp: ModuleType, rng: np.random.Generator, nesterov: bool) -> None:
    """Several steps agree with v ← μ v + g and θ ← θ − ε v, or, with Nesterov's momentum, θ ← θ − ε (g + μ v)."""
    theta, velocity = rng.standard_normal((4, 3)), np.zeros((4, 3))
    sgd, rates = SGD(momentum=0.8, nesterov=nesterov, scale=2.0), (0.1, 0.05, 0.2)
    given = lift(xp, {"weight": [theta]})
    state = sgd.init(given)
    for rate in rates:
        gradient = rng.standard_normal((4, 3))
        given, state = sgd.update(given, lift(xp, {"weight": [gradient]}), state, rate)
        velocity = 0.8 * velocity + gradient
        theta = theta - 2 * rate * (gradient + 0.8 * velocity if nesterov else velocity)
    np.testing.assert_allclose(lower(given)["weight"][0], theta, rtol=1e-13)


def test_nesterovs_point_is_ahead(rng: np.random.Generator) -> None:
    """On a quadratic it is the method that evaluates the gradient at θ − ε μ v, seen at those points (2013, §2)."""
    curvature, rate, momentum = np.diag([1.0, 10.0]), 0.05, 0.9
    ahead = params = np.asarray([3.0, 1.0])
    velocity, sgd = np.zeros(2), SGD(momentum=momentum, nesterov=True)
    state = sgd.init(params)
    behind = params
    for _ in range(20):
        velocity = momentum * velocity + curvature @ (behind - rate * momentum * velocity)
        behind = behind - rate * velocity
        params, state = sgd.update(params, curvature @ params, state, rate)
    ahead = behind - rate * momentum * velocity
    np.testing.assert_allclose(params, ahead, rtol=1e-12)


@pytest.mark.parametrize("rate", [0.01, np.float64(0.01)])
def test_float32_parameters_stay_float32(xp: ModuleType, rng: np.random.Generator, rate: float) -> None:
    """Neither Python's floats nor a NumPy scalar as rate widen parameters or velocity."""
    params = lift(xp, [rng.standard_normal((2, 3))], "float32")
    new, state = SGD().update(params, params, SGD().init(params), rate)
    assert {leaf.dtype.name for leaf in tree_leaves(lower([new, state.velocity]))} == {"float32"}


def test_a_run_goes_on_with_its_velocity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle of an epoch, a run with another optimizer ends as it would have, bit for bit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    write_digits(tmp_path / "digits")
    flags = ("--optimizer", "sgd:momentum=0.5,scale=2")
    assert run(*flags, out="whole") == 0
    stop_after(monkeypatch, 10)
    assert run(*flags) == 130
    assert main(["resume", "run"]) == 0
    same("whole", "run")
    assert record()["optimizer"] == {"name": "sgd", "options": {"momentum": 0.5, "nesterov": False, "scale": 2.0}}
    checkpoint = sorted(Path("run/checkpoints").iterdir())[-1]
    with np.load(checkpoint) as arrays:
        assert any(name.startswith("optimizer/velocity/deq/") for name in arrays)
    assert json.loads(Path("run/run.json").read_text())["request"]["optimizer"] == flags[1]


def test_a_run_goes_on_with_what_its_flags_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipping, warm-up and patience are recorded, and hold when the run is resumed: it ends bit for bit the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    write_digits(tmp_path / "digits")
    flags = ("--optimizer", "adamw", "--clip-gradient", "0.3", "--warm-up", "6", "--patience", "1")
    assert run(*flags, out="whole", epochs=4) == 0
    stop_after(monkeypatch, 7)
    assert run(*flags, epochs=4) == 130
    assert main(["resume", "run"]) == 0
    same("whole", "run")
    assert record()["optimizer"]["options"]["weight_decay"] == 0.01
    assert {name: record()["request"][name] for name in ("clip_gradient", "warm_up", "patience")} == {
        "clip_gradient": 0.3,
        "warm_up": 6,
        "patience": 1,
    }


@pytest.mark.parametrize(
    ("optimizer", "sentence"),
    [
        ("sdg", "no optimizer 'sdg'. Did you mean 'sgd'?"),
        ("sgd:momentun=1", "optimizer 'sgd' has no option 'momentun'. Did you mean 'momentum'?"),
        ("sgd:momentum=1", "optimizer 'sgd': option 'momentum' expects a float in [0.0, 1.0), got '1'"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], optimizer: str, sentence: str
) -> None:
    """Before anything is written."""
    out = tmp_path / "out"
    write_digits(tmp_path / "digits")
    argv = ("run", "mnist", "--optimizer", optimizer, "--data-dir", str(tmp_path / "digits"), "--out", str(out))
    assert main(argv) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_a_look_ahead_needs_a_momentum() -> None:
    """Without momentum there is nothing to look along, which is refused as PyTorch does."""
    with pytest.raises(OptionError, match="'nesterov' looks where the momentum leads: give a momentum above 0"):
        SGD(momentum=0.0, nesterov=True)
    with pytest.raises(OptionError, match="momentum above 0"):
        optimizer("sgd:momentum=0,nesterov=true")
    assert SGD(momentum=0.0).momentum == 0

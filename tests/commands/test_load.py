"""Runs and parameters as objects in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equilib
from equilib import ops
from equilib.cli import main
from equilib.errors import UserError
from equilib.layers import Chain, Dense
from tests.digits import write_digits

QUICK = ("--limit", "40", "--batch-size", "8", "--pretrain-epochs", "0", "--epochs", "1", "--device", "cpu", "--quiet")


@pytest.fixture(scope="module", params=[None, "float64"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run on made-up digits, of the dtype that is asked for."""
    folder = tmp_path_factory.mktemp("load")
    write_digits(folder / "digits")
    dtype = () if request.param is None else ("--dtype", request.param)
    where = ("--data-dir", str(folder / "digits"), "--out", str(folder / "run"))
    assert main(["run", "mnist", *QUICK, *dtype, *where]) == 0
    return folder / "run"


def test_a_run_is_loaded_with_its_parameters_and_metrics(run: Path, monkeypatch: pytest.MonkeyPatch):
    """The model makes the prediction that `equilib predict` makes; a run of float64 computes in it."""
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    found = equilib.load_run(run)
    facts = json.loads((run / "run.json").read_text())
    expected = np.dtype(facts["request"]["dtype"] or "float32")
    assert found.request.experiment == "mnist"
    assert len(found.metrics) == 1
    assert found.score == facts["results"]["test_accuracy"]
    with np.load(run / "model.npz") as saved:
        leaves = dict(saved)
    assert {leaf.dtype for leaf in leaves.values()} == {expected}
    kernel = found.params["deq"]["cell"]
    assert kernel.keys() == equilib.load(run / "model.npz")["deq"]["cell"].keys()
    training = found.training()
    assert training.trainer.data.test_inputs.dtype == expected
    outputs = found.predict(training.trainer.data.test_inputs[:4])
    assert outputs.shape == (4, 10)
    assert outputs.dtype == expected
    assert float(training.trainer.evaluate().score) == pytest.approx(found.score)


def test_what_is_no_run_and_no_tree_is_refused(run: Path, tmp_path: Path):
    """Paths, changes and trees that are none are answered by a sentence."""
    file = tmp_path / "tree.npz"
    equilib.save(file, np.ones(3))
    for call, sentence in [
        (lambda: equilib.load_run("~nosuchuser/x"), "there is no folder ~nosuchuser/x"),
        (lambda: equilib.load("~nosuchuser/x.npz"), "~nosuchuser/x.npz cannot be read"),
        (lambda: equilib.load_run(None), "a path must be a text or a Path, got None"),
        (lambda: equilib.load(3), "a path must be a text or a Path, got an int"),
        (lambda: equilib.load(file, like="x"), "like must be a tree of arrays"),
        (lambda: equilib.save(file, np.ones(2) + 1j), "must hold real numbers, it is of complex128"),
        (lambda: equilib.load_run(run, devise="cpu"), "another 'devise': data, data_dir, device, kernels may be"),
        (lambda: equilib.load_run(run).training(seed=1), "another 'seed'"),
        (lambda: equilib.load_run(run).predict([1.0]), "x must be an array"),
        (lambda: equilib.load_run(run).plot(ax=3), "ax must be axes of Matplotlib, got an int"),
    ]:
        with pytest.raises((UserError, TypeError), match=sentence):
            call()


def test_a_loaded_run_is_a_line_a_table_and_a_chart(run: Path):
    """They name the experiment and the score."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    found = equilib.load_run(str(run))
    assert repr(found).startswith("LoadedRun(")
    assert "mnist" in repr(found)
    assert "test accuracy" in found._repr_html_()
    ax = found.plot()
    assert ax.get_xlabel() == "epoch"
    matplotlib.pyplot.close("all")


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    """By a sentence that names it."""
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        equilib.load_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no run that can be read"):
        equilib.load_run(tmp_path)


def test_what_is_saved_is_loaded(tmp_path: Path):
    """With the structure of a model or without: dicts, lists, numbers, and every bit."""
    model = Chain(Dense(3, 4), ops.tanh, Dense(4, 2))
    params = model.init(np.random.default_rng(0))
    tree = {"model": params, "steps": 7, "pair": [np.arange(3), np.float64(0.1)], "flags": np.array([True])}
    equilib.save(tmp_path / "tree.npz", tree)
    found = equilib.load(tmp_path / "tree.npz")
    assert isinstance(found["pair"], list)
    assert found["steps"] == 7
    np.testing.assert_array_equal(found["pair"][0], [0, 1, 2])
    assert equilib.load(tmp_path / "tree.npz", like=tree)["steps"] == 7
    equilib.save(tmp_path / "params.npz", params)
    again: Any = equilib.load(tmp_path / "params.npz", like=model.init(np.random.default_rng(1)))
    x = np.ones((1, 3), "float32")
    assert np.array_equal(model(again, x), model(params, x))
    equilib.save(tmp_path / "array.npz", np.eye(2))
    np.testing.assert_array_equal(equilib.load(tmp_path / "array.npz"), np.eye(2))


def test_what_cannot_be_saved_or_loaded_is_answered_by_a_sentence(tmp_path: Path):
    """Another model, another file, another leaf: each is named."""
    equilib.save(tmp_path / "a.npz", {"w": np.ones(3)})
    with pytest.raises(UserError, match=r"a.npz holds another model: 'w', of shape \(2,\) here, is of shape \(3,\)"):
        equilib.load(tmp_path / "a.npz", like={"w": np.ones(2)})
    with pytest.raises(UserError, match=r"b\.npz cannot be read: No such file"):
        equilib.load(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_text("nothing")
    with pytest.raises(UserError, match=r"c\.npz cannot be read, as it is not an npz archive"):
        equilib.load(tmp_path / "c.npz")
    with pytest.raises(UserError, match=r"must be called something\.npz"):
        equilib.save(tmp_path / "d", {})
    with pytest.raises(UserError, match="f must be an array or a number, got a function"):
        equilib.save(tmp_path / "d.npz", {"f": lambda: 0})
    with pytest.raises(UserError, match=r"w is masked here and there: save its filled\(...\)"):
        equilib.save(tmp_path / "d.npz", {"w": np.ma.array([1.0, 2.0], mask=[0, 1])})
    with pytest.raises(UserError, match="two leaves are called 'a/b'"):
        equilib.save(tmp_path / "d.npz", {"a/b": 1, "a": {"b": 2}})
    assert not (tmp_path / "d.npz").exists()

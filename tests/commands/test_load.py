"""Runs and parameters as objects in Python."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import equilib
from equilib import Status, ops
from equilib.arrays import from_host, in_dtype, is_array, to_host, tree_leaves
from equilib.cli import main
from equilib.commands.load import LoadedRun
from equilib.errors import UserError
from equilib.layers import Chain, Dense, Embedding
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


@pytest.fixture(params=["torch", "jax"])
def device(request: pytest.FixtureRequest) -> str:
    """Return each library that a run may compute by."""
    name: str = request.param
    pytest.importorskip(name, reason=f"{name} is not installed")
    return name


def run_inputs(run: LoadedRun) -> np.ndarray:
    """Return the first test samples, shape (3, ...), as NumPy arrays."""
    return run.training().host_data.test_inputs[:3]


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


def failing(run: LoadedRun, status: Status) -> tuple[Any, np.ndarray]:
    """Return the run and inputs of which the second sample ends in a status, and the others converge."""
    x = run.training().trainer.data.test_inputs[:3].copy()
    if status is Status.NONFINITE:
        x[1] = np.nan
        return run, x
    deq = run.model.deq
    options = {
        Status.MAX_STEPS: replace(deq.options, max_steps=1, rtol=1e-12),
        Status.STALLED: replace(deq.options, stagnation=1, rtol=1e-30, atol=1e-30, max_steps=500),
    }[status]
    return replace(run, model=replace(run.model, deq=replace(deq, options=options))), x


@pytest.mark.parametrize("status", [Status.NONFINITE, Status.MAX_STEPS, Status.STALLED], ids=lambda each: each.label)
def test_a_prediction_that_has_not_converged_says_so(run: Path, status: Status):
    """Whatever the status, one warning names it and this line, and the model warns too, as one of one's own does."""
    found, x = failing(equilib.load_run(run), status)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        equilib.load_run(run).predict(run_inputs(found))
    with pytest.warns(equilib.ConvergenceWarning, match=status.value.partition(";")[0]) as caught:
        found.predict(x)
    assert [Path(each.filename).name for each in caught] == ["test_load.py"]
    with pytest.warns(equilib.ConvergenceWarning):
        record = found.model(found.params, x)[1]
    assert status in record.status


@pytest.mark.parametrize("given", ["float32", "float64"])
def test_predictions_take_numpy_arrays_on_every_device(run: Path, device: str, given: str):
    """Of NumPy's arrays a run on any library makes NumPy's, in its own dtype; its library's arrays stay there."""
    host, there = equilib.load_run(run), equilib.load_run(run, device=device)
    x = run_inputs(host).astype(given)
    own = there.training().trainer.data.test_inputs[:3]
    predicted = there.predict(x)
    assert type(predicted) is np.ndarray
    assert str(predicted.dtype) == (host.request.dtype or "float32")
    assert there.training().trainer.device.kind == device
    np.testing.assert_allclose(predicted, host.predict(x), rtol=1e-3, atol=1e-3)
    assert type(there.predict(own)) is type(own)
    np.testing.assert_array_equal(to_host(there.predict(own)), predicted)


NUMBERS = [np.uint16, np.int64, bool]


@pytest.mark.parametrize("kind", NUMBERS)
def test_predictions_of_integers_are_those_of_the_same_floats(run: Path, device: str, kind: Any):
    """Whatever the run computes on, whole numbers and truth values become numbers of its dtype."""
    host, there = equilib.load_run(run), equilib.load_run(run, device=device)
    x = (3 * run_inputs(host)).astype(kind)
    own = there.training().trainer.data.test_inputs
    for found in (host, there):
        predicted, expected = found.predict(x), found.predict(x.astype(host.request.dtype or "float32"))
        np.testing.assert_array_equal(predicted, expected)
        assert predicted.dtype == expected.dtype
    np.testing.assert_array_equal(to_host(there.predict(from_host(x, own))), there.predict(x))


def test_a_prediction_of_no_samples_is_empty(run: Path, device: str):
    """On every device it has the shape of the others."""
    for found in (equilib.load_run(run), equilib.load_run(run, device=device)):
        assert found.predict(run_inputs(found)[:0]).shape == (0, 10)


@pytest.mark.parametrize(
    "x",
    [np.ones((2, 28, 28, 1), object), np.ones((2, 28, 28, 1), complex), np.full((2, 28, 28, 1), "1")],
    ids=["objects", "complex", "texts"],
)
def test_what_are_no_real_numbers_is_refused(run: Path, device: str, x: np.ndarray):
    """On every device a prediction names the dtype that it cannot take."""
    for found in (equilib.load_run(run), equilib.load_run(run, device=device)):
        with pytest.raises(TypeError, match=f"x must hold real numbers, it is of {x.dtype}"):
            found.predict(x)


def test_tokens_stay_integers(run: Path, device: str):
    """A model that takes nothing else is given integers, and tells what is wrong with them."""
    layer = Embedding(5, 2)
    for found in (equilib.load_run(run), equilib.load_run(run, device=device)):
        first = next(leaf for leaf in tree_leaves(found.params) if is_array(leaf))
        params = {"weight": from_host(np.arange(10, dtype="float32").reshape(5, 2), first)}
        reads = replace(found, model=lambda params, x: (layer(params, x), SimpleNamespace(status=())), params=params)
        np.testing.assert_array_equal(reads.predict(np.array([[4, 0]])), [[[8, 9], [0, 1]]])
        assert reads.predict(np.zeros((0, 2), int)).shape == (0, 2, 2)
        with pytest.raises(ValueError, match="tokens are 0 to 4"):
            reads.predict(np.array([[9]]))


def test_parameters_are_loaded_into_the_library_of_their_like(run: Path, device: str, tmp_path: Path):
    """What is saved on a device is loaded there, and computes what it did, bit for bit."""
    found = equilib.load_run(run, device=device)
    x = found.training().trainer.data.test_inputs[:3]
    equilib.save(tmp_path / "params.npz", found.params)
    again = equilib.load(tmp_path / "params.npz", like=found.params)
    one, other = (to_host(found.model(params, x)[0]) for params in (again, found.params))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(UserError, match="holds another model"):
        equilib.load(tmp_path / "params.npz", like=in_dtype(found.params, "float16"))


def test_arrays_of_two_libraries_are_refused_in_a_sentence(run: Path, device: str):
    """It names both, and how to go on, where a model or a prediction gets them."""
    host, there = equilib.load_run(run), equilib.load_run(run, device=device)
    x, own = run_inputs(host), there.training().trainer.data.test_inputs[:3]
    with pytest.raises(TypeError, match=f"x is an array of {device}, and this run computes with numpy: give NumPy"):
        host.predict(own)
    for model, params, inputs in ((host.model, host.params, own), (there.model, there.params, x)):
        with pytest.raises(TypeError, match=f"{device}.*: give parameters and inputs of one library") as caught:
            model(params, inputs)
        assert "numpy" in str(caught.value)


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


HARD_KEYS = [
    "file",
    "allow_pickle",
    "args",
    "self",
    "a.npy",
    "ä ö",
    "a b",
    "..",
    ".",
    "\\\\",
    "'\"",
    "%s",
    "",
    "x" * 300,
]


@pytest.mark.parametrize("key", HARD_KEYS)
def test_any_key_can_be_saved(tmp_path: Path, key: str):
    """Whatever a leaf is called, it is loaded under that name."""
    tree = {key: np.arange(3.0), "other": np.ones(2)}
    equilib.save(tmp_path / "tree.npz", tree)
    found = equilib.load(tmp_path / "tree.npz", like=tree)
    np.testing.assert_array_equal(found[key], tree[key])
    assert equilib.load(tmp_path / "tree.npz").keys() == {key, "other"}
    with np.load(tmp_path / "tree.npz") as plain:
        np.testing.assert_array_equal(plain["other"], np.ones(2))


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
    for key in ("a\0b", "\ud800"):
        with pytest.raises(UserError, match="cannot be a name in a file: give that leaf another key"):
            equilib.save(tmp_path / "d.npz", {key: 1})
    assert not (tmp_path / "d.npz").exists()
    equilib.save(tmp_path / "e.npz", {"w": np.ones(3)})
    with pytest.raises(UserError, match="holds another model: 'array', of shape"):
        equilib.load(tmp_path / "e.npz", like=np.ones(3))

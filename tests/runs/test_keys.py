"""Trees in files: what is saved comes back as the tree that it was, or is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equilib
from equilib import ops
from equilib.arrays import named_leaves
from equilib.errors import UserError
from equilib.layers import Chain, Dense
from equilib.runs.arrays_file import write_arrays
from equilib.runs.checkpoint_file import write_checkpoint
from equilib.runs.folder import RunDirectory
from equilib.training.snapshot import Snapshot

KEYS: list[Any] = ["a", "b", "a/b", "/", "", "0", "1", "array", "a.npy", 0, 1, -1, "[0]", '"', "\\", "é", "\n"]


def drawn(rng: np.random.Generator, depth: int) -> Any:
    """Return a random tree of dicts and lists, some of them empty, each leaf another number or None."""
    if not depth or rng.random() < 0.3:
        return None if rng.random() < 0.2 else np.asarray(rng.random())
    count = int(rng.integers(0, 4))
    if rng.random() < 0.3:
        return [drawn(rng, depth - 1) for _ in range(count)]
    return {KEYS[key]: drawn(rng, depth - 1) for key in rng.choice(len(KEYS), count, replace=False)}


def same(one: Any, other: Any) -> bool:
    """Tell whether two trees are equal, kinds of containers, order and types of keys included."""
    if isinstance(one, dict):
        order = isinstance(other, dict) and [*map(repr, one)] == [*map(repr, other)]
        return order and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return one is other if one is None else isinstance(other, np.ndarray) and bool(one == other)


def test_any_tree_of_names_comes_back_equal_or_is_refused(tmp_path: Path):
    """Whatever the keys are: only trees with one name for two leaves are refused, as the file names leaves."""
    rng, file, refused = np.random.default_rng(0), tmp_path / "tree.npz", 0
    for _ in range(150):
        tree = drawn(rng, 3)
        names = [name for name, _ in named_leaves(tree)]
        if len(set(names)) < len(names):
            refused += 1
            with pytest.raises(UserError, match="two leaves are called"):
                equilib.save(file, tree)
            continue
        equilib.save(file, tree)
        assert same(tree, equilib.load(file)), tree
        assert same(tree, equilib.load(file, like=tree)), tree
    assert refused < 75


@pytest.mark.parametrize(
    "tree",
    [
        {"a/b": np.ones(2), "a": np.zeros(3)},
        {"a": np.zeros(3), "a/b": np.ones(2)},
        {"array": np.ones(2)},
        {"0": np.ones(2)},
        {0: np.ones(2)},
        {"": {"a": np.ones(2)}},
        {"": np.ones(2)},
        [None, np.ones(2)],
        [np.ones(2), {}],
        [{}, np.ones(2)],
        [np.ones(2), None],
        [np.ones(2), None, None, []],
        [None, {"b": None, "a": np.ones(2), "c": {}}, [], [[], {0: {}}], None],
        {"b": {}, "a": np.ones(2), "0": None},
        {},
        [],
        None,
        [{}, None],
        {"a": [None, None]},
    ],
    ids=repr,
)
def test_trees_that_names_leave_open(tmp_path: Path, tree: Any):
    """The keys stand beside the names, which alone would be read as another tree; NumPy reads the names."""
    equilib.save(tmp_path / "tree.npz", tree)
    found = equilib.load(tmp_path / "tree.npz")
    assert repr(found) == repr(tree)
    with np.load(tmp_path / "tree.npz") as plain:
        assert sorted(plain.files) == sorted(name for name, _ in named_leaves(tree))


@pytest.mark.parametrize("key", ["w" * 65532, "é" * 32766, "\n" * 65000])
def test_keys_that_are_too_long_are_refused(tmp_path: Path, key: str):
    """A name, or the keys beside it, has as many bytes as zip can hold; that many are kept."""
    with pytest.raises(UserError, match="which has 65,531 bytes at most: give that leaf a shorter key"):
        equilib.save(tmp_path / "tree.npz", {key: np.ones(2)})
    equilib.save(tmp_path / "tree.npz", {"w" * 65527: np.ones(2)})
    assert list(equilib.load(tmp_path / "tree.npz")) == ["w" * 65527]


def test_what_is_nested_too_deeply_is_refused(tmp_path: Path):
    """A tree that holds itself, and a file of a hundred thousand levels, end in a sentence."""
    tree: dict[str, Any] = {}
    tree["a"] = tree
    with pytest.raises(UserError, match="nested too deeply to be saved, or holds itself"):
        equilib.save(tmp_path / "tree.npz", tree)
    with (tmp_path / "tree.npz").open("wb") as file:
        write_arrays(file, {"a/" * 30000 + "b": np.ones(2)})
    with pytest.raises(UserError, match="nested too deeply"):
        equilib.load(tmp_path / "tree.npz")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_names_of_others_that_are_no_tree_ask_for_one(tmp_path: Path, names: tuple[str, str]):
    """A file that NumPy wrote may have a name within another one: no array is lost without a word."""
    np.savez(tmp_path / "tree.npz", **{name: np.ones(2) for name in names})
    with pytest.raises(UserError, match=r"within .*say by like=\.\.\. which tree it is"):
        equilib.load(tmp_path / "tree.npz")
    like = {name: np.zeros(2) for name in names}
    assert list(equilib.load(tmp_path / "tree.npz", like=like)) == list(names)


MODELS = [
    Chain(ops.tanh, Dense(2, 3), ops.tanh),
    Chain(Chain(), Dense(2, 2), Chain(ops.tanh)),
    Chain(ops.tanh, ops.exp),
]


@pytest.mark.parametrize("model", MODELS, ids=["around", "nested", "alone"])
def test_a_model_takes_what_was_saved_of_it(tmp_path: Path, model: Chain):
    """Layers without parameters keep their places at both ends, within, and where there are no others; in runs, too."""
    params, x = model.init(np.random.default_rng(0)), np.ones((1, 2), np.float32)
    equilib.save(tmp_path / "params.npz", params)
    RunDirectory(tmp_path, {}).save_model(params)
    for file in ("params.npz", "model.npz"):
        found = equilib.load(tmp_path / file)
        assert repr(found) == repr(params)
        np.testing.assert_array_equal(model(found, x), model(params, x))


def test_files_of_earlier_versions_are_read(tmp_path: Path):
    """Beside their names are keys alone, and a gap in a list is None."""
    with (tmp_path / "tree.npz").open("wb") as file:
        write_arrays(file, {"1/a": np.ones(2), "3": np.zeros(2)}, {"1/a": b'[1,"a"]', "3": b"[3]"})
    assert repr(equilib.load(tmp_path / "tree.npz")) == repr([None, {"a": np.ones(2)}, None, np.zeros(2)])


def test_more_empty_places_than_a_file_holds_are_refused(tmp_path: Path):
    """A sentence says where; None before a leaf takes no room."""
    for tree, where in (([{}] * 10_000 + [np.ones(2)], "'10000'"), ([[]] * 10_000, "the tree")):
        with pytest.raises(UserError, match=f"too many empty containers and None at {where}"):
            equilib.save(tmp_path / "tree.npz", tree)
    equilib.save(tmp_path / "tree.npz", [None] * 10_000 + [np.ones(2)])
    assert len(equilib.load(tmp_path / "tree.npz")) == 10_001


def test_gaps_that_would_fill_the_memory_are_not_believed(tmp_path: Path):
    """Many long lists of None in a few bytes of a comment are those of somebody else."""
    before = ",".join(f'[["{key}",999999],null]' for key in range(2000))
    comment = f'{{"before":[{before}],"keys":["a"]}}'.encode()
    with (tmp_path / "tree.npz").open("wb") as file:
        write_arrays(file, {"a": np.ones(2)}, {"a": comment})
    assert list(equilib.load(tmp_path / "tree.npz")) == ["a"]


PLACES = [
    b"[]",
    b"3",
    b"[3]",
    b"[[3],{}]",
    b'[["b"],3]',
    b'[["b"],{"c":1}]',
    b"[[true],null]",
    b'[["a"],null]',
    b'[["a","b"],null]',
    b'["b",null]',
]
BESIDE = [b'{"keys":["a"],"before":[%s]}' % place for place in PLACES]
BESIDE += [b'{"before":[[["b"],{}]]}', b'{"keys":["a"],"before":3}', b'{"keys":["a"],"more":[]}']
COMMENTS = [b"", b"[", b"{}", b"3", b'["b"]', b"[true]", b"[-1]", b"[999999999]", b"[[0,1]]", b"[1e3]", b"[" * 20000]
COMMENTS += BESIDE


@pytest.mark.parametrize("comment", COMMENTS, ids=range(len(COMMENTS)))
def test_comments_of_others_say_nothing(tmp_path: Path, comment: bytes):
    """Where the keys beside a name are others than the name, the name counts."""
    with (tmp_path / "tree.npz").open("wb") as file:
        write_arrays(file, {"a": np.ones(2)}, {"a": comment})
    with zipfile.ZipFile(tmp_path / "tree.npz") as archive:
        assert archive.infolist()[0].comment == comment
    assert list(equilib.load(tmp_path / "tree.npz")) == ["a"]


def test_runs_lose_no_parameter(tmp_path: Path):
    """Parameters and checkpoints of a run are refused as saved trees are, where two names are one."""
    params = {"a/b": np.ones(2), "a": {"b": np.zeros(2)}}
    snapshot = Snapshot(params=params, optimizer={}, progress={"step": 2}, order=np.arange(3))
    with pytest.raises(UserError, match="two leaves are called 'a/b'"):
        RunDirectory(tmp_path / "run", {}).save_model(params)
    with pytest.raises(UserError, match="two leaves are called 'a/b'"):
        write_checkpoint(tmp_path / "checkpoint.npz", snapshot, {})

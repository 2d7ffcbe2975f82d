"""A checkpoint is what was written, bit for bit, or it is refused."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.arrays.trees import named_leaves
from equilib.runs.checkpoint_file import CheckpointError, read_checkpoint, write_checkpoint
from equilib.runs.checkpoints import Checkpoints, checkpoint_paths
from equilib.training.snapshot import Snapshot
from tests.training.small import trainer

FACTS = {"run": "a1", "request": {"experiment": "study", "seed": 3}}


@cache
def in_the_middle() -> Snapshot:
    """Return the state of a trainer in the middle of its second epoch."""
    subject = trainer()
    states = []
    subject.after_batch = lambda: states.append(subject.state())
    list(subject.epochs())
    return states[10]


def equal(left: Any, right: Any) -> bool:
    """Compare two trees of arrays and numbers bit by bit."""
    ours, theirs = dict(named_leaves(left)), dict(named_leaves(right))
    return ours.keys() == theirs.keys() and all(
        np.asarray(ours[name]).dtype == np.asarray(theirs[name]).dtype and np.array_equal(ours[name], theirs[name])
        for name in ours
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a checkpoint."""
    write_checkpoint(tmp_path / "checkpoint.npz", in_the_middle(), FACTS)
    return tmp_path / "checkpoint.npz"


def refusal(path: Path) -> str:
    """Read a checkpoint that is refused; return the sentence."""
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_holds_the_whole_state(path: Path) -> None:
    """Parameters, optimizer, order and progress come back as they were, and the facts about the run with them."""
    written, found = in_the_middle(), read_checkpoint(path)
    snapshot = found.snapshot(trainer().state())
    assert equal(snapshot.params, written.params)
    assert equal(snapshot.optimizer, written.optimizer)
    assert snapshot.optimizer["count"] == 11
    assert isinstance(snapshot.optimizer["count"], int)
    np.testing.assert_array_equal(snapshot.order, written.order, strict=True)
    assert snapshot.progress == written.progress
    assert {name: found.header[name] for name in FACTS} == FACTS


def test_a_checkpoint_needs_no_pickle(path: Path) -> None:
    """NumPy reads it as plain arrays, the header is JSON, and its format has a number."""
    with np.load(path, allow_pickle=False) as archive:
        assert {"header", "order", "sha256", "params/deq/cell/recur/weight", "optimizer/count"} <= set(archive.files)
        assert all(archive[name].dtype != object for name in archive.files)
        header = json.loads(archive["header"].tobytes())
    assert (header["format"], header["version"]) == ("equilib checkpoint", 1)


def test_a_damaged_byte_is_seen(path: Path, rng: np.random.Generator) -> None:
    """Whatever byte changes, the checkpoint is refused in one sentence or still holds exactly what was written."""
    content, whole = path.read_bytes(), read_checkpoint(path)
    refused = 0
    for place in rng.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = read_checkpoint(path)
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
        else:
            assert found.header == whole.header
            assert equal(found.arrays, whole.arrays)
    assert refused > 200


@pytest.mark.parametrize("share", [0, 0.001, 0.2, 0.5, 0.9, 0.999])
def test_a_checkpoint_that_is_cut_off_is_refused(path: Path, share: float) -> None:
    """A file that lost its end, or all of it, is no checkpoint."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "is not a checkpoint, or is cut off or damaged" in refusal(path)


def rewrite(path: Path, **changes: Any) -> None:
    """Change the header of a checkpoint, and leave its checksum as it was."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes()) | changes
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)


def test_a_changed_header_is_seen(path: Path) -> None:
    """Zip's own checksums are right after a change by hand; that of the content is not."""
    rewrite(path, run="b2")
    assert "is damaged: its checksum is not that of its content" in refusal(path)


def test_a_newer_format_is_named(path: Path) -> None:
    """The sentence says which format it is, which one is known here, and what to do."""
    rewrite(path, version=7)
    assert "has format 7 of checkpoints, and this version of equilib reads 1; install a newer one" in refusal(path)


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    """A text, an archive of something else, a model and a single array are refused."""
    path = tmp_path / "file.npz"
    path.write_text("hello")
    assert "is not a checkpoint" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "is not a checkpoint" in refusal(path)
    np.savez(path, weight=np.ones(3))
    assert "is not a checkpoint of equilib" in refusal(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    assert "is not a checkpoint" in refusal(path)
    path.unlink()
    assert "cannot be read: No such file or directory" in refusal(path)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    """An archive with an object in it is refused, not executed."""
    path = tmp_path / "file.npz"
    np.savez(path, header=np.array([{"format": "equilib checkpoint"}], dtype=object))
    assert "holds objects of Python" in refusal(path)


def test_another_models_checkpoint_does_not_fit(path: Path) -> None:
    """A parameter of another shape is named."""
    subject = trainer()
    subject.params["after"]["bias"] = np.zeros(7, np.float32)
    with pytest.raises(CheckpointError, match=r"another model: 'after/bias', of shape \(7,\) here, is of shape \(3,\)"):
        read_checkpoint(path).snapshot(subject.state())


def test_a_checkpoint_is_never_half_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If writing breaks off, the old one is intact, and no scrap is left."""
    content = path.read_bytes()

    def broken(file: Any, *array: object, **how: object) -> None:
        file.write(b"PK half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", broken)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, in_the_middle(), FACTS)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


# Which are kept


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    """Each new one removes all but itself and the one before; other files stay."""
    subject = trainer()
    checkpoints = Checkpoints(tmp_path, FACTS)
    names = []
    for _ in subject.epochs():
        checkpoints.write(subject.state())
        (tmp_path / "checkpoints" / "notes.txt").touch()
        names.append([path.name for path in checkpoint_paths(tmp_path)])
    first, second, third = (f"checkpoint-{step:08d}.npz" for step in (7, 14, 21))
    assert names == [[first], [first, second], [second, third]]
    assert (tmp_path / "checkpoints" / "notes.txt").exists()


def test_going_on_from_an_older_one_drops_the_newer(tmp_path: Path) -> None:
    """The one that a run goes on from is the one before the next; those after it are of a past that is over."""
    subject = trainer()
    checkpoints, states = Checkpoints(tmp_path, FACTS), []
    for _ in subject.epochs():
        states.append(subject.state())
        checkpoints.write(states[-1])
    older, newer = checkpoint_paths(tmp_path)
    newer.write_bytes(b"damaged")
    Checkpoints(tmp_path, FACTS, after=older).write(states[0])
    assert [path.name for path in checkpoint_paths(tmp_path)] == ["checkpoint-00000007.npz", older.name]


@pytest.mark.parametrize(
    ("every", "minutes", "due"), [(1, None, [1, 2, 3, 4]), (2, None, [2, 4]), (0, None, []), (0, 1e-9, [1, 2, 3, 4])]
)
def test_when_one_is_due(tmp_path: Path, every: int, minutes: float | None, due: list[int]) -> None:
    """After so many epochs, after so many minutes, or never."""
    checkpoints = Checkpoints(tmp_path, FACTS, every=every, minutes=minutes)
    assert [epoch for epoch in range(1, 5) if checkpoints.is_due(epoch_ended=True)] == due
    assert checkpoints.is_due(epoch_ended=False) == (minutes is not None)

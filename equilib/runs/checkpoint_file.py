"""File of a checkpoint: an npz archive without pickle, whole or refused.

Its members are `header`, UTF-8 of a JSON object; one array for each parameter and each part of the optimizer's state,
named as in "params/deq/cell/recur/0/weight"; `order`, the samples of the epoch at work; with warm starts
`warm_starts/start` and the like, shape (known, ...), with the numbers of the samples in `known/start`, and how many
samples there are in `samples/start`; and `sha256` of all the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equilib.arrays import Array, to_host
from equilib.errors import UserError, file_errors
from equilib.options.schema import flaw
from equilib.runs.arrays_file import DamagedArraysError, read_arrays, write_arrays
from equilib.runs.files import fill_tree, read_json, whole_file
from equilib.runs.keys import distinct_leaves
from equilib.runs.schemas import Header
from equilib.training.snapshot import Snapshot

FORMAT, VERSION = "equilib checkpoint", 1
KNOWN = ("request", "resolved", "options", "method", "optimizer", "data_digest", "versions")
"""What of `run.json` a checkpoint holds as well."""

_HEADER, _DIGEST, _ORDER = "header", "sha256", "order"
_PARTS = ("params", "optimizer")
_WARM, _KNOWN, _SAMPLES = "warm_starts", "known", "samples"


class CheckpointError(UserError):
    """A checkpoint that is damaged, of another program, of a newer format, or of another run."""


@dataclass(frozen=True, kw_only=True)
class CheckpointFile:
    """A checkpoint that was read and is whole.

    Its header has "run", the id of its run; what is KNOWN of `run.json`, whose format is "record_format"; "progress" of
    the `Snapshot`.
    """

    path: Path
    header: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(repr=False)

    def snapshot(self, like: Snapshot) -> Snapshot:
        """Return what it holds in the structure of `like`.

        Raises CheckpointError if it holds another model, or another optimizer's state.
        """
        parts = {}
        for part in _PARTS:
            own = {name.partition("/")[2]: array for name, array in self.arrays.items() if name.startswith(f"{part}/")}
            parts[part] = fill_tree(getattr(like, part), own, self.path, error=CheckpointError)
        order = self.arrays[_ORDER]
        if order.dtype.kind not in "iu" or not np.array_equal(np.sort(order, axis=None), np.arange(order.size)):
            raise CheckpointError(f"{self.path} holds an order of {order.size:,} samples that leaves some of them out")
        return Snapshot(
            **parts,
            order=order,
            progress=self.header["progress"],
            warm_starts={name: self._warm_starts(name) for name in like.warm_starts},
        )

    def _warm_starts(self, name: str) -> tuple[np.ndarray | None, ...]:
        rows: list[np.ndarray | None] = [None] * int(self.arrays[f"{_SAMPLES}/{name}"])
        for row, array in zip(self.arrays[f"{_KNOWN}/{name}"], self.arrays[f"{_WARM}/{name}"], strict=True):
            rows[row] = array
        return tuple(rows)


def write_checkpoint(path: Path, snapshot: Snapshot, facts: Mapping[str, Any]) -> None:
    """Write a checkpoint; it is on the disk, and whole, when this returns."""
    header = {"format": FORMAT, "version": VERSION, **facts, "progress": snapshot.progress}
    arrays = {
        _HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8),
        _ORDER: snapshot.order,
        **{
            f"{part}/{name}": to_host(leaf)
            for part in _PARTS
            for name, _, leaf in distinct_leaves(getattr(snapshot, part))[0]
        },
        **_kept(snapshot.warm_starts),
    }
    with whole_file(path) as file:
        write_arrays(file, {**arrays, _DIGEST: _digest(arrays)})


def read_checkpoint(path: Path) -> CheckpointFile:
    """Read a checkpoint and check that it is whole.

    Raises CheckpointError if it is none, is damaged, or has a format that this version of equilib does not know.
    """
    arrays = _read_arrays(path)
    digest = arrays.pop(_DIGEST, None)
    header = _read_header(arrays)
    if header is None or digest is None:
        raise CheckpointError(f"{path} is not a checkpoint of equilib")
    # What a newer format digests is its own affair.
    if header["version"] > VERSION:
        raise CheckpointError(
            f"{path} has format {header['version']} of checkpoints, and this version of equilib reads {VERSION}; "
            "install a newer one"
        )
    if digest.dtype != np.uint8 or not np.array_equal(digest, _digest(arrays)):
        raise CheckpointError(f"{path} is damaged: its checksum is not that of its content")
    wrong = flaw(header, Header, "")
    if wrong is not None:
        raise CheckpointError(f"{path} holds what no checkpoint does: {wrong}")
    del arrays[_HEADER]
    return CheckpointFile(path=path, header=header, arrays=arrays)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with file_errors(f"{path} cannot be read", error=CheckpointError):
            return read_arrays(path, what="a checkpoint")
    except DamagedArraysError as error:
        raise CheckpointError(f"{path} {error}") from error


def _read_header(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    try:
        header = read_json(arrays[_HEADER].tobytes())
    except (KeyError, ValueError):
        return None
    if not isinstance(header, dict) or header.get("format") != FORMAT or not isinstance(header.get("version"), int):
        return None
    return header


def _kept(warm_starts: Mapping[str, Sequence[Array | None]]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, rows in warm_starts.items():
        known = [row for row, array in enumerate(rows) if array is not None]
        arrays[f"{_SAMPLES}/{name}"] = np.asarray(len(rows))
        arrays[f"{_KNOWN}/{name}"] = np.asarray(known, np.int64)
        arrays[f"{_WARM}/{name}"] = np.stack([to_host(rows[row]) for row in known]) if known else np.zeros(0)
    return arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), np.uint8)

"""Formats that are fuzzed: for each, cases made from a seed, and the commands that read them."""

from __future__ import annotations

import gzip
import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

import equilib
from equilib.cli import main
from equilib_experiments.data.mnist import TEST, TRAIN
from tests.digits import write_digits
from tests.fuzz.mutations import DEEP, bytes_changed, cut, json_changed
from tests.fuzz.options import command_line
from tests.fuzz.plugins import plugin
from tests.photographs import write_photographs


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line, the folder that it is about, and whether what it is given is wrong beyond doubt."""

    argv: tuple[str, ...]
    folder: Path | None = None
    malformed: bool = False
    plugins: Path | None = None  # a folder that is searched for plugins
    said: str = ""  # what must be told
    call: Callable[[], object] | None = None  # what is done in Python, instead of a command line


@dataclass(frozen=True)
class Ground:
    """What is sound: two finished runs and their data, of which each case gets a copy to spoil."""

    root: Path

    def prepare(self) -> None:
        """Train the two runs, once."""
        write_digits(self.root / "digits", train=12, test=4)
        write_photographs(self.root / "photographs", train=12, test=4)
        np.save(self.root / "x.npy", np.ones((2, 1), np.float32))
        _train("linear", "--epochs", "2", "--out", str(self.root / "line"))
        image = ("--model", "reduced", "--limit", "12", "--epochs", "1", "--batch-size", "4", "-o", "max_steps=2")
        _train("mnist", *image, "--data-dir", str(self.root / "digits"), "--out", str(self.root / "image"))
        main(["report", str(self.root / "line"), "--limit", "0", "--out", str(self.root / "page")])

    def copy(self, name: str) -> Path:
        """Return a fresh copy of a folder."""
        place = self.root / "spoiled"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.root / name, place / name)
        return place / name


def _train(*argv: str) -> None:
    if main(["run", *argv, "--quiet", "--device", "cpu"]):
        raise RuntimeError("the ground of the fuzzer cannot be made")


RANKS = b"""{"size": 3, "communicator": {"library": "MPI", "version": [4, 0]}, "hosts": ["here", "there"]}"""

Maker = Callable[[Ground, Random], Case]


def _reading(random: Random, run: Path, ground: Ground) -> tuple[str, ...]:
    """Return a command that reads a run's folder, the slow ones seldom."""
    commands: list[tuple[tuple[str, ...], float]] = [
        (("evaluate", str(run)), 3),
        (("predict", str(run), str(ground.root / "x.npy")), 3),
        (("resume", str(run), "--epochs", "3", "--quiet"), 2),
        (("resume", str(run), "--quiet"), 1),
        (("check-gradient", "linear", "--from", str(run), "--samples", "1", "--directions", "1"), 0.5),
        (("report", str(run), "--limit", "0"), 0.15),
    ]
    return random.choices([each for each, _ in commands], [weight for _, weight in commands])[0]


def _record(ground: Ground, random: Random) -> Case:
    run = ground.copy("line")
    path, structured = run / "run.json", random.random() < 0.7
    whole = path.read_bytes()
    if random.random() < 0.1:  # of a run by several ranks, which is gone on with by one
        # As bytes: what is changed may be nested more deeply than `json` takes.
        path.write_bytes(whole.rstrip().removesuffix(b"}") + b', "ranks": ' + json_changed(random, RANKS) + b"}")
        return Case(argv=_reading(random, run, ground), folder=run)
    path.write_bytes(json_changed(random, whole) if structured else bytes_changed(random, whole))
    return Case(argv=_reading(random, run, ground), folder=run)


def _metrics(ground: Ground, random: Random) -> Case:
    run = ground.copy("line")
    path = run / random.choice(("metrics.jsonl", "metrics.jsonl", "metrics.csv"))
    whole = path.read_bytes()
    if path.suffix == ".jsonl" and random.random() < 0.6:
        lines = whole.splitlines(keepends=True)
        place = random.randrange(len(lines))
        lines[place] = json_changed(random, lines[place]) + b"\n"
        path.write_bytes(b"".join(lines))
    else:
        path.write_bytes(bytes_changed(random, whole))
    return Case(argv=_reading(random, run, ground), folder=run)


def _archive_changed(random: Random, whole: bytes) -> bytes:
    """Return an npz archive with changed bytes, or with a member that is no array or another one."""
    if random.random() < 0.5:
        return bytes_changed(random, whole)
    changed = io.BytesIO()
    with np.load(io.BytesIO(whole)) as arrays, zipfile.ZipFile(changed, "w") as archive:
        spoiled = random.choice(arrays.files)
        for name in arrays.files:
            content = io.BytesIO()
            array = _array_changed(random, arrays[name]) if name == spoiled else arrays[name]
            np.lib.format.write_array(content, array, allow_pickle=True)
            raw = content.getvalue()
            archive.writestr(f"{name}.npy", cut(random, raw) if name == spoiled and random.random() < 0.3 else raw)
        if random.random() < 0.2:
            archive.writestr(random.choice(("readme.txt", "x.npy", "../../x.npy")), b"hello")
    return changed.getvalue()


def _array_changed(random: Random, array: np.ndarray) -> np.ndarray:
    kind = random.randrange(7)
    if kind == 0:
        return array.astype(random.choice(("f8", "i4", "c8", "U5", "?", "f2")))
    if kind == 1:
        return array.reshape(-1)[: max(array.size - 1, 0)]
    if kind == 2:
        return array[..., None]
    if kind == 3:
        return np.array([{"x": 1}], dtype=object)
    if kind == 4:
        return np.array(["2026-01-01"], dtype="M8[D]")
    if kind == 5:
        return np.zeros(array.shape, [("a", "f4")])
    with np.errstate(invalid="ignore"):
        return np.full(array.shape, random.choice((np.nan, np.inf, 255)), np.float64).astype(array.dtype)


def _checkpoint(ground: Ground, random: Random) -> Case:
    run = ground.copy("line")
    path = random.choice(sorted((run / "checkpoints").iterdir()))
    whole, shortened = path.read_bytes(), random.random() < 0.3
    path.write_bytes(cut(random, whole) if shortened else _archive_changed(random, whole))
    argv = ("resume", str(run), "--epochs", "3", "--quiet", "--from", path.name)
    return Case(argv=argv, folder=run, malformed=shortened or _differs(path, whole))


def _model(ground: Ground, random: Random) -> Case:
    run = ground.copy("line")
    path = run / "model.npz"
    whole = path.read_bytes()
    shortened = random.random() < 0.3
    path.write_bytes(cut(random, whole) if shortened else _archive_changed(random, whole))
    argv = random.choice((("evaluate", str(run)), ("predict", str(run), str(ground.root / "x.npy"))))
    return Case(argv=argv, folder=run, malformed=shortened or _differs(path, whole, in_kind=True))


def _loaded(content: bytes) -> dict[str, np.ndarray] | None:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            return {name: np.asarray(found[name]) for name in found.files}
    except Exception:  # which is what the bytes are for
        return None


def _differs(path: Path, whole: bytes, *, in_kind: bool = False) -> bool:
    """Tell whether NumPy, too, reads the file, and finds other arrays in it, or ones of other shapes and dtypes."""
    found, sound = _loaded(path.read_bytes()), _loaded(whole)
    assert sound is not None
    seen = [
        {name: (each.dtype, each.shape, in_kind or each.tobytes()) for name, each in some.items()}
        for some in (found or {}, sound)
    ]
    return found is not None and seen[0] != seen[1]


def _arrays(ground: Ground, random: Random) -> Case:
    image, content = random.random() < 0.5, io.BytesIO()
    run, array = ("image", np.zeros((1, 28, 28), np.uint8)) if image else ("line", np.ones((2, 1), np.float32))
    if random.random() < 0.5:
        array = _array_changed(random, array)
    packed = random.random() < 0.5
    (np.savez if packed else np.save)(content, array, allow_pickle=True)
    whole, shortened = content.getvalue(), random.random() < 0.4
    path = ground.root / f"given.{'npz' if packed else 'npy'}"
    path.write_bytes(cut(random, whole) if shortened else bytes_changed(random, whole))
    return Case(argv=("predict", str(ground.root / run), str(path)), malformed=shortened)


def _picture(ground: Ground, random: Random) -> Case:
    from PIL import Image

    mode, content = random.choice(("L", "RGB", "RGBA", "P", "I;16", "1", "F")), io.BytesIO()
    kind = "TIFF" if mode == "F" else "PNG" if mode == "I;16" else random.choice(("PNG", "TIFF", "GIF"))
    size = random.choice(((28, 28), (5, 60), (1, 1)))
    made = Image.new(mode, size, 1)
    made.save(content, kind, **({"save_all": True, "append_images": [made]} if kind == "GIF" else {}))
    whole, shortened = content.getvalue(), random.random() < 0.3
    path = ground.root / "given.png"
    # Some viewers show a PNG without its end, which may hold no pixels: half of it is wrong beyond doubt.
    path.write_bytes(whole[: random.randrange(len(whole) // 2)] if shortened else bytes_changed(random, whole))
    malformed = shortened and kind == "PNG"
    return Case(argv=("predict", str(ground.root / "image"), str(path), "--invert"), malformed=malformed)


def _idx(ground: Ground, random: Random) -> Case:
    folder = ground.copy("digits")
    path = folder / random.choice((*TRAIN, *TEST))
    whole = gzip.decompress(path.read_bytes())
    shortened, packed = random.random() < 0.4, random.random() < 0.5
    changed = cut(random, whole) if shortened else bytes_changed(random, whole)
    if packed and random.random() < 0.5:
        changed, shortened = cut(random, gzip.compress(whole, 1)), True
        path.write_bytes(changed)
    else:
        path.write_bytes(gzip.compress(changed, 1) if packed else changed)
    argv = ("run", "mnist", "--model", "reduced", "--full", "--epochs", "0", "--pretrain-epochs", "0", "--quiet")
    place = ("--data-dir", str(folder), "--device", "cpu", "--out", str(ground.root / "idx-run"), "--overwrite")
    return Case(argv=(*argv, *place), malformed=shortened)


def _cifar(ground: Ground, random: Random) -> Case:
    folder = ground.copy("photographs")
    path = random.choice(sorted(folder.iterdir()))
    whole, shortened = path.read_bytes(), random.random() < 0.5
    # The labels stay: a record that is cut off is what is wrong beyond doubt.
    path.write_bytes(
        whole[: random.randrange(1, len(whole) // 3073) * 3073 - 7] if shortened else bytes_changed(random, whole)
    )
    argv = ("run", "cifar10", "--data-dir", str(folder), "--epochs", "0", "--pretrain-epochs", "0", "--limit", "10")
    place = ("--quiet", "--device", "cpu", "--out", str(ground.root / "cifar-run"), "--overwrite")
    return Case(argv=(*argv, *place), malformed=shortened)


def _options(ground: Ground, random: Random) -> Case:
    argv, malformed = command_line(random, ground.root)
    return Case(argv=argv, malformed=malformed)


def _plugins(ground: Ground, random: Random) -> Case:
    place = ground.root / "plugins"
    place.mkdir(exist_ok=True)
    argv, malformed, said = plugin(random, place)
    out = ("--out", str(ground.root / "plugin-run")) if argv[0] == "run" else ()
    return Case(argv=(*argv, *out), malformed=malformed, plugins=place, said=said)


def _python(ground: Ground, random: Random) -> Case:
    """Return a run of which a file is spoiled, or a tree of arrays, to be loaded in Python."""
    run = ground.copy("line")
    name = random.choice(("run.json", "metrics.jsonl", "model.npz"))
    path, shortened = run / name, random.random() < 0.2
    whole = path.read_bytes()
    if shortened:
        path.write_bytes(cut(random, whole))
    elif name == "run.json" and random.random() < 0.7:
        path.write_bytes(json_changed(random, whole))
    else:
        path.write_bytes(_archive_changed(random, whole) if name == "model.npz" else bytes_changed(random, whole))
    malformed = name == "model.npz" and (shortened or _differs(path, whole, in_kind=True))
    if name == "model.npz" and random.random() < 0.5:
        like = equilib.load(ground.root / "line" / name)
        return Case(argv=("equilib.load",), folder=run, malformed=malformed, call=lambda: equilib.load(path, like))

    def loaded() -> None:
        found = equilib.load_run(run)
        found.predict(np.ones((2, 1), np.float32))
        f"{found} {found!r} {found.score} {found.metrics}"

    return Case(argv=("equilib.load_run",), folder=run, malformed=malformed, call=loaded)


def _other(ground: Ground, random: Random) -> Case:
    """Return a file of another kind in the place of one of a run's."""
    run = ground.copy("line")
    path = random.choice([run / "run.json", run / "metrics.jsonl", run / "model.npz", *(run / "checkpoints").iterdir()])
    others = [
        b"",
        b"\0" * 100,
        DEEP,
        b"\xef\xbb\xbf{}",
        b"hello",
        (ground.root / "x.npy").read_bytes(),
        random.randbytes(200),
    ]
    kind = random.randrange(len(others) + 2)
    path.unlink()
    if kind < len(others):
        path.write_bytes(others[kind])
    elif kind == len(others):
        path.mkdir()
    return Case(argv=_reading(random, run, ground), folder=run)


FORMATS: dict[str, tuple[Maker, float]] = {
    "options of commands": (_options, 5),
    "run.json": (_record, 4),
    "metrics.jsonl, metrics.csv": (_metrics, 2),
    "checkpoint": (_checkpoint, 2),
    "model.npz": (_model, 2),
    "npy, npz": (_arrays, 3),
    "pictures": (_picture, 3),
    "IDX": (_idx, 1.5),
    "CIFAR-10": (_cifar, 0.5),
    "another file in its place": (_other, 2),
    "plugins": (_plugins, 4),
    "load, load_run in Python": (_python, 3),
}
"""What makes cases of each format, and how often."""


def cases(seed: int) -> Iterator[tuple[str, int]]:
    """Yield formats without end, in an order of the seed, each with the number of the case."""
    random, names = Random(f"order {seed}"), list(FORMATS)
    weights, counts = [weight for _, weight in FORMATS.values()], dict.fromkeys(names, 0)
    while True:
        (name,) = random.choices(names, weights)
        counts[name] += 1
        yield name, counts[name]


def make(ground: Ground, name: str, seed: int, number: int) -> Case:
    """Return a case again by its name."""
    return FORMATS[name][0](ground, Random(f"{name}:{seed}:{number}"))

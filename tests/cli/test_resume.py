"""`equilib resume`: a run goes on, whatever ended it, or the command says in one sentence why it does not."""

from __future__ import annotations

import inspect
import json
import pkgutil
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.cli import main
from equilib.machine.blas import numpy_blas
from equilib.runs.checkpoints import checkpoint_paths
from equilib.runs.folder import locked
from equilib.training.trainer import Trainer
from tests.digits import write_digits

QUICK = ("--limit", "40", "--batch-size", "8", "--pretrain-epochs", "1", "--device", "cpu")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with made-up digits, without settings of the caller."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    write_digits(tmp_path / "digits")
    return tmp_path


def run(*argv: str, epochs: int = 2, out: str = "run") -> int:
    """Type `equilib run mnist`."""
    common = ("--data-dir", "digits", *QUICK, "--epochs", str(epochs), "--out", out)
    return main(["run", "mnist", *common, *argv])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the run of two epochs that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    data = write_digits(folder / "digits")
    argv = ("--data-dir", str(data), *QUICK, "--epochs", "2", "--out", str(folder / "run"), "--quiet")
    assert main(["run", "mnist", *argv]) == 0
    return str(folder / "run")


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int, error: BaseException | None = None) -> None:
    """Press Ctrl-C after so many batches, once."""
    train = Trainer._train_batch
    left = [batches]

    def train_batch(self: Trainer, *args: Any) -> float:
        if left[0] == 0:
            monkeypatch.setattr(Trainer, "_train_batch", train)
            raise error or KeyboardInterrupt
        left[0] -= 1
        return train(self, *args)

    monkeypatch.setattr(Trainer, "_train_batch", train_batch)


def record(folder: str = "run") -> dict[str, Any]:
    """Read run.json."""
    content = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def results(folder: str) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Read what no clock decides: metrics and model."""
    lines = (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    metrics = [{n: v for n, v in json.loads(line).items() if not n.endswith("seconds")} for line in lines]
    with np.load(Path(folder) / "model.npz") as model:
        return metrics, dict(model)


def same(left: str, right: str) -> None:
    """Compare two runs bit by bit."""
    (metrics, model), (others, other) = results(left), results(right)
    assert metrics == others
    assert model.keys() == other.keys()
    for name, array in model.items():
        np.testing.assert_array_equal(array, other[name], strict=True)


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Type a command that is refused; return the sentence."""
    capsys.readouterr()
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip()


# It goes on


@pytest.mark.parametrize("batches", [0, 2, 4, 9])
def test_ctrl_c_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: Path, batches: int, whole: str
) -> None:
    """Interrupted before the first batch, in an epoch or between two, the run ends as it would have, bit by bit."""
    stop_after(monkeypatch, batches)
    assert run() == 130
    assert record()["status"] == "interrupted"
    assert "equilib resume run" in capsys.readouterr().out
    monkeypatch.chdir(here / "digits")  # the folder of the data is found from anywhere
    assert main(["resume", "../run"]) == 0
    monkeypatch.chdir(here)
    same(whole, "run")
    resumed = record()
    assert (resumed["status"], resumed["argv"][0], resumed["error"]) == ("finished", "run", None)
    assert resumed["resumed"][0]["checkpoint"] == f"checkpoint-{batches:08d}.npz"
    whole = record(whole)
    assert resumed["best"] == whole["best"]
    tested = {name: value for name, value in resumed["results"].items() if not name.endswith("seconds")}
    assert tested == {name: value for name, value in whole["results"].items() if not name.endswith("seconds")}
    table = (here / "run" / "metrics.csv").read_text().splitlines()
    assert len(table) == 4


def test_a_run_can_stop_often(monkeypatch: pytest.MonkeyPatch, whole: str) -> None:
    """Interrupted again and again, each time after three batches, it ends as it would have."""
    stop_after(monkeypatch, 3)
    status = run()
    while status == 130:
        stop_after(monkeypatch, 3)
        status = main(["resume", "run"])
    assert status == 0
    same(whole, "run")
    assert len(record()["resumed"]) == 3


def test_a_killed_run_begins_at_its_last_checkpoint(monkeypatch: pytest.MonkeyPatch, whole: str) -> None:
    """What a killed process recorded after its last checkpoint is dropped, and done again."""
    stop_after(monkeypatch, 9)
    assert run() == 130
    # As `kill -9` leaves it: no end in run.json, no checkpoint of the last batch, half a line, half a checkpoint.
    checkpoint_paths(Path("run"))[-1].unlink()
    facts = {name: value for name, value in record().items() if name not in ("ended", "results", "best", "error")}
    Path("run/run.json").write_text(json.dumps(facts | {"status": "running"}))
    with Path("run/metrics.jsonl").open("a") as file:
        file.write('{"phase": "train", "epo')
    Path("run/checkpoints/.checkpoint-00000009.npz.part").write_bytes(b"PK half")
    assert main(["resume", "run"]) == 0
    same(whole, "run")
    assert not list(Path("run").rglob("*.part"))


def test_without_a_checkpoint_it_begins_again(monkeypatch: pytest.MonkeyPatch, whole: str) -> None:
    """A run that was killed in its first epoch starts from nothing, with the command line that it had."""
    stop_after(monkeypatch, 2)
    assert run() == 130
    shutil.rmtree("run/checkpoints")
    Path("run/model.npz").unlink()
    assert main(["resume", "run"]) == 0
    same(whole, "run")
    assert record()["argv"][:2] == ["run", "mnist"]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(
    monkeypatch: pytest.MonkeyPatch, whole: str
) -> None:
    """`kill -9` between the line of an epoch and its checkpoint: the epoch comes again, and its line is kept aside."""
    stop_after(monkeypatch, 5)
    assert run() == 130
    line = Path("run/metrics.jsonl").read_bytes()
    shutil.rmtree("run/checkpoints")
    Path("run/model.npz").unlink()
    Path("run/run.json").write_text(json.dumps(record() | {"status": "running"}))
    assert main(["resume", "run"]) == 0
    same(whole, "run")
    assert Path("run/metrics.jsonl.before").read_bytes() == line


def test_a_failed_run_goes_on(monkeypatch: pytest.MonkeyPatch, whole: str) -> None:
    """What failed for a reason outside, such as a full disk, goes on when the reason is gone."""
    stop_after(monkeypatch, 6, OSError(28, "No space left on device"))
    assert run() == 1
    assert record()["status"] == "failed"
    assert main(["resume", "run"]) == 0
    same(whole, "run")


def test_a_finished_run_trains_on(capsys: pytest.CaptureFixture[str]) -> None:
    """With more epochs it goes on where it ended, and the next time it remembers how many."""
    assert run(epochs=1) == 0
    first, _ = results("run")
    assert main(["resume", "run", "--epochs", "3"]) == 0
    metrics, _ = results("run")
    assert metrics[:2] == first
    assert [(each["phase"], each["epoch"]) for each in metrics[1:]] == [("train", 1), ("train", 2), ("train", 3)]
    assert record()["request"]["epochs"] == 3
    assert "3 epochs after pretraining are trained already, and 2 are asked for: nothing to do" in refusal(
        capsys, "resume", "run", "--epochs", "2"
    )


def test_the_method_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solver, adjoint and options of the command line hold after the resumption too."""
    method = ("--solver", "picard:damping=0.1", "-o", "max_steps=7", "--adjoint", "jacobian-free", "--seed", "5")
    assert run(*method, out="other") == 0
    stop_after(monkeypatch, 7)
    assert run(*method) == 130
    assert main(["resume", "run"]) == 0
    same("other", "run")
    assert record()["method"] == record("other")["method"]
    assert record()["seed"] == 5


def test_changes_of_the_environment_are_noted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another version, or other kernels, are not refused: a line names both, and run.json keeps what changed."""
    stop_after(monkeypatch, 5)
    assert run() == 130
    then = {"versions": record()["versions"] | {"numpy": "1.0"}, "blas": record()["blas"] | {"kernel": "Abacus"}}
    Path("run/run.json").write_text(json.dumps(record() | then))
    capsys.readouterr()
    assert main(["resume", "run"]) == 0
    printed, kernel = capsys.readouterr().out, numpy_blas().kernel
    assert f"Note: numpy was 1.0, is {np.__version__}: the last bits of the results may differ" in printed
    assert f"Note: BLAS kernel was Abacus, is {kernel}: the last bits of the results may differ" in printed
    assert record()["resumed"][0]["numpy"] == ["1.0", np.__version__]
    assert record()["resumed"][0]["BLAS kernel"] == ["Abacus", kernel]
    assert record()["blas"]["kernel"] == "Abacus"
    assert main(["evaluate", "run", "--limit", "5"]) == 0
    assert f"Note: numpy was 1.0, is {np.__version__}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "steps"),
    [((), [8, 12]), (("--checkpoint-every", "0"), [12]), (("--checkpoint-every", "3"), [12])],
    ids=["every epoch", "at the end", "every third"],
)
def test_checkpoints_are_written_as_asked(flags: tuple[str, ...], steps: list[int]) -> None:
    """Of three epochs with four batches each, after each epoch unless the command line says less often."""
    assert run(*flags) == 0
    assert [path.name for path in checkpoint_paths(Path("run"))] == [f"checkpoint-{step:08d}.npz" for step in steps]


def test_what_is_printed_is_what_was_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """--quiet leaves one line, --json-logs objects only; a resumption follows its own flags, not those of the run."""
    stop_after(monkeypatch, 5)
    assert run("--quiet") == 130
    assert capsys.readouterr().out == "Interrupted; what was recorded until then is in run\n"
    assert main(["resume", "run", "--json-logs"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "finished"
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2]
    assert run("--quiet", out="again") == 0
    assert capsys.readouterr().out == f"{events[-1]['result']}. Run recorded in again\n"


@pytest.mark.parametrize("argv", [(), ("--solver", "anderson:memory=3", "--adjoint", "neumann")], ids=" ".join)
def test_defaults_that_change_do_not_change_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]
) -> None:
    """Every option is recorded as it was resolved: a run that is resumed after an upgrade goes on as it began."""
    assert run(*argv, epochs=3, out="whole") == 0
    stop_after(monkeypatch, 5)
    assert run(*argv, epochs=3) == 130
    asked = record()["request"]
    for where, name, value in (
        ("equilib.fixed_points.options:SolveOptions", "max_steps", 3),
        ("equilib_anderson.solver:Anderson", "mixing", 0.05),
        ("equilib_newton_gmres.solver:NewtonGMRES", "forcing", 0.7),
        ("equilib.training.optimizers:Adam", "beta1", 0.1),
    ):
        change_default(monkeypatch, where, name, value)
    capsys.readouterr()
    assert main(["resume", "run"]) == 0
    assert "Note:" not in capsys.readouterr().out
    same("whole", "run")
    assert record()["request"] == asked
    assert main(["evaluate", "run"]) == 0
    assert "the same" in capsys.readouterr().out


def change_default(monkeypatch: pytest.MonkeyPatch, where: str, name: str, value: object) -> None:
    """Give an option another default, as a later version might."""
    cls = pkgutil.resolve_name(where)
    field = cls.__dataclass_fields__[name]
    assert field.default != value
    monkeypatch.setattr(field, "default", value)
    monkeypatch.setattr(cls, name, value)
    names = list(inspect.signature(cls.__init__).parameters)[1:]
    given = cls.__init__.__kwdefaults__ or {}
    if name in given:
        monkeypatch.setitem(given, name, value)
    else:
        defaults = list(cls.__init__.__defaults__)
        defaults[names.index(name) - len(names)] = value
        monkeypatch.setattr(cls.__init__, "__defaults__", tuple(defaults))


def test_an_option_that_became_another_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the record cannot bring back, as the depth of a recipe's pretraining, is told."""
    stop_after(monkeypatch, 5)
    assert run() == 130
    content = record()
    content["options"]["pretrain_depth"] = 7
    Path("run/run.json").write_text(json.dumps(content))
    assert main(["resume", "run"]) == 0
    depth = record()["options"]["pretrain_depth"]
    note = f"Note: options pretrain_depth was 7, is {depth}: it is not the method of the run"
    assert note in capsys.readouterr().out


@pytest.mark.parametrize("damage", [b'{"id": "', b'{"request": 3}'], ids=["cut", "odd"])
def test_a_damaged_record_is_taken_from_the_checkpoint(
    capsys: pytest.CaptureFixture[str], interrupted: Path, whole: str, damage: bytes
) -> None:
    """A run whose run.json is damaged goes on, and says so; a damaged line of the metrics keeps its place."""
    (interrupted / "run.json").write_bytes(damage)
    lines = (interrupted / "metrics.jsonl").read_bytes().split(b"\n")
    (interrupted / "metrics.jsonl").write_bytes(b"\n".join([b"\x00damaged", *lines[1:]]))
    capsys.readouterr()
    assert main(["resume", "run"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("; what it said is taken from checkpoint-00000010.npz") == 1
    assert printed.count("Note: line 1 of metrics.jsonl is damaged and left out") == 1
    (metrics, model), (others, other) = results("run"), results(whole)
    assert metrics == [{}, *others[1:]]
    assert all(np.array_equal(model[name], other[name]) for name in other)
    assert (record()["status"], record()["experiment"]) == ("finished", "mnist")


# It does not


@pytest.mark.parametrize("epochs", [(), ("--epochs", "5")], ids=["as planned", "more"])
def test_what_is_trained_is_never_begun_again(
    capsys: pytest.CaptureFixture[str], interrupted: Path, epochs: tuple[str, ...]
) -> None:
    """With checkpoints lost, a run that has a model or metrics is refused, and nothing of it is touched."""
    shutil.rmtree("run/checkpoints")
    files = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    text = refusal(capsys, "resume", "run", *epochs)
    assert text.startswith("the run in run has a model and metrics, and no checkpoint that it can go on from")
    Path("run/model.npz").unlink()
    assert refusal(capsys, "resume", "run", *epochs).startswith("the run in run has metrics, and no checkpoint")
    del files[Path("run/model.npz")]
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == files


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a run with two checkpoints that was interrupted."""
    stop_after(monkeypatch, 10)
    assert run() == 130
    return Path("run")


def damage(path: Path) -> None:
    """Change a byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Take away the second half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_the_future(path: Path) -> None:
    """Give it a newer format."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes()) | {"version": 2}
    np.savez(path, **arrays | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)})


def foreign(path: Path) -> None:
    """Put that of another run in its place."""
    assert run(epochs=1, out="other") == 0
    shutil.copy(checkpoint_paths(Path("other"))[-1], path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damage, "is damaged: the checksum of"),
        (cut, "is not a checkpoint, or is cut off or damaged"),
        (of_the_future, "has format 2 of checkpoints, and this version of equilib reads 1; install a newer one"),
        (foreign, "is a checkpoint of another run"),
    ],
)
def test_a_bad_checkpoint_is_refused_and_the_one_before_offered(
    capsys: pytest.CaptureFixture[str], interrupted: Path, spoil: Callable[[Path], None], reason: str, whole: str
) -> None:
    """One sentence names the file and the reason; the command that it offers goes on to the right end."""
    before, last = checkpoint_paths(interrupted)
    spoil(last)
    files = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    text = refusal(capsys, "resume", "run")
    assert text.startswith(f"{last} {reason}")
    offered = f"equilib resume run --from {before}"
    assert text.endswith(f"; {before.name} is whole: {offered}")
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == files
    assert main(offered.split()[1:]) == 0
    same(whole, "run")


def test_where_no_checkpoint_is_whole_the_way_out_is_told(
    capsys: pytest.CaptureFixture[str], interrupted: Path
) -> None:
    """With all of them damaged the run cannot go on, and is not begun again over its model."""
    for path in checkpoint_paths(interrupted):
        damage(path)
    expected = f"the run has no other; put a copy of one into {interrupted / 'checkpoints'}"
    assert refusal(capsys, "resume", "run").endswith(expected)


def test_a_checkpoint_is_found_by_its_name(interrupted: Path) -> None:
    """--from takes the name of one of the run's checkpoints as well as a path."""
    before, _ = checkpoint_paths(interrupted)
    assert main(["resume", "run", "--from", before.name]) == 0
    assert record()["resumed"][0]["checkpoint"] == before.name


def test_a_finished_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to do, and the sentence says how there would be."""
    assert run(epochs=0) == 0
    assert refusal(capsys, "resume", "run") == ("the run in run is finished: nothing to do; --epochs N trains on")


def test_other_data_is_refused(capsys: pytest.CaptureFixture[str], interrupted: Path) -> None:
    """A run goes on with its own data only, wherever that lies now."""
    write_digits(Path("more"), train=130)
    capsys.readouterr()
    Path("digits").rename("moved")
    assert "--data-dir" in refusal(capsys, "resume", "run")
    assert main(["resume", "run", "--data-dir", "moved"]) == 0
    assert record()["request"]["data_dir"] == str(Path("moved").absolute())


def test_data_that_differs_is_refused(capsys: pytest.CaptureFixture[str], interrupted: Path) -> None:
    """Images with another content are not those of the run, though there are as many."""
    from equilib_experiments.data.idx import read_idx
    from equilib_experiments.data.mnist import TRAIN
    from tests.digits import write_idx

    shutil.copytree("digits", "other")
    images = read_idx(Path("other") / TRAIN[0])
    images[3, 14, 14] ^= 1
    write_idx(Path("other") / TRAIN[0], images)
    assert "the data is not that of the run (MNIST from " in refusal(capsys, "resume", "run", "--data-dir", "other")


def test_a_run_at_work_is_refused(capsys: pytest.CaptureFixture[str], interrupted: Path) -> None:
    """Two processes never write into one run."""
    with locked(interrupted):
        assert "another process is at work on the run in run" in refusal(capsys, "resume", "run")
        expected = "another process is at work on the run in run"
        common = ("--data-dir", "digits", *QUICK, "--out", "run", "--overwrite")
        assert expected in refusal(capsys, "run", "mnist", *common)


@pytest.mark.parametrize(
    ("argv", "fragment"),
    [
        (("resume",), "Missing argument 'RUN'"),
        (("resume", "nowhere"), "Directory 'nowhere' does not exist"),
        (("resume", "digits"), "digits holds no run that can be read"),
        (("resume", "run", "--from", "nothing.npz"), "nothing.npz cannot be read: No such file or directory; "),
        (("resume", "run", "--epochs", "-1"), "'--epochs'"),
        (("resume", "run", "--quiet", "--json-logs"), "--quiet and --json-logs exclude each other"),
        (("run", "mnist", "--checkpoint-minutes", "0"), "'--checkpoint-minutes': expects a float > 0 or none, got '0'"),
        (("run", "mnist", "--checkpoint-every", "-1"), "'--checkpoint-every': expects an int >= 0, got '-1'"),
    ],
)
def test_a_mistake_is_one_sentence(
    capsys: pytest.CaptureFixture[str], interrupted: Path, argv: tuple[str, ...], fragment: str
) -> None:
    """Places, names and numbers that are wrong are told."""
    assert fragment in refusal(capsys, *argv)


def test_a_run_of_another_version_is_refused(capsys: pytest.CaptureFixture[str], interrupted: Path) -> None:
    """A request with a field that is unknown here, or without any, is not guessed at."""
    Path("run/run.json").write_text(json.dumps(record() | {"resolved": record()["resolved"] | {"moonphase": 3}}))
    assert "recorded by another version of equilib (it sets 'moonphase')" in refusal(capsys, "resume", "run")
    Path("run/run.json").write_text(json.dumps(record() | {"request": None, "resolved": None}))
    assert "recorded by another version of equilib (it names no experiment)" in refusal(capsys, "resume", "run")

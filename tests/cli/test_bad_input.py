"""Whatever is typed wrong gets one or two sentences, status 2, no traceback, and nothing is written."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from equilib.cli import main
from equilib_experiments.data.mnist import TEST, TRAIN
from tests.digits import write_digits, write_idx
from tests.programs import HIDE_CUPY, equilib

MNIST, NODE = ("run", "mnist"), ("run", "mnist-neural-ode")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without settings of the caller."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 2) -> str:
    """Type a command that is refused; return the sentence."""
    assert main(argv) == status
    out, err = capsys.readouterr()
    assert out == ""
    return sentence(err)


def sentence(err: str) -> str:
    """Return what follows "error: ": one line of one to three sentences, not the remains of a traceback."""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err.removeprefix("error: ").rstrip()


# The command line

WRONG = [
    (("run",), "name an experiment: "),
    (("run", "mnits"), "no experiment 'mnits'. Did you mean 'mnist'?"),
    (("runn", "mnist"), "no command 'runn'. Did you mean 'run'?"),
    ((*MNIST, "--solver", "newton-gmrs"), "no solver 'newton-gmrs'. Did you mean 'newton-gmres'?"),
    ((*MNIST, "--solver", ""), "'' is not of the form NAME"),
    ((*MNIST, "--solver", "newton-gmres:"), "is not of the form NAME or NAME:option=value"),
    ((*MNIST, "--adjoint", "implict"), "no adjoint 'implict'. Did you mean 'implicit'?"),
    ((*MNIST, "--adjoint", ""), "'' is not of the form NAME"),
    ((*MNIST, "--data", ""), "'' is not of the form NAME"),
    (("run", "linear", "--optimizer", ""), "'' is not of the form NAME"),
    ((*MNIST, "--modle", "deq"), "'--model'"),
    ((*MNIST, "--model", "regdek"), "'dense-deq', 'reduced', got 'regdek'. Did you mean 'regdeq'?"),
    ((*MNIST, "--recipe", "tutorail"), "got 'tutorail'. Did you mean 'tutorial'?"),
    (
        (*MNIST, "--device", "gpu"),
        "expects one of 'auto', 'cpu', 'cuda', 'torch', 'torch:cuda', 'torch:mps', 'jax', got 'gpu'",
    ),
    ((*MNIST, "--solver", "picard:dampin=0.5"), "solver 'picard' has no option 'dampin'. Did you mean 'damping'?"),
    ((*MNIST, "--max-steps", "9"), "No such option '--max-steps'. Options of solves are values of -o: write -o max_st"),
    ((*MNIST, "-o", "bogus=1"), "has no option 'bogus'. It has: "),
    ((*MNIST, "--epochs", "x"), "'--epochs': expects an int >= 0 or none, got 'x'"),
    ((*MNIST, "--epochs", "-1"), "'--epochs': expects an int >= 0 or none, got '-1'"),
    ((*MNIST, "--epochs", "1.5"), "'--epochs': expects an int >= 0 or none, got '1.5'"),
    ((*MNIST, "--limit", "9"), "'--limit': expects an int >= 10 or none, got '9'"),
    ((*MNIST, "--batch-size", "0"), "'--batch-size': expects an int >= 1 or none, got '0'"),
    ((*MNIST, "--seed", "-1"), "'--seed': expects an int >= 0, got '-1'"),
    ((*MNIST, "--seed", "x"), "'--seed': expects an int >= 0, got 'x'"),
    (
        (*MNIST, "--solver", "newton-gmres:linear_solver.restart=x"),
        "option 'linear_solver.restart' expects an int >= 1, got 'x'",
    ),
    (
        (*MNIST, "--solver", "newton-gmres:linear_solver.restart=0"),
        "option 'linear_solver.restart' expects an int >= 1, got '0'",
    ),
    ((*MNIST, "--solver", "newton-gmres:restart=9"), "no option 'restart'. Did you mean 'linear_solver.restart'?"),
    ((*MNIST, "--solver", "newton-gmres:linear_solver=libary"), "no linear solver 'libary'. Did you mean 'library'?"),
    (("integrators", "show", "rk5"), "no integrator 'rk5'. Did you mean 'rk4'?"),
    (("integrators", "show", "rk4:steps=9"), "no integrator 'rk4:steps=9': the name alone is 'rk4'."),
    (("check", "rk4:step=9"), "integrator 'rk4' has no option 'step'. Did you mean 'steps'?"),
    (("check", "bdf:max_order=9"), "integrator 'bdf': option 'max_order' expects an int in [1, 5], got '9'"),
    (("check", "kencarp47:linear_solver=gmrs"), "no linear solver 'gmrs'. Did you mean 'gmres'?"),
    ((*MNIST, "--solver", "steady:integrator=tsit6"), "no integrator 'tsit6'. Did you mean 'tsit5'?"),
    (
        (*MNIST, "--solver", "steady:integrator=bdf:max_order=3"),
        "the name alone is 'bdf'. Write integrator=bdf,integrator.max_order=3",
    ),
    ((*NODE, "--solver", "rk4:steps=0"), "integrator 'rk4': option 'steps' expects an int >= 1, got '0'"),
    ((*NODE, "-o", "largest_stp=1"), "no option 'largest_stp'. Did you mean 'largest_step'?"),
    ((*NODE, "-o", "rtol=inf"), "option 'rtol' expects a float in [0.0, inf), got 'inf'"),
    ((*NODE, "--solver", "scipy:rk45", "--adjoint", "discrete"), "takes its steps out of sight"),
    ((*MNIST, "--loosen", "nan"), "'--loosen': expects a float in [1, 1000000.0], got 'nan'"),
    ((*MNIST, "--loosen", "inf"), "'--loosen': expects a float in [1, 1000000.0], got 'inf'"),
    ((*MNIST, "--data-dir", "~nosuchuser/x"), "'--data-dir': Directory '~nosuchuser/x' does not exist"),
    ((*MNIST, "--data-dir", "a\0b"), "'a\\\\x00b' cannot be the name of a file"),
    ((*MNIST, "--data-dir", "a\ud800b"), "'a\\\\ud800b' cannot be the name of a file"),
    ((*MNIST, "-o", "rtol=-1"), "option 'rtol' expects a float"),
    ((*MNIST, "-o", "rtol=nan"), "option 'rtol' expects a float"),
    ((*MNIST, "-o", "max_steps=many"), "option 'max_steps' expects an int >= 0, got 'many'"),
    ((*MNIST, "-o", "on_failure=rais"), "got 'rais'. Did you mean 'raise'?"),
    ((*MNIST, "-o", "restart"), "'restart' is not of the form option=value"),
    ((*MNIST, "--adjoint", "unrolled:depth=0"), "adjoint 'unrolled': option 'depth' expects an int >= 1, got '0'"),
    ((*MNIST, "-o", "rtol=1", "-o", "rtol=2"), "option 'rtol' is given twice"),
    ((*MNIST, "--solver", "picard:rtol=1,rtol=2"), "option 'rtol' is given twice"),
    ((*MNIST, "--solver", "picard:max-steps=1", "-o", "max_steps=2"), "given both in --solver and with -o"),
    ((*MNIST, "--full", "--limit", "20"), "--full uses all images there are; leave out --limit, or --full"),
    ((*MNIST, "--data-dir", "nowhere"), "'--data-dir': Directory 'nowhere' does not exist"),
    ((*MNIST, "--data-dir", __file__), "'--data-dir': Directory"),
    ((*MNIST, "--out", __file__), "is a file"),
    ((*MNIST, "--out", f"{__file__}/run"), f"cannot be created: {__file__} is a file; give another folder"),
    ((*MNIST, "--out", "a" * 300), "cannot be used: File name too long"),
    ((*MNIST, "--out", str(Path(__file__).parent)), "is not empty; give another folder, or --overwrite to replace"),
]


@pytest.mark.parametrize(("argv", "fragment"), WRONG, ids=[" ".join(argv[1:])[:60] for argv, _ in WRONG])
def test_a_mistake_on_the_command_line_is_one_sentence(
    capsys: pytest.CaptureFixture[str], here: Path, argv: tuple[str, ...], fragment: str
) -> None:
    """Names, options and places that are wrong are told, and nothing is started or written."""
    assert fragment in refusal(capsys, *argv)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "argv", [(*MNIST, "--solver", "newton-gmrs"), (*MNIST, "--limit", "9"), ("run",)], ids=["solver", "limit", "run"]
)
def test_the_program_says_the_same(capsys: pytest.CaptureFixture[str], here: Path, argv: tuple[str, ...]) -> None:
    """As a process of its own the command says what `main` says, with the same status."""
    done = equilib(*argv, cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence(done.stderr) == refusal(capsys, *argv)
    assert list(here.iterdir()) == []


# Devices


def test_cuda_without_cupy(here: Path) -> None:
    """The first state: CuPy is not installed."""
    done = equilib(*MNIST, "--device", "cuda", cwd=here, before=HIDE_CUPY)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs CuPy, which cannot be imported (No module named 'cupy'); pip install" in sentence(done.stderr)
    assert list(here.iterdir()) == []


def test_cuda_without_a_gpu(here: Path) -> None:
    """The second state: CuPy is installed, and there is no GPU that it may use."""
    pytest.importorskip("cupy", reason="CuPy is not installed")
    done = equilib(*MNIST, "--device", "cuda", cwd=here, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no usable NVIDIA GPU (cudaError" in sentence(done.stderr)
    assert list(here.iterdir()) == []


def test_cuda_without_its_libraries(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third state: the driver counts a GPU, and CUDA's libraries are not installed."""
    cupy: ModuleType = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        import cupy.cublas  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("CUDA's libraries are installed here")
    monkeypatch.setattr(sys.modules["cupy"].cuda.runtime, "getDeviceCount", lambda: 1)
    assert "found a GPU, but CUDA's libraries are missing" in refusal(capsys, *MNIST, "--device", "cuda")
    assert list(here.iterdir()) == []


# Data


def missing(folder: Path) -> None:
    """Take one file away."""
    (folder / TEST[1]).unlink()


def truncated(folder: Path) -> None:
    """Cut a file off."""
    path = folder / TRAIN[0]
    path.write_bytes(path.read_bytes()[:-100])


def corrupt(folder: Path) -> None:
    """Change bytes in the middle of a file."""
    path = folder / TRAIN[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8] = bytes(8)
    path.write_bytes(content)


def swapped(folder: Path) -> None:
    """Exchange the names of images and labels."""
    images, labels = (folder / name for name in TRAIN)
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(content)


def of_another_size(folder: Path) -> None:
    """Put images of 32×32 in the place of those of 28×28."""
    write_idx(folder / TRAIN[0], np.zeros((120, 32, 32), np.uint8))


def short_of_labels(folder: Path) -> None:
    """Put fewer labels than images."""
    write_idx(folder / TRAIN[1], np.zeros(119, np.uint8))


def not_idx(folder: Path) -> None:
    """Put a text where images were expected."""
    (folder / TRAIN[0]).write_bytes(gzip.compress(b"<html>404 Not Found</html>"))


def empty(folder: Path) -> None:
    """Take everything away."""
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "fragment"),
    [
        (missing, f"neither {TEST[1]} nor {TEST[1].removesuffix('.gz')}; add that file"),
        (truncated, f"{TRAIN[0]} is cut off: its gzip stream has no end; replace it with an intact copy"),
        (corrupt, f"{TRAIN[0]} is damaged: "),
        (swapped, f"{TRAIN[0]} holds 120 labels where images were expected: the image and label files are swapped"),
        (of_another_size, "(120, 32, 32) and type uint8, where uint8 images of 28×28 were expected"),
        (short_of_labels, "119 labels; give two files of the same set"),
        (not_idx, f"{TRAIN[0]} is not an IDX file: it begins with b'<htm'"),
        (empty, "give a folder with the 4 files, or none to download"),
    ],
)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_data_that_is_wrong_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    here: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    fragment: str,
    by: str,
) -> None:
    """Files that are missing or not what their names say are named, and no run begins."""
    folder = write_digits(tmp_path / "digits")
    spoil(folder)
    option = ("--data-dir", str(folder)) if by == "option" else ()
    if by == "environment":
        monkeypatch.setenv("EQUILIB_DATA_DIR", str(folder))
    message = refusal(capsys, *MNIST, "--device", "cpu", *option)
    assert fragment in message
    assert str(folder) in message
    assert list(here.iterdir()) == []


def test_a_data_folder_in_the_environment_must_exist(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    """EQUILIB_DATA_DIR is quoted, and not passed over for a download."""
    monkeypatch.setenv("EQUILIB_DATA_DIR", "/nowhere/at/all")
    message = refusal(capsys, *MNIST, "--device", "cpu")
    assert message.startswith("EQUILIB_DATA_DIR=/nowhere/at/all")
    monkeypatch.setenv("EQUILIB_DATA_DIR", "~nosuchuser/x")
    message = refusal(capsys, *MNIST, "--device", "cpu")
    assert message.startswith("EQUILIB_DATA_DIR=~nosuchuser/x: ~nosuchuser/x cannot be listed: No such file")
    assert list(here.iterdir()) == []


def test_a_home_that_shells_leave_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path, tmp_path: Path
) -> None:
    """`--data-dir=~/x` and `--out=~/y` mean the user's, as they do without the sign of equality."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write_digits(tmp_path / "x", train=10, test=2)
    quick = ("--limit", "10", "--epochs", "0", "--pretrain-epochs", "0", "--device", "cpu")
    assert main((*MNIST, *quick, "--data-dir=~/x", "--out=~/y", "--quiet")) == 0
    assert (tmp_path / "y" / "run.json").exists()
    assert list(here.iterdir()) == []
    capsys.readouterr()


SIZES = [("--solver", name) for name in ("scipy:lm", "scipy:hybr", "scipy:bdf", "newton-dense", "broyden")]
SIZES += [("--fallback", "scipy:lsoda"), ("--fallback", "scipy:radau"), ("--adjoint", "implicit:solver=newton-dense")]


@pytest.mark.parametrize("flag", SIZES, ids=" ".join)
def test_a_state_that_is_too_large_is_refused_before_training(
    capsys: pytest.CaptureFixture[str], here: Path, tmp_path: Path, flag: tuple[str, str]
) -> None:
    """A solver that keeps matrices, also one that only takes over, says so before a batch is trained on."""
    digits = write_digits(tmp_path / "digits", train=10, test=2)
    argv = ("--limit", "10", "--device", "cpu", "--data-dir", str(digits))
    assert "keeps a 4608×4608 matrix for each sample, more than" in refusal(capsys, *MNIST, *argv, *flag)
    assert list(here.iterdir()) == []


def test_the_last_line_says_what_was_not_solved(capsys: pytest.CaptureFixture[str], here: Path, tmp_path: Path) -> None:
    """A quiet run, too, tells that its solves did not converge; and a place like an option is told as typed."""
    digits = write_digits(tmp_path / "digits", train=10, test=2)
    argv = ("--limit", "10", "--epochs", "1", "--pretrain-epochs", "0", "-o", "max_steps=0", "--quiet", "--out=-odd")
    assert main((*MNIST, *argv, "--device", "cpu", "--data-dir", str(digits))) == 0
    assert "of 2 images (100% unconverged). Run recorded in -odd" in capsys.readouterr().out
    assert refusal(capsys, *MNIST, "--out=-odd").endswith("or go on with it: equilib resume ./-odd")
    assert main(("resume", "./-odd", "--epochs", "2", "--quiet")) == 0
    capsys.readouterr()


# The place of the record


def contents(folder: Path) -> dict[str, bytes]:
    """Return what each file below a folder holds."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_record_is_replaced_only_on_demand(capsys: pytest.CaptureFixture[str], here: Path, tmp_path: Path) -> None:
    """A folder with files is refused; with --overwrite a run replaces its own files there and no other."""
    digits = write_digits(tmp_path / "digits")
    quick = ("--limit", "10", "--epochs", "0", "--pretrain-epochs", "1", "--device", "cpu", "--data-dir", str(digits))
    assert main((*MNIST, *quick, "--out", "run")) == 0
    (here / "run" / "notes.txt").write_text("mine")
    capsys.readouterr()
    before = contents(here / "run")
    assert "; give another folder, or --overwrite to replace the run in it, or go on with it: equilib resume run" in (
        refusal(capsys, *MNIST, *quick, "--out", "run")
    )
    assert contents(here / "run") == before
    assert main((*MNIST, *quick, "--seed", "1", "--out", "run", "--overwrite")) == 0
    after = contents(here / "run")
    assert after.keys() == before.keys()
    assert [name for name in before if before[name] == after[name]] == ["notes.txt"]


def test_an_old_record_survives_a_mistake(capsys: pytest.CaptureFixture[str], here: Path, tmp_path: Path) -> None:
    """Even with --overwrite nothing is removed before the new run can begin."""
    (here / "run").mkdir()
    (here / "run" / "run.json").write_text("old")
    digits = write_digits(tmp_path / "digits")
    truncated(digits)
    out = ("--out", "run", "--overwrite", "--device", "cpu")
    refusal(capsys, *MNIST, *out, "--data-dir", str(digits))
    refusal(capsys, *MNIST, *out, "--solver", "picar")
    assert (here / "run" / "run.json").read_text() == "old"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_place_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where even root may not write, the run does not begin."""
    digits = write_digits(tmp_path / "digits")
    argv = ("--device", "cpu", "--data-dir", str(digits), "--out", "/proc/equilib-run")
    assert "--out /proc/equilib-run cannot be written: " in refusal(capsys, *MNIST, *argv)


@pytest.mark.parametrize("command", ["solvers", "doctor"])
def test_standard_output_may_be_closed(command: str) -> None:
    """What a daemon starts may have no standard streams; the command does its work all the same."""
    program = [sys.executable, "-c", "import sys; from equilib.cli import main; sys.exit(main())", command]
    done = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *program], check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0

"""`equilib plugins`, `solvers`, `adjoints` and `experiments`: what they print, and how mistakes are answered."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from equilib.cli import main
from equilib.cli.output import table
from equilib.options import option
from equilib.plugin import Capabilities, ExperimentEntry, IntegratorEntry, SensitivityEntry, SolverEntry, hookimpl
from equilib.plugin.registry import Registry


@dataclass(frozen=True)
class Newton:
    """A solver's options of several kinds."""

    restart: int = option(10, help="vectors kept", minimum=1)
    growth: float = option(math.inf, help="largest growth of a step", exclusive_minimum=0)
    inner: str = option("batched", help="linear solver", choices=("batched", "scipy"))
    search: bool = option(True, help="whether to shorten steps")
    eta: float | None = option(None, help="forcing term")


@dataclass(frozen=True)
class Plain:
    """A factory without options."""


@dataclass(frozen=True)
class Study:
    """An experiment with a required option."""

    degree: int


class Plugin:
    """Records of every kind."""

    @hookimpl
    def equilib_solvers(self) -> Iterable[SolverEntry]:
        """Yield a usable solver, one that cannot be used here, and one whose factory is missing."""
        yield SolverEntry(
            name="newton",
            factory=Newton,
            summary="Newton's method",
            advice="Choose it where nothing else converges.",
            capabilities=Capabilities(needs_jvp=True, needs_vjp=True, couples_samples=True, backends=("numpy", "cupy")),
            adjoint="gmres",
        )
        yield SolverEntry(name="kinsol", factory="nowhere:X", summary="KINSOL", unavailable="install equilib[sundials]")
        yield SolverEntry(name="lost", factory="nowhere_at_all:Lost", summary="A factory that is not there")

    @hookimpl
    def equilib_integrators(self) -> Iterable[IntegratorEntry]:
        """Yield an integrator."""
        yield IntegratorEntry(name="heun", factory=Plain, summary="Heun's method", advice="For tests.", order=2)

    @hookimpl
    def equilib_sensitivities(self) -> Iterable[SensitivityEntry]:
        """Yield an adjoint without options."""
        yield SensitivityEntry(name="neumann", factory=Plain, summary="Truncated series", exact=False)

    @hookimpl
    def equilib_experiments(self) -> Iterable[ExperimentEntry]:
        """Yield an experiment."""
        yield ExperimentEntry(name="polynomial", factory=Study, summary="Roots of a polynomial")


@pytest.fixture
def registry() -> Registry:
    """Return a registry with one plugin that works and one that is broken."""
    made = Registry.discover([EntryPoint(name="jaxy", value="a_library_that_is_not_there", group="equilib")])
    made.register(Plugin(), name="study", distribution="study-dist", version="1.2")
    return made


@dataclass
class Output:
    """What a command left."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(registry: Registry, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command line against the registry."""

    def command(*argv: str, using: Registry = registry) -> Output:
        status = main(argv, registry=using)
        captured = capsys.readouterr()
        return Output(status, captured.out, captured.err)

    return command


def words(text: str) -> str:
    """Return `text` with single spaces: what it says, however it is laid out."""
    return " ".join(text.split())


WARNING = "warning: plugin 'jaxy' was left out: ModuleNotFoundError: No module named 'a_library_that_is_not_there'\n"


def test_plugins_lists_what_works_and_what_does_not(run: Any) -> None:
    """Each plugin has a line with its package, status, and what it provides or why not."""
    output = run("plugins")
    header, jaxy, study = output.out.splitlines()
    assert header.split() == ["PLUGIN", "PACKAGE", "STATUS", "PROVIDES"]
    assert jaxy.split()[:2] == ["jaxy", "broken"]
    assert "No module named 'a_library_that_is_not_there'" in jaxy
    assert words(study) == (
        "study study-dist 1.2 ok solver heun, kinsol, lost, newton; integrator heun; adjoint neumann; "
        "experiment polynomial"
    )
    assert (output.status, output.err) == (0, "")


def test_plugins_as_json(run: Any) -> None:
    """The JSON holds a record per plugin, with the names by kind."""
    jaxy, study = json.loads(run("plugins", "--json").out)
    assert (jaxy["name"], jaxy["status"], jaxy["provides"]["solvers"]) == ("jaxy", "broken", [])
    assert study == {
        "name": "study",
        "distribution": "study-dist",
        "version": "1.2",
        "status": "ok",
        "cause": "",
        "provides": {
            "solvers": ["heun", "kinsol", "lost", "newton"],
            "integrators": ["heun"],
            "linear-solvers": [],
            "adjoints": ["neumann"],
            "optimizers": [],
            "datasets": [],
            "experiments": ["polynomial"],
            "kernels": [],
            "communicators": [],
        },
    }


def test_of_many_broken_plugins_some_are_warned_about_and_all_are_listed(run: Any) -> None:
    """A command about something else prints no more of them than fit a screen, and where the others are named."""
    registry = Registry.discover([EntryPoint(name=f"p{n:04}", value="a b", group="equilib") for n in range(3000)])
    err = run("solvers", using=registry).err.splitlines()
    assert len(err) == 41
    assert err[0].startswith("warning: plugin 'p0000' was left out: ValueError: ")
    assert err[-1] == "warning: 2,960 more of the kind: 'equilib plugins' names them all"
    assert len(run("plugins", using=registry).out.splitlines()) > 3000


def test_a_conflict_is_shown_and_warned_about(run: Any) -> None:
    """A name that two plugins provide is absent from the list, warned about, and explained by `plugins`."""
    registry = Registry()
    registry.register(Plugin(), name="a", distribution="dist-a", version="1")
    registry.register(Plugin(), name="b", distribution="dist-b", version="2")
    text = (
        "adjoint 'neumann' is provided by both 'a' (dist-a 1) and 'b' (dist-b 2); say whose, as in neumann@dist-b, or "
        "switch one off, as by EQUILIB_PLUGINS=-b@dist-b"
    )
    listed = run("adjoints", using=registry)
    assert (listed.status, listed.out) == (0, "No adjoint is installed.\n")
    assert f"warning: {text}\n" in listed.err
    assert run("plugins", using=registry).out.count(text) == 2
    shown = run("adjoints", "show", "neumann", using=registry)
    assert (shown.status, shown.err.splitlines()[-1]) == (2, f"error: {text}")


def test_solvers_lists_names_and_summaries(run: Any) -> None:
    """Solvers come by name, one that cannot be used here with the reason; broken plugins are warned about once."""
    output = run("solvers")
    header, heun, kinsol, lost, newton = output.out.splitlines()
    assert header.split() == ["NAME", "PLUGIN", "SUMMARY"]
    assert words(heun) == "heun study Steady state of z' = f(z) − z by Heun's method"
    assert words(kinsol) == "kinsol study KINSOL (not here: install equilib[sundials])"
    assert words(lost) == "lost study A factory that is not there"
    assert words(newton) == "newton study Newton's method"
    assert (output.status, output.err) == (0, WARNING)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("solvers", ["heun", "kinsol", "lost", "newton"]),
        ("integrators", ["heun"]),
        ("adjoints", ["neumann"]),
        ("experiments", ["polynomial"]),
    ],
)
def test_lists_as_json(run: Any, command: str, names: list[str]) -> None:
    """Each list has a JSON form, on stdout alone, that needs no factory."""
    output = run(command, "--json")
    records = json.loads(output.out)
    assert [record["name"] for record in records] == names
    assert {record["distribution"] for record in records} == {"study-dist"}
    assert output.status == 0


@pytest.mark.parametrize("argv", [("solvers", "show", "newton", "--json"), ("solvers", "--json", "show", "newton")])
def test_a_solver_as_json(run: Any, argv: tuple[str, ...]) -> None:
    """The record holds capabilities, the default adjoint, the options and those of every solve; infinity is text."""
    record = json.loads(run(*argv).out)
    assert record["capabilities"] == {
        "needs_jvp": True,
        "needs_vjp": True,
        "couples_samples": True,
        "backends": ["numpy", "cupy"],
        "least_steps": 0,
    }
    assert (record["adjoint"], record["plugin"], record["version"]) == ("gmres", "study", "1.2")
    options = {each["name"]: each for each in record["options"]}
    assert (options["restart"]["type"], options["restart"]["default"], options["restart"]["minimum"]) == ("int", 10, 1)
    assert options["inner"]["choices"] == ["batched", "scipy"]
    assert options["growth"]["default"] == "inf"
    assert (options["eta"]["optional"], options["eta"]["default"]) == (True, None)
    assert "rtol" in [each["name"] for each in record["solve_options"]]


def test_show_tells_all_about_a_solver(run: Any) -> None:
    """The text holds what it needs, the advice, and each option with values, default and meaning."""
    text = run("solvers", "show", "newton").out
    for line in (
        "newton: Newton's method",
        "from plugin 'study' (study-dist 1.2)",
        "uses f(z) and J v and J^T w",
        "samples coupled within a batch",
        "arrays numpy, cupy",
        "adjoint gmres, unless --adjoint names another",
        "Choose it where nothing else converges.",
        "restart an int >= 1 10 vectors kept",
        "growth a float > 0 inf largest growth of a step",
        "inner one of 'batched', 'scipy' batched linear solver",
        "search true or false true whether to shorten steps",
        "eta a float or none none forcing term",
        "max_steps an int >= 0 stop after so many steps",
    ):
        assert line in [words(each) for each in text.splitlines()]


def test_show_of_an_adjoint_says_whether_it_is_exact(run: Any) -> None:
    """An approximate gradient is called that; no options are said in words."""
    text = run("adjoints", "show", "neumann").out
    assert "gradient  approximate" in text
    assert "It has no options of its own." in text


def test_show_of_an_integrator_tells_its_order_and_where_it_is(run: Any) -> None:
    """An integrator has an order, advice, and flags that choose it."""
    text = run("integrators", "show", "heun").out
    assert "order    2" in text
    assert "For tests." in text
    assert "Use: --solver steady:integrator=heun,integrator.OPTION=VALUE; where an experiment" in text
    assert json.loads(run("integrators", "show", "heun", "--json").out)["order"] == 2


def test_show_of_an_experiment_names_required_options(run: Any) -> None:
    """An option without default is required."""
    text = words(run("experiments", "show", "polynomial").out)
    assert "degree an int required" in text
    assert "equilib run polynomial --help" in text
    assert json.loads(run("experiments", "show", "polynomial", "--json").out)["options"][0]["required"] is True


def test_show_of_what_is_unavailable_says_why(run: Any) -> None:
    """What cannot be used here is still described, without its factory."""
    assert "not here  install equilib[sundials]" in run("solvers", "show", "kinsol").out
    assert json.loads(run("solvers", "show", "kinsol", "--json").out)["options"] == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ("solvers", "show", "newtn"),
            "no solver 'newtn'. Did you mean 'newton'? Available: heun, kinsol, lost, newton.",
        ),
        (("solvers", "show", "lost"), "solver 'lost' could not be loaded from 'nowhere_at_all:Lost'"),
        (("adjoints", "show", "neuman"), "no adjoint 'neuman'. Did you mean 'neumann'?"),
        (("solver",), "no command 'solver'. Did you mean 'solvers'?"),
        (
            ("zzz",),
            "no command 'zzz'. There are: adjoints, "
            "check, check-gradient, communicators, compare, datasets, doctor, evaluate, experiments, integrators, "
            "kernels, linear-solvers, optimizers, plugins, predict, report, resume, run, solvers.",
        ),
        (("solvers", "newton"), "no command 'newton'. Write equilib solvers show newton."),
        (("solvers", "shw", "newton"), "no command 'shw'. Did you mean 'show'?"),
        (("solvers", "--jsn"), "--json"),
        (("solvers", "show"), "NAME"),
        (("plugins", "extra"), "extra"),
    ],
    ids=" ".join,
)
def test_mistakes_are_one_line_and_exit_2(run: Any, argv: tuple[str, ...], message: str) -> None:
    """A user's mistake gives one line on stderr that says what is wrong, nothing on stdout, and status 2."""
    output = run(*argv)
    error = output.err.removeprefix(WARNING)
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert (output.status, output.out) == (2, "")


def test_an_unknown_name_mentions_the_broken_plugin(run: Any) -> None:
    """What is asked for may be in the plugin that failed."""
    assert "Plugins that failed to load: jaxy (ModuleNotFoundError" in run("solvers", "show", "jax").err


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",), ("solvers", "--help")])
def test_help_goes_to_stdout(run: Any, argv: tuple[str, ...]) -> None:
    """Help is an answer, not an error, and needs no plugin."""
    output = run(*argv)
    assert output.out.startswith("Usage: equilib")
    assert (output.status, output.err) == (0, "")


def test_version_is_the_packages(run: Any) -> None:
    """`--version` tells the installed version."""
    assert run("--version").out == f"equilib {importlib.metadata.version('equilib')}\n"


def test_nothing_installed_is_said(run: Any) -> None:
    """Empty lists are sentences, or empty JSON."""
    empty = Registry()
    assert run("plugins", using=empty).out == "No plugin is installed.\n"
    assert run("solvers", using=empty).out == "No solver is installed.\n"
    assert json.loads(run("experiments", "--json", using=empty).out) == []


def test_tables_align_and_wrap_the_last_column() -> None:
    """Columns stand under their header, and a long last cell continues in its own column."""
    rows = [("a", "one two three four five six seven eight"), ("long-name", "x")]
    assert table(("NAME", "SUMMARY"), rows, width=45).splitlines() == [
        "NAME       SUMMARY",
        "a          one two three four five six seven",
        "           eight",
        "long-name  x",
    ]


def test_listing_loads_nothing_heavy() -> None:
    """The installed plugins are listed without SciPy, autograd or CuPy."""
    code = (
        "import sys; from equilib.cli import main; status = main(['solvers']) or main(['experiments']); "
        "print([name for name in ('scipy', 'autograd', 'cupy', 'sklearn') if name in sys.modules], file=sys.stderr); "
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_terminal_that_lacks_a_letter_still_gets_the_list() -> None:
    """Output in an encoding without the summary's symbols is degraded, not refused."""
    code = (
        "import sys; from equilib.cli import main; from equilib.plugin.registry import Registry; "
        "from equilib.plugin import hookimpl, SolverEntry; import types; registry = Registry(); "
        "equilib_solvers = lambda: [SolverEntry(name='picard', factory='m:C', summary='z \\u2190 f(z)')]; "
        "registry.register(types.SimpleNamespace(equilib_solvers=hookimpl(equilib_solvers)), name='p'); "
        "sys.exit(main(['solvers'], registry=registry))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": "cp1252"}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"z ? f(z)" in done.stdout


def test_parts_say_how_they_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    """`show` of a linear solver ends with the flag; lists of adjoints tell apart what they differentiate."""
    assert main(["linear-solvers", "show", "bicgstab"]) == 0
    assert "Use: --solver newton-gmres:linear_solver=bicgstab" in capsys.readouterr().out.splitlines()[-1]
    assert main(["adjoints"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert (" integration " in rows["gauss"], " fixed point " in rows["implicit"]) == (True, True)


def test_gradients_of_integrations_are_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """`equilib check-gradient` lists what it can look at."""
    assert main(["check-gradient", "--help"]) == 0
    listed = capsys.readouterr().out.split("Experiments:")[1]
    assert "mnist-steady-state" in listed
    assert "mnist-neural-ode" not in listed


def test_a_name_with_an_option_that_has_no_value_is_of_another_form(capsys: pytest.CaptureFixture[str]) -> None:
    """It is not looked up as a whole."""
    assert main(["run", "linear", "--solver", "newton-gmres:linear_solver"]) == 2
    assert "'newton-gmres:linear_solver' is not of the form NAME or NAME:option=value" in capsys.readouterr().err

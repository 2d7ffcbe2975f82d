"""`equilib doctor`: what it says of this installation, and of one in which something is wrong."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from equilib.cli import main
from equilib.cli.doctor import BROKEN, OK, SLOW, kernels, package, thread_variables
from equilib.cli.restart import restart_with
from equilib.machine.blas import CHOSEN, CORETYPE, Blas, cpu_flags, numpy_blas
from equilib.plugin.registry import Registry

AVX2 = numpy_blas().kernel is not None and {"avx2", "fma"} <= (cpu_flags() or set())


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """Return what was printed as JSON, by what it is about."""
    return {each["about"]: each for each in json.loads(capsys.readouterr().out)["findings"]}


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name no data folder."""
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)


def test_this_installation_is_looked_over(capsys: pytest.CaptureFixture[str]) -> None:
    """Every part has a line, versions are those installed, and an empty registry breaks nothing."""
    assert main(["doctor", "--json"], registry=Registry()) == 0
    found = findings(capsys)
    parts = [
        "Python",
        "numpy",
        "scipy",
        "autograd",
        "CuPy",
        "cores",
        "NumPy's BLAS",
        "SciPy's BLAS",
        "threads",
        "kernels",
    ]
    assert [name for name in found if "BLAS: threads" not in name] == [*parts, "allocator", "data"]
    for name in ("numpy", "scipy", "autograd"):
        assert (found[name]["state"], found[name]["found"]) == (OK, importlib.metadata.version(name))
    assert found["NumPy's BLAS"]["facts"] == numpy_blas().describe()


def test_broken_parts_fail_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A broken plugin and a data folder that is not there are named with what to do, and the status is 1."""
    monkeypatch.setenv("EQUILIB_DATA_DIR", str(tmp_path / "nowhere"))
    points = [EntryPoint("lost", "no_such_module_at_all", "equilib"), EntryPoint("scipy", "equilib_scipy", "equilib")]
    registry = Registry.discover(points)
    assert main(["doctor", "--json"], registry=registry) == 1
    found = findings(capsys)
    assert {name for name, each in found.items() if each["state"] == BROKEN} == {"data", "plugin lost"}
    assert "no_such_module_at_all" in found["plugin lost"]["found"]
    assert found["plugin lost"]["next_step"] == "repair or uninstall lost"
    assert found["plugin scipy"]["state"] == OK
    assert main(["doctor"], registry=registry) == 1
    text = capsys.readouterr().out
    assert "correct or unset it" in text
    assert text.endswith("\n2 broken.\n")


def test_a_data_folder_that_is_there_is_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder is named with how much it holds."""
    monkeypatch.setenv("EQUILIB_DATA_DIR", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    assert main(["doctor", "--json"], registry=Registry()) == 0
    data = findings(capsys)["data"]
    assert (data["state"], data["found"]) == (OK, f"EQUILIB_DATA_DIR={tmp_path} holds 1 entry")


def test_a_package_that_cannot_be_imported_is_broken() -> None:
    """The reason is the import's."""
    found = package("no_such_module_at_all")
    assert found.state == BROKEN
    assert "No module named 'no_such_module_at_all'" in found.found


def test_thread_variables_that_contradict_each_other_are_named() -> None:
    """Different numbers in the two variables are reported, equal ones and a single one are well."""
    both = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    assert thread_variables({}).state == thread_variables(both).state == OK
    assert thread_variables({"OMP_NUM_THREADS": "3"}).state == OK
    found = thread_variables(both | {"OMP_NUM_THREADS": "3"})
    assert found.state == SLOW
    assert "OPENBLAS_NUM_THREADS=2 and OMP_NUM_THREADS=3" in found.found


def test_slow_kernels_come_with_the_remedy() -> None:
    """Who set the variable is told to unset it, others to set it."""
    blas = Blas(library="openblas", version="0.3.31", kernel="Haswell")
    assert kernels("BLAS", blas, None, forced=None).state == OK
    assert kernels("BLAS", blas, "SkylakeX", forced=None).next_step == f"set {CORETYPE}=SkylakeX"
    assert kernels("BLAS", blas, "SkylakeX", forced="Haswell").next_step == f"unset {CORETYPE}"


def program(folder: Path, text: str, *argv: str, **changes: str) -> list[str]:
    """Run a program called `equilib`, as pip installs it, and return its lines."""
    file = folder / "equilib"
    file.write_text(text)
    environment = {name: value for name, value in os.environ.items() if name not in (CORETYPE, CHOSEN)}
    done = subprocess.run(
        [sys.executable, str(file), *argv], capture_output=True, text=True, check=False, env=environment | changes
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not AVX2, reason="NumPy's library or this CPU has no Haswell kernels to choose")
def test_a_restart_keeps_process_and_arguments_and_happens_once(tmp_path: Path) -> None:
    """The same process goes on with the same arguments, with the kernels that were asked for."""
    text = f"""
import os, sys
from equilib.machine.blas import numpy_blas
from {restart_with.__module__} import restart_with
print(os.getpid(), flush=True)
restart_with("Haswell", instead_of="Nehalem")
blas = numpy_blas()
print(blas.kernel, blas.instead_of, *sys.argv[1:])
"""
    first, second, last = program(tmp_path, text, "run", "a b")
    assert first == second
    assert last == "Haswell Nehalem run a b"


@pytest.mark.skipif(not AVX2, reason="NumPy's library or this CPU has no Haswell kernels to choose")
def test_the_users_kernels_are_left_alone(tmp_path: Path) -> None:
    """With OPENBLAS_CORETYPE set the program runs with these kernels, whatever the CPU has."""
    text = "import sys; from equilib.cli import main; sys.exit(main())"
    lines = program(tmp_path, text, "doctor", "--json", **{CORETYPE: "Haswell", "EQUILIB_DATA_DIR": ""})
    found = {each["about"]: each for each in json.loads("\n".join(lines))["findings"]}["NumPy's BLAS"]
    assert (found["facts"]["kernel"], found["facts"]["instead_of"]) == ("Haswell", None)


@pytest.mark.skipif(not AVX2, reason="NumPy's library or this CPU has no kernels to choose")
def test_the_program_has_the_best_kernels(tmp_path: Path) -> None:
    """Of what `equilib` computes with nothing better is known, whatever OpenBLAS chose."""
    text = "import sys; from equilib.cli import main; sys.exit(main())"
    lines = program(tmp_path, text, "doctor", "--json", EQUILIB_DATA_DIR="")
    found = {each["about"]: each for each in json.loads("\n".join(lines))["findings"]}["NumPy's BLAS"]
    assert found["state"] == OK, found

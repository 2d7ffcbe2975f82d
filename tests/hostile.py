"""An environment in which twenty-odd packages are broken, each in its own way, and what it costs to start there.

`python -m tests.hostile` prints the CPU time of `equilib --help` and of `equilib solvers` in it and without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.programs import command, environment

PLUGIN = """
from equilib.plugin import Capabilities, SolverEntry, hookimpl
{before}
@hookimpl
def equilib_solvers({arguments}):
    yield SolverEntry(name="{name}", factory="nowhere:Solver", summary={summary})
    {after}
"""


def plugin(name: str, *, before: str = "", arguments: str = "", summary: str = "''", after: str = "") -> str:
    """Return the source of a plugin of one solver."""
    return PLUGIN.format(name=name, before=before, arguments=arguments, summary=summary, after=after)


MODULES = {
    "base-exception": "class End(BaseException):\n    pass\nraise End('at import')",
    "mute": "class Mute(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Mute",
    "silent": "class Mute(Exception):\n    def __str__(self):\n        raise SystemExit(3)\nraise Mute",
    "exit": "import sys\nsys.exit(0)",
    "interrupt": "raise KeyboardInterrupt",
    "generator-exit": "raise GeneratorExit",
    "memory": "raise MemoryError",
    "recursion": "def f():\n    f()\nf()",
    "syntax": "def",
    "nul": "x = 1\0",
    "absent": None,
    "no-hook": "x = 1",
    "wrong-summary": plugin("wrong-summary", summary="3"),
    "late": plugin("late", after="raise OSError('late')"),
    "arguments": plugin("arguments", arguments="model"),
    "wrong-name": plugin("Wrong Name"),
    "endless": plugin(
        "endless", after="yield from (SolverEntry(name=f'n-{n}', factory='x:Y', summary='') for n in range(10**9))"
    ),
    "orders": plugin("orders", summary="'\\x1b[2J'"),
    "escapes": "raise ValueError('\\x1b[31mred\\n\\x07')",
}
"""What plugins that cannot be loaded do when they are."""

WORKING = {
    "chatty": plugin(
        "chatty",
        before="import os\nprint('at import')\nos.write(1, b'past Python')\nos.system('echo of another program')",
    ),
    "closer": plugin(
        "closer", before="import sys\nsys.stdout.close()\nsys.stderr.close()\nsys.stdout = sys.stderr = None"
    ),
    "rival": plugin("newton-gmres", summary="'not ours'"),
}
"""Plugins that work, but print, close what is printed to, or take a name of ours."""

DAMAGED: dict[str, dict[str, bytes | None]] = {
    "no-equals": {"entry_points.txt": b"[console_scripts]\nsome thing without a sign\n"},
    "latin": {"entry_points.txt": "[console_scripts]\nca\u00f1a = m:f\n".encode("latin-1")},
    "no-value": {"entry_points.txt": b"[equilib]\nno-value =\n"},
    "no-file": {"entry_points.txt": None},
    "odd-metadata": {"METADATA": b"\xff\xfe\x00"},
    "empty-metadata": {"METADATA": b""},
}
"""Packages whose files are damaged, or pipes, of which nobody ever writes; but for the third they publish no plugin."""

BROKEN = (*MODULES, *DAMAGED)
"""The names of all that is broken; that of a package is the name after "hostile-"."""


def write_environment(folder: Path) -> Path:
    """Write the packages into a folder, which is to be put on `sys.path`, and return it."""
    for name, source in {**MODULES, **WORKING}.items():
        module = f"hostile_{name.replace('-', '_')}"
        if source is not None:
            (folder / f"{module}.py").write_text(source, encoding="utf-8")
        _write_package(folder, name, {"entry_points.txt": f"[equilib]\n{name} = {module}\n".encode()})
    for name, files in DAMAGED.items():
        _write_package(folder, name, files)
    return folder


def _write_package(folder: Path, name: str, files: dict[str, bytes | None]) -> None:
    about = folder / f"hostile_{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: hostile-{name}\nVersion: 1.0\n".encode()
    contents: dict[str, bytes | None] = {"METADATA": metadata, **files}
    for file, content in contents.items():
        if content is not None:
            (about / file).write_bytes(content)
        elif sys.platform != "win32":
            os.mkfifo(about / file)
        else:
            (about / file).mkdir()


def main(repetitions: int = 11) -> None:
    """Print the least CPU times, in milliseconds, of processes that alternate."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"clean": "", f"with {len(BROKEN)} broken packages": str(write_environment(Path(folder)))}
        for argv in (("--help",), ("solvers",)):
            times: dict[str, list[float]] = {place: [] for place in places}
            for _ in range(repetitions):
                for place, path in places.items():
                    start = _spent()
                    subprocess.run(
                        command(*argv), env=environment(PYTHONPATH=path), capture_output=True, check=True, cwd=folder
                    )
                    times[place].append(1000 * (_spent() - start))
            found = ", ".join(f"{place} {min(each):.0f} ms" for place, each in times.items())
            print(f"equilib {' '.join(argv)}: {found}")


def _spent() -> float:
    """Return the seconds that the processes which have ended took of the CPU."""
    spent = os.times()
    return spent.children_user + spent.children_system


if __name__ == "__main__":
    sys.exit(main())

"""Malformed plugins: what a hook yields, what a module does when it is imported, what a part does at work."""

from __future__ import annotations

from pathlib import Path
from random import Random

PLUGIN = """import os, sys, threading, warnings
from dataclasses import dataclass
import numpy as np
from equilib import Needs, Pullback, State
from equilib.arrays import tree_map
from equilib.experiments import Recipe
from equilib.kernels import Kernel
from equilib.plugin import *
from equilib.training.data import ImageFormat, LabelledImages

class Odd:
    def _fail(self, *_):
        raise OSError("odd")
    __repr__ = __str__ = __eq__ = __bool__ = __len__ = __iter__ = __getitem__ = __format__ = _fail
    __hash__ = object.__hash__

class Mute(Exception):
    def __str__(self):
        raise RuntimeError

class Harsh(BaseException):
    pass

def deep():
    return deep()

class Nothing:
    pass

{imported}

{part}

@hookimpl
def {hook}({arguments}):
    {before}
    {yielded}
    {after}
"""

HOOKS: dict[str, tuple[str, str, dict[str, str]]] = {
    "equilib_solvers": ("SolverEntry", "solvers", {"capabilities": "Capabilities", "adjoint": "str"}),
    "equilib_integrators": (
        "IntegratorEntry",
        "integrators",
        {"order": "int", "adjoint": "str", "steady": "dict", "capabilities": "Capabilities", "solves": "bool"},
    ),
    "equilib_linear_solvers": ("LinearSolverEntry", "linear-solvers", {"couples_samples": "bool", "backends": "tuple"}),
    "equilib_sensitivities": ("SensitivityEntry", "adjoints", {"solves": "str", "exact": "bool", "solvers": "tuple"}),
    "equilib_optimizers": ("OptimizerEntry", "optimizers", {}),
    "equilib_datasets": ("DatasetEntry", "datasets", {}),
    "equilib_experiments": ("ExperimentEntry", "experiments", {}),
    "equilib_kernels": ("KernelEntry", "kernels", {}),
    "equilib_communicators": ("CommunicatorEntry", "communicators", {}),
}
"""Each hook with its record, the command that lists it, and what the fields of its own hold."""

FIELDS = {"name": "str", "factory": "str", "summary": "str", "advice": "str", "unavailable": "str", "preset": "dict"}

JUNK = {
    **dict.fromkeys(("None", "Odd()", "object()", "Ellipsis", "len", "b'x'", "1j", "[]", "{1, 2}"), "other"),
    **dict.fromkeys(("float('nan')", "float('inf')", "0.5", "np.float32(1)"), "float"),
    **dict.fromkeys(("3", "-1", "10**400"), "int"),
    "True": "bool",
    **dict.fromkeys(("''", "'x' * 10**6", r"'\x1b[2J'", r"'\0'", r"'\ud800'", "'a\\nb'", "'=1+1'"), "str"),
    **dict.fromkeys(("()", "('x',)", "(1,)", "('x' * 10**6,)"), "tuple"),
    **dict.fromkeys(("{}", "{1: 2}", "{'nothing': Odd()}", "{'a.b.c': 1}", "{'step_size': 'x'}"), "dict"),
}
"""Expressions that stand where something else is expected, with the kind of their values."""

FACTORIES = (
    *("'nowhere:Part'", "'spoiled:Absent'", "'spoiled:deep'", "'spoiled:Nothing'", "'spoiled'", "':'", "'a b:c'"),
    *("'os:path'", "Nothing", "int", "Odd", "dataclass(Nothing)", "'json:decoder.x.y'", "'..:x'", "'this:x'"),
)
"""What is no frozen dataclass, or is nowhere."""

ENDS = (
    *("raise ValueError('moon')", "raise Mute", "raise Harsh('stop')", "sys.exit(0)", "raise KeyboardInterrupt"),
    *("raise GeneratorExit", "raise MemoryError", "deep()", "raise StopIteration", "raise EOFError", "1 / 0"),
    *("raise OSError(28, 'No space left on device')", "raise BrokenPipeError", r"raise ValueError('\x1b[2J\n' * 500)"),
    *("raise UnicodeDecodeError('utf-8', b'', 0, 1, 'x')", "raise SystemExit('bye')", "raise Odd()", "import nowhere"),
    *("raise ExceptionGroup('many', [ValueError(1)])", "raise AssertionError", "raise NotImplementedError"),
)
"""What ends whatever it is done in."""

TRICKS = (
    *("print('hello')", "sys.stdout = None", "sys.stdout.close()", "sys.stderr = None", "sys.stderr.close()"),
    *("sys.stdout = 3", "os.chdir('/')", "warnings.warn('odd')", "sys.argv = None", "np.seterr(all='raise')"),
    *("threading.Thread(target=print, args=('x',), daemon=True).start()", "sys.setrecursionlimit(200)"),
    *("threading.Thread(target=deep, daemon=True).start()", "print('x' * 10**6)", "warnings.simplefilter('error')"),
    *("sys.stderr.write('x')", "os.environ['EQUILIB_PLUGINS'] = 'none'", "sys.excepthook = None"),
)
"""What a plugin should not do, and what need not end the command."""

RESULTS = (
    *("None", "3", "'x'", "()", "Odd()", "np.nan", "np.zeros(0)", "np.zeros((7, 7, 7))", "np.array(['x'])", "{}"),
    *("np.array([None])", "np.zeros((1, 1), complex)", "np.full((2, 1), np.nan)", "iter(())", "[np.zeros(3)]"),
)
"""What is none of what a method must return."""

PARTS: dict[str, str] = {
    "equilib_solvers": """
    def init(self, f, z0):
        {0}
        return State(z0, f.residual(z0))
    def step(self, f, state):
        {1}
        z = state.z + 0.5 * state.residual
        return State(z, f.residual(z))
""",
    "equilib_linear_solvers": """
    def solve(self, matvec, b, *, rtol, active):
        {0}
        return b + (b - matvec(b))
""",
    "equilib_sensitivities": """
    needs = Needs()
    def pullback(self, problem, solution, cotangent, *, guess=None):
        {0}
        linear = problem.linearize(solution.z)
        return Pullback(inputs=linear.inputs_vjp(cotangent))
""",
    "equilib_optimizers": """
    def init(self, params):
        {0}
        return Part()
    def update(self, params, gradient, state, rate):
        {1}
        return tree_map(lambda p, g: p - float(rate) * g, params, gradient), state
""",
    "equilib_datasets": """
    images = ImageFormat(height=28, width=28, channels=1, classes=("a", "b"))
    def load(self, data_dir, report):
        {0}
        pixels, labels = np.zeros((8, 28, 28), np.uint8), np.arange(8, dtype=np.uint8) % 2
        return LabelledImages(pixels, labels, pixels, labels, source="nothing")
""",
    "equilib_experiments": """
    def make_recipe(self):
        {0}
        from equilib_experiments.curves import LinearExperiment
        return LinearExperiment().make_recipe()
    def load_data(self, context):
        {1}
        from equilib_experiments.curves import LinearExperiment
        return LinearExperiment().load_data(context)
""",
    "equilib_kernels": """
    def kernels(self):
        {0}
        yield Kernel(operation="tanh", name="part", about="x", array="numpy.ndarray", dtypes=("float32", "float64"),
                     applies=lambda x: True, load=self.load)
    def load(self):
        {1}
        return np.tanh
""",
}
"""Parts that work, with places where something else can be done instead."""

RUN = ("run", "linear", "--epochs", "1", "--quiet", "--device", "cpu", "--overwrite")
USES = {
    "equilib_solvers": (*RUN, "--solver", "spoiled"),
    "equilib_linear_solvers": (*RUN, "--solver", "newton-gmres:linear_solver=spoiled"),
    "equilib_sensitivities": (*RUN, "--adjoint", "spoiled"),
    "equilib_optimizers": (*RUN, "--optimizer", "spoiled"),
    "equilib_datasets": ("run", "mnist", "--data", "spoiled", "--model", "reduced", "-o", "max_steps=2", *RUN[2:]),
    "equilib_experiments": ("run", "spoiled", *RUN[2:]),
    "equilib_kernels": (*RUN, "--kernels", "spoiled"),
}
"""Commands that put a part to work."""


def plugin(random: Random, place: Path) -> tuple[tuple[str, ...], bool, str]:
    """Write a plugin; return arguments of `equilib`, whether it is wrong beyond doubt, and what must be said of it."""
    source, argv, wrong, said = random.choice((_record, _record, _yielding, _importing, _working, _working))(random)
    (place / "spoiled.py").write_text(source, encoding="utf-8")
    about = place / "spoiled-1.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: spoiled\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[equilib]\nspoiled = spoiled\n", encoding="utf-8")
    return argv, wrong, said


_Made = tuple[str, tuple[str, ...], bool, str]


def _source(hook: str, yielded: str, **more: str) -> str:
    parts = {"imported": "", "part": "", "arguments": "", "before": "", "after": ""} | more
    return PLUGIN.format(hook=hook, yielded=yielded, **parts)


def _entry(record: str, **fields: str) -> str:
    given = {"name": "'spoiled'", "factory": "Part", "summary": "'x'"} | fields
    return f"yield {record}({', '.join(f'{name}={text}' for name, text in given.items())})"


def _part(hook: str, *acts: str) -> str:
    return "@dataclass(frozen=True)\nclass Part:\n    step_size: float = 0.5\n" + PARTS.get(hook, "").format(
        *acts, *["pass"] * 2
    )


def _listing(random: Random, hook: str, *, wrong: bool) -> tuple[tuple[str, ...], bool, str]:
    """Return a command that lists, whether it must fail, and what it must say of a plugin that is left out."""
    argv = random.choice((("plugins", "--json"), ("doctor", "--json"), (HOOKS[hook][1], "--json"), (HOOKS[hook][1],)))
    return argv, False, "" if not wrong else "broken" if argv[0] in ("plugins", "doctor") else "left out"


def _using(random: Random, hook: str, *, wrong: bool) -> tuple[tuple[str, ...], bool, str]:
    """Return a command that lists or uses the part, whether it must fail, and what it must say."""
    if random.random() < 0.5 or hook not in USES:
        return _listing(random, hook, wrong=wrong)
    argv = random.choice((USES[hook], USES[hook], (HOOKS[hook][1], "show", "spoiled")))
    return argv, wrong, "spoiled" if wrong else ""


def _record(random: Random) -> _Made:
    """Return a plugin one of whose records has a field that is missing, unknown, or something else."""
    hook = random.choice(list(HOOKS))
    record, _, own = HOOKS[hook]
    kinds, how = FIELDS | own, random.random()
    if how < 0.1:
        fields, wrong = {random.choice(("nothing", "class_", "noun")): "1"}, True
    elif how < 0.3:
        argv, _, said = _using(random, hook, wrong=False)
        used = argv in USES.values() or "show" in argv
        source = _source(hook, _entry(record, factory=random.choice(FACTORIES)))
        return source, argv, used, "spoiled" if used else said
    else:
        field = random.choice(list(kinds))
        text = random.choice(list(JUNK))
        fields, wrong = {field: text}, JUNK[text] != kinds[field] or text in ("{1: 2}", "(1,)")
    return _source(hook, _entry(record, **fields), part=_part(hook)), *_using(random, hook, wrong=wrong)


def _yielding(random: Random) -> _Made:
    """Return a plugin whose hook yields what is no record, never ends, or fails."""
    hook = random.choice(list(HOOKS))
    record, part = HOOKS[hook][0], _part(hook)
    one = _entry(record)
    other = random.choice([each for each, _, _ in HOOKS.values() if each != record])
    yields = (
        *("return 3", "return 'text'", "return [None]", "return {'a': 1}", "return Odd()", "yield None"),
        *("yield Part", f"yield {record}", one + "\n    " + one, _entry(other), f"return {record}", "yield from Odd()"),
        "for n in range(10**9):\n        " + _entry(record, name="f'name-{n}'"),
        "for n in range(10**9):\n        " + one,
        f"return [{one.removeprefix('yield ')}] * 2",
    )
    if random.random() < 0.5:
        source, wrong = _source(hook, random.choice(yields), part=part), True
    else:
        before, after = random.choice((("pass", random.choice(ENDS)), (random.choice(ENDS), "pass")))
        source = _source(hook, one, part=part, before=before, after=after)
        wrong = "StopIteration" not in before + after
    return source, *_using(random, hook, wrong=wrong)


def _importing(random: Random) -> _Made:
    """Return a plugin that fails when it is imported, or does what it should not."""
    hook, wrong = random.choice(list(HOOKS)), random.random() < 0.5
    imported = random.choice(ENDS if wrong else TRICKS)
    source = _source(hook, _entry(HOOKS[hook][0]), part=_part(hook), imported=imported)
    return source, *_using(random, hook, wrong=wrong)


def _working(random: Random) -> _Made:
    """Return a plugin whose part fails, returns something else or does what it should not, when it is at work."""
    hook, how = random.choice(list(PARTS)), random.randrange(3)
    act = random.choice((ENDS, TRICKS, [f"return {each}" for each in RESULTS])[how])
    acts = random.choice(((act, "pass"), ("pass", act))) if "{1}" in PARTS[hook] else (act,)
    source = _source(hook, _entry(HOOKS[hook][0]), part=_part(hook, *acts))
    # A kernel that fails is done without; who raises KeyboardInterrupt is taken for the user.
    wrong = how == 0 and not (hook == "equilib_kernels" and acts[0] == "pass")
    others = {"raise MemoryError": "memory", "raise EOFError": "ended early", "raise KeyboardInterrupt": ""}
    said = others.get(act, "spoiled") if wrong else ""
    return source, USES[hook], wrong, said

"""The stages that `auto` leads each sample through, one method after another."""

from __future__ import annotations

from dataclasses import dataclass

from equilib_auto.methods import CONTINUATION, DESCENT, FLOW, JUMPS, PATIENT, PLAIN, RISE, SECANTS, SPECTRAL, Method

INFINITE = float("inf")

KINDS = ("stuck", "wild", "slow")
"""How samples leave the first stage: where it is at an end, where the residual grew at once, or, if they are not small,
where it fell too slowly: beside a kink of f another path of the same kind often leads on."""


@dataclass(frozen=True)
class Stage:
    """A method, and when it is left although it could go on.

    Attributes
    ----------
    name : str
        What `finished_by` says.
    method : Method
    trials : int
        Trials that a sample has here at most.
    patience : float
        Trials that a sample may still need, at the rate of its last ones.
    worth : float
        Share of the first residual from which on the place of the least residual is where the stage begins; else it
        begins at the initial guess, since that place was reached by wandering.
    length : float
        First length of a step.
    change : float
        Of the flow: change of the residual in a step, relative to it, at which the step is taken back.
    calls, each : float
        Evaluations and products that a sample has here at most, unless the residual has fallen far: so many, and as
        many more for each element of it.
    kinds : tuple of str
        The kinds of samples that the stage is for, of `KINDS`.
    exhausted : bool
        Whether it is only for samples whose residual is rounding after Newton's steps, and who have not converged.
    """

    name: str
    method: Method
    trials: int
    patience: float
    worth: float = 1e-3
    length: float = 1.0
    change: float = 2.0
    calls: float = INFINITE
    each: float = 0.0
    kinds: tuple[str, ...] = KINDS
    exhausted: bool = False


STAGES = (
    Stage("broyden", SECANTS, trials=200, patience=150),
    Stage("flow", FLOW, trials=80, patience=100, worth=0.0, kinds=("slow",)),
    Stage("broyden", PLAIN, trials=100, patience=INFINITE, worth=0.0, kinds=("slow",)),
    Stage("newton", DESCENT, trials=100, patience=60, worth=0.1, calls=80, each=2),
    # A leap has met none of the residuals on the way, to the largest of which the tolerance is relative.
    Stage("picard", RISE, trials=100, patience=INFINITE, worth=0.0, exhausted=True),
    Stage("newton", DESCENT, trials=20, patience=60, worth=0.1, calls=80, each=2, exhausted=True),
    Stage("dfsane", SPECTRAL, trials=50, patience=100, worth=0.0, kinds=("wild",)),
    Stage("newton-without-line-search", JUMPS, trials=40, patience=INFINITE, calls=80, each=0.5, kinds=("wild",)),
    Stage("flow", FLOW, trials=80, patience=100, worth=0.0, kinds=("stuck", "wild")),
    Stage("dfsane", SPECTRAL, trials=50, patience=100, worth=0.0, kinds=("stuck", "slow")),
    Stage("newton-without-line-search", JUMPS, trials=40, patience=INFINITE, calls=80, each=0.5, kinds=("stuck",)),
    Stage("broyden", PLAIN, trials=150, patience=INFINITE, worth=0.0, kinds=("stuck", "wild")),
    Stage("careful-flow", FLOW, trials=200, patience=INFINITE, change=0.5, kinds=("slow",)),
    Stage("pseudo-transient", CONTINUATION, trials=100, patience=200, length=10.0, calls=100, each=4),
    Stage("careful-flow", FLOW, trials=200, patience=INFINITE, change=0.5, kinds=("stuck", "wild")),
    Stage("reversed-flow", FLOW, trials=50, patience=100, length=-1.0),
    Stage("newton", PATIENT, trials=500, patience=INFINITE, worth=0.1, calls=5000),
    Stage("dfsane", SPECTRAL, trials=400, patience=INFINITE, worth=0.0),
    Stage("newton-without-line-search", JUMPS, trials=40, patience=INFINITE, calls=80, each=0.5, kinds=("slow",)),
    Stage("careful-flow", FLOW, trials=1000, patience=INFINITE, change=0.25),
)
"""The cheap and probable first, measured by `python -m benchmarks auto`; the last have all the time there is."""

GIVEN_UP = len(STAGES)
"""The number of the stage after the last."""

NAMES = (*(stage.name for stage in STAGES), "none")

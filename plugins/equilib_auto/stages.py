"""The stages that `auto` leads each sample through, one method after another."""

from __future__ import annotations

from dataclasses import dataclass

from equilib_auto.methods import CONTINUATION, DESCENT, FLOW, JUMPS, PATIENT, PLAIN, RISE, SECANTS, SPECTRAL, Method

INFINITE = float("inf")


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
        Evaluations and products that a sample has here at most: so many, and as many more for each element of it.
    wild : bool, optional
        Whether the stage is for samples whose residual grew at once, or for the others only; by default for all.
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
    wild: bool | None = None
    exhausted: bool = False


STAGES = (
    Stage("broyden", SECANTS, trials=200, patience=150),
    Stage("newton", DESCENT, trials=100, patience=60, worth=0.1, calls=80, each=2),
    # A leap has met none of the residuals on the way, to the largest of which the tolerance is relative.
    Stage("picard", RISE, trials=100, patience=INFINITE, worth=0.0, exhausted=True),
    Stage("newton", DESCENT, trials=20, patience=60, worth=0.1, calls=80, each=2, exhausted=True),
    Stage("newton-without-line-search", JUMPS, trials=40, patience=INFINITE, calls=80, each=0.5, wild=True),
    Stage("dfsane", SPECTRAL, trials=50, patience=100, worth=0.0, wild=True),
    Stage("flow", FLOW, trials=80, patience=100, worth=0.0),
    Stage("dfsane", SPECTRAL, trials=50, patience=100, worth=0.0, wild=False),
    Stage("newton-without-line-search", JUMPS, trials=40, patience=INFINITE, calls=80, each=0.5, wild=False),
    Stage("broyden", PLAIN, trials=150, patience=INFINITE, worth=0.0),
    Stage("pseudo-transient", CONTINUATION, trials=100, patience=200, length=10.0, calls=100, each=4),
    Stage("careful-flow", FLOW, trials=200, patience=INFINITE, change=0.5),
    Stage("reversed-flow", FLOW, trials=50, patience=100, length=-1.0),
    Stage("newton", PATIENT, trials=500, patience=INFINITE, worth=0.1),
    Stage("dfsane", SPECTRAL, trials=400, patience=INFINITE),
    Stage("careful-flow", FLOW, trials=1000, patience=INFINITE, change=0.25),
)
"""The cheap and probable first, measured by `python -m benchmarks auto`; the last three have all the time there is."""

GIVEN_UP = len(STAGES)
"""The number of the stage after the last."""

NAMES = (*(stage.name for stage in STAGES), "none")

"""One line about an epoch, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equilib.fixed_points.solution import Status
from equilib.ode.solution import OdeStatus
from equilib.training.objectives import Objective

SUCCESSES = {status.name.lower() for status in (Status.CONVERGED, OdeStatus.FINISHED)}


def epoch_summary(metrics: Mapping[str, Any], objective: Objective) -> str:
    """Return one line about an epoch."""
    name = objective.score_name
    work = f"nfe {metrics['forward_nfe']:.1f}"
    if metrics["forward_njvp"]:
        work += f" + {metrics['forward_njvp']:.1f} jvp"
    if metrics["adjoint_nfe"]:
        work += f", adjoint {metrics['adjoint_nfe']:.1f} vjp"
    if metrics["residual"] is not None:  # an integration has none
        work += f", residual {metrics['residual']:.1e}"
    return (
        f"Loss: {metrics['loss']:.5f} {_title(name)}: {objective.show(metrics[f'test_{name}'])} "
        f"(training {objective.show(metrics[f'train_{name}'])}) {metrics['seconds']:.1f} s, {work}{_failures(metrics)}"
    )


def _title(score_name: str) -> str:
    return score_name.replace("_", " ").capitalize()


def _failures(metrics: Mapping[str, Any]) -> str:
    if metrics["phase"] == "pretrain":  # a fixed depth promises no convergence
        return ""
    text = f", unconverged {_share(metrics['unconverged'], metrics['status'])}"
    if metrics["adjoint_unconverged"]:
        text += f", adjoint unconverged {_share(metrics['adjoint_unconverged'], metrics['adjoint_status'])}"
    if metrics["test"]["unconverged"]:
        text += f", test unconverged {_share(metrics['test']['unconverged'], metrics['test']['status'])}"
    return text


def _share(share: float, counts: Mapping[str, int]) -> str:
    causes = ", ".join(f"{count} {name}" for name, count in counts.items() if name not in SUCCESSES)
    return f"{100 * share:.1f}%" + (f" ({causes})" if causes else "")

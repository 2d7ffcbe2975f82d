"""Metrics of training: the table that statistics, records, and every command and report go through.

A new metric is a new row. One that a `Batch` does not give yet needs a field there, which the trainer fills.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from equilib.arrays import to_host
from equilib.fixed_points.solution import SampleStatus
from equilib.training import metric
from equilib.training import number_formats as show
from equilib.training.metric import Batch, Metric, Panel
from equilib.training.reductions import FAILED, LARGEST, MEAN_OF_SAMPLES, STATUSES


def _residuals(batch: Batch) -> float | None:
    norms = batch.record.residual_norm
    return None if norms is None else float(np.sum(norms))


def _statuses(batch: Batch) -> Counter[SampleStatus]:
    return Counter(batch.record.status)


def _adjoint_statuses(batch: Batch) -> Counter[SampleStatus]:
    return Counter(status for each in batch.record.adjoints for status in each.status)


def _adjoint_residual(batch: Batch) -> float:
    norms = [each.residual_norm for each in batch.record.adjoints if each.residual_norm is not None]
    return float(np.max([np.max(each, initial=0.0) for each in norms], initial=0.0))


_NFE = Panel("nfe", "Evaluations of f", "evaluations per batch")
_PRODUCTS = Panel("products", "Products with the Jacobian", "products per batch of training")
_RESIDUAL = Panel("residual", "Residual", "mean ‖f(z) − z‖ of the samples", logarithmic=True)
_UNCONVERGED = Panel(
    "unconverged",
    "Share unconverged",
    "samples that did not converge, in %",
    percent=True,
    note="Without epochs of pretraining: a fixed depth promises no convergence.",
)
_LOSS = Panel("loss", "Loss", "mean loss of the training samples", logarithmic=None, comparable=False)
_GRADIENT = Panel(
    "gradient", "Norm of the gradient", "mean of the batches of training", logarithmic=None, comparable=False
)

METRICS: tuple[Metric, ...] = (
    Metric(name="step", title="updates", short="updates", show=show.count),
    Metric(
        name="loss",
        title="training loss",
        short="loss",
        show=show.plain,
        measure=lambda batch: None if batch.loss is None else batch.loss * batch.samples,
        over=MEAN_OF_SAMPLES,
        line="Loss: {:.5f}",
        places=(metric.CARD, metric.EPOCHS),
        panel=_LOSS,
    ),
    Metric(
        name="score",
        title="score",
        short="score",
        show=show.plain,
        measure=lambda batch: float(np.sum(to_host(batch.scores))),
        over=MEAN_OF_SAMPLES,
        of=metric.TEST,
        is_tested=True,
        is_score=True,
        places=(metric.COMPARE, metric.CARD, metric.EPOCHS),
    ),
    Metric(
        name="seconds",
        title="time for training",
        short="time",
        show=show.seconds,
        of=metric.ALL_EPOCHS,
        line=" {:.1f} s",
        places=(metric.COMPARE, metric.CARD, metric.EPOCHS),
    ),
    Metric(name="test_seconds", title="time for tests", short="test time", show=show.seconds, of=metric.ALL_EPOCHS),
    Metric(name="learning_rate", title="learning rate at the end", short="rate", show=show.plain),
    Metric(
        name="forward_nfe",
        title="evaluations of f, per batch of training",
        short="nfe",
        show=show.count,
        measure=lambda batch: batch.record.nfe,
        is_tested=True,
        line=", nfe {:.1f}",
        places=(metric.COMPARE, metric.EVALUATE, metric.CARD, metric.EPOCHS),
        panel=_NFE,
    ),
    Metric(
        name="forward_njvp",
        title="products J·v, per batch of training",
        short="jvp",
        show=show.count,
        measure=lambda batch: batch.record.njvp,
        is_tested=True,
        needs_solves=True,
        hides_zero=True,
        line=" + {:.1f} jvp",
        places=(metric.COMPARE, metric.EVALUATE, metric.EPOCHS),
        panel=_PRODUCTS,
        curve="J·v, forward",
    ),
    Metric(
        name="adjoint_nfe",
        title="products Jᵀ·w, per batch of training",
        short="vjp",
        show=show.count,
        measure=lambda batch: batch.record.adjoint_nvjp,
        is_tested=True,
        needs_solves=True,
        hides_zero=True,
        line=", adjoint {:.1f} vjp",
        places=(metric.COMPARE, metric.EPOCHS),
        panel=_PRODUCTS,
        curve="Jᵀ·w, backward",
    ),
    Metric(
        name="residual",
        title="test residual",
        short="residual",
        show=show.small,
        measure=_residuals,
        over=MEAN_OF_SAMPLES,
        of=metric.TEST,
        is_tested=True,
        line=", residual {:.1e}",
        places=(metric.COMPARE, metric.EVALUATE, metric.CARD, metric.EPOCHS),
        panel=_RESIDUAL,
    ),
    Metric(
        name="unconverged",
        title="test samples unconverged",
        short="unconverged",
        show=show.share,
        measure=_statuses,
        over=FAILED,
        of=metric.TEST,
        is_tested=True,
        needs_solves=True,
        line=", unconverged {:.1%}",
        test_line=", test unconverged {:.1%}",
        statuses="status",
        places=(metric.COMPARE, metric.CARD, metric.EPOCHS),
        panel=_UNCONVERGED,
    ),
    Metric(
        name="status",
        title="test solves",
        short="solves",
        show=show.counts,
        measure=_statuses,
        over=STATUSES,
        of=metric.TEST,
        is_tested=True,
        places=(metric.EVALUATE,),
    ),
    Metric(
        name="adjoint_residual_max",
        title="largest adjoint residual",
        short="adjoint residual",
        show=show.small,
        measure=_adjoint_residual,
        over=LARGEST,
        is_tested=True,
    ),
    Metric(
        name="adjoint_unconverged",
        title="adjoint solves unconverged",
        short="adjoint unconverged",
        show=show.share,
        measure=_adjoint_statuses,
        over=FAILED,
        is_tested=True,
        needs_solves=True,
        hides_zero=True,
        line=", adjoint unconverged {:.1%}",
        statuses="adjoint_status",
        panel=_UNCONVERGED,
        curve="adjoint",
    ),
    Metric(
        name="adjoint_status",
        title="adjoint solves",
        short="adjoint solves",
        show=show.counts,
        measure=_adjoint_statuses,
        over=STATUSES,
        is_tested=True,
    ),
    Metric(
        name="gradient_norm",
        title="norm of the gradient, mean over batches",
        short="gradient",
        show=show.small,
        measure=lambda batch: batch.gradient_norm,
        places=(metric.EPOCHS,),
        panel=_GRADIENT,
    ),
    Metric(
        name="peak_memory",
        title="peak memory of the host",
        short="memory",
        show=show.memory,
        of=metric.PROCESS,
        places=(metric.COMPARE, metric.CARD),
    ),
)
"""In the order of the record."""


SCORE = next(row for row in METRICS if row.is_score)


def metrics_of(score: str | None) -> tuple[Metric, ...]:
    """Return the table for runs whose score has this name; without the score if there is none."""
    return tuple(row.called(score) for row in METRICS if score or not row.is_score)


def score_name(epoch: Mapping[str, Any]) -> str | None:
    """Return the name of the score in the record of an epoch; None where nothing was tested."""
    own = {row.name for row in METRICS}
    tested = [key for key in epoch if key.startswith("test_") and key not in own]
    return tested[0].removeprefix("test_") if tested else None

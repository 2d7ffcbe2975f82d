"""Settling of --tf32: what is asked for, held against the device, the dtype and the tolerances of a run."""

from __future__ import annotations

from dataclasses import replace

from equilib.errors import UserError
from equilib.machine.tf32 import KINDS, LEAST_RTOL, require_tf32
from equilib.plugin.choice import Choice
from equilib.runs.context import RunContext


def settle_tf32(context: RunContext, method: Choice) -> None:
    """Take --tf32 back of a run that goes on where there is none, and refuse it where it cannot be meant.

    Raises UserError if the device has none, or the run asks for more digits than it leaves.
    """
    request = context.request
    if not request.tf32:
        return
    if context.continuation is not None and context.device.kind not in KINDS:
        context.request = replace(request, tf32=False)
        return
    require_tf32(context.device)
    if request.dtype == "float64":
        raise UserError("--tf32 rounds float32 matrices, and the run is in float64: leave out one of them")
    asked = {"": method.options.rtol, "the adjoint's ": getattr(method.sensitivity, "rtol", None)}
    for whose, rtol in asked.items():
        if rtol is not None and rtol < LEAST_RTOL:
            raise UserError(
                f"--tf32 leaves products three or four digits, too few for {whose}rtol={rtol:g}: ask for "
                f"{LEAST_RTOL:g} or more, or leave out --tf32"
            )

"""From a request to a run."""

from __future__ import annotations

from equilib.devices import find_device
from equilib.options import build
from equilib.registry import Registry
from equilib.training.allocator import keep_big_blocks
from equilib.training.context import RunContext
from equilib.training.reporting import open_reporter
from equilib.training.request import RunRequest
from equilib.training.run_directory import check_out, default_out


def launch(request: RunRequest, registry: Registry) -> None:
    """Run an experiment.

    Raises
    ------
    UserError
        If the request cannot be carried out as it is; nothing has been written then.
    RunError
        If the run failed on its way.
    """
    experiment = build(
        registry.experiment(request.experiment).load(), request.values, owner=f"experiment {request.experiment!r}"
    )
    device = find_device(request.device)
    out = request.out or default_out(request.experiment)
    check_out(out, overwrite=request.overwrite)
    keep_big_blocks()
    with open_reporter() as reporter:
        experiment.run(RunContext(request=request, registry=registry, device=device, reporter=reporter, out=out))

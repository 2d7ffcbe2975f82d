"""What an experiment gets to run with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from equilib.errors import RunError, UserError
from equilib.machine.devices import Device
from equilib.machine.environment import describe_environment
from equilib.plugin.choice import Method, choose_method
from equilib.plugin.integration_choice import IntegrationMethod, choose_integration
from equilib.plugin.registry import Registry
from equilib.runs.folder import RunDirectory, locked
from equilib.runs.request import RunRequest
from equilib.training.reporter import Reporter

if TYPE_CHECKING:
    from equilib.runs.resumption import Resumption


@dataclass(kw_only=True)
class RunContext:
    """The run around an experiment.

    Attributes
    ----------
    request : RunRequest
    registry : Registry
    device : Device
    reporter : Reporter
    out : Path
        Where the run is recorded; nothing is written there before `record`.
    resumption : Resumption or None
        What the run goes on from.
    """

    request: RunRequest
    registry: Registry
    device: Device
    reporter: Reporter
    out: Path
    resumption: Resumption | None = None
    _method: Method | IntegrationMethod | None = field(default=None, init=False)

    @property
    def data_dir(self) -> Path | None:
        """Where the user says that the data lies."""
        return self.request.data_dir

    def rng(self) -> np.random.Generator:
        """Return random numbers that depend on the seed only."""
        return np.random.default_rng(self.request.seed)

    def method(self, default_solver: str, **defaults: object) -> Method:
        """Return the solver, its options and the adjoint that the user chose, or the experiment's defaults.

        Raises
        ------
        UserError
            If a name or an option is unknown or wrong.
        """
        request = self.request
        method = choose_method(
            self.registry,
            solver=default_solver if request.solver is None else request.solver,
            options=request.options,
            adjoint=request.adjoint,
            defaults=defaults,
            defaults_for=default_solver,
            fallback=request.fallback,
        )
        self._method = method
        return method

    def integration_method(self, default_integrator: str, **defaults: object) -> IntegrationMethod:
        """Return the integrator, its options and the ODE adjoint that the user chose, or the experiment's defaults.

        Raises
        ------
        UserError
            If a name or an option is unknown or wrong.
        """
        request = self.request
        method = choose_integration(
            self.registry,
            integrator=default_integrator if request.solver is None else request.solver,
            options=request.options,
            adjoint=request.adjoint,
            defaults=defaults,
            fallback=request.fallback,
        )
        self._method = method
        return method

    @contextmanager
    def record(self, options: Mapping[str, Any], **facts: Any) -> Iterator[RunDirectory]:
        """Open the run directory, and note in it how the run ended, whatever way it ends.

        Where it ends early, say so, and where its record lies.

        Parameters
        ----------
        options : mapping
            The experiment's options, with their defaults resolved.
        **facts
            What else `run.json` should hold, such as the source of the data.
        """
        content = {
            "id": uuid4().hex,
            "experiment": self.request.experiment,
            "argv": list(self.request.argv),
            "request": self.request.describe(),
            "options": dict(options),
            "method": self._method.describe() if self._method else None,
            "seed": self.request.seed,
            "device": self.device.description,
            **facts,
            **describe_environment(),
        }
        with self._hold():
            if self.resumption is None:
                directory = RunDirectory(self.out, content)
            else:
                content = self.resumption.facts(content)
                directory = RunDirectory.reopen(self.out, content, epochs=self.resumption.epochs_done)
            yield from self._watch(directory)

    @contextmanager
    def _hold(self) -> Iterator[None]:
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {self.out} cannot be written: {error.strerror or error}") from error
        with locked(self.out):
            yield

    def _watch(self, directory: RunDirectory) -> Iterator[RunDirectory]:
        try:
            yield directory
        except KeyboardInterrupt:
            self._end_early(directory, "interrupted")
            raise
        except BaseException as error:
            self._end_early(directory, "failed", str(error) or type(error).__name__)
            raise
        if directory.status == "running":
            directory.finish("finished")

    def _end_early(self, directory: RunDirectory, status: str, error: str | None = None) -> None:
        if directory.status != "running":
            return
        # A full disk or a closed pipe must not hide why the run ended: the caller raises that.
        with suppress(OSError, RunError):
            directory.finish(status, error=error)
        with suppress(OSError):
            text = f"{status.capitalize()}; what was recorded until then is in {directory.path}"
            self.reporter.event(status, text, {"path": str(directory.path), "error": error})

"""Virtual environments for the peers, made once from pinned requirements."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FINISHED = "installed"
"""The file that says that an environment is complete: an interrupted installation leaves none."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment for some peers, of the packages in requirements-NAME.txt."""

    name: str
    home: Path

    @property
    def requirements(self) -> Path:
        """The pinned packages."""
        return HERE / f"requirements-{self.name}.txt"

    @property
    def folder(self) -> Path:
        """Where it is; other requirements or another Python make another folder."""
        told = f"{sys.version_info[:2]} {sys.platform}\n".encode() + self.requirements.read_bytes()
        return self.home / f"{self.name}-{hashlib.sha256(told).hexdigest()[:12]}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def exists(self) -> bool:
        """Whether it is complete."""
        return (self.folder / FINISHED).exists()

    def make(self) -> Path:
        """Make the environment if it does not exist, and return its interpreter.

        Raises
        ------
        SystemExit
            If pip could not install the requirements.
        """
        if not self.exists:
            print(f"Making the environment of the {self.name} peers in {self.folder} ...", file=sys.stderr, flush=True)
            venv.create(self.folder, clear=True, with_pip=True)
            pip = [str(self.python), "-m", "pip", "install", "--quiet", "-r", str(self.requirements)]
            if subprocess.run(pip, check=False).returncode:
                raise SystemExit(f"pip could not install {self.requirements}; its own message stands above")
            (self.folder / FINISHED).touch()
        return self.python


def home_of_environments() -> Path:
    """Return the folder of the environments where the user names none."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "equilib" / "peers"


OF_PEER = {"torchdeq": "torch", "torchdiffeq": "torch", "jax": "jax", "diffrax": "jax", "jaxopt": "jaxopt"}
"""Each peer's environment."""

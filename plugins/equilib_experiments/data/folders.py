"""Folders in which the user keeps data."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from equilib.errors import UserError, file_errors
from equilib.runs.request import DATA_VARIABLE


@dataclass(frozen=True, kw_only=True)
class GivenFolder:
    """A folder that the user named, and how: messages quote `given`."""

    path: Path
    given: str

    def find(self, names: Iterable[str], *, subfolder: str) -> dict[str, Path]:
        """Return where the gzip files `names` lie, here or in `subfolder`, unpacked ones without the `.gz`.

        Raises UserError when the folder cannot be listed, or one of the files is missing.
        """
        names = list(names)
        for folder in (self.path, self.path / subfolder):
            present = self._list(folder)
            paths = {name: folder / found for name in names if (found := _spelling(name, present))}
            if len(paths) == len(names):
                return paths
            if paths:
                missing = next(name for name in names if name not in paths)
                raise UserError(
                    f"{self.given}: {folder} holds {next(iter(paths.values())).name}, but neither {missing} "
                    f"nor {missing.removesuffix('.gz')}; add that file"
                )
        raise UserError(
            f"{self.given} holds neither {names[0]} nor {subfolder}/{names[0]}, but "
            f"{_some(self._list(self.path))}; give a folder with the {len(names)} files, or none to download"
        )

    def _list(self, folder: Path) -> set[str]:
        if folder != self.path and not os.path.isdir(folder):
            return set()
        with file_errors(f"{self.given}: {folder} cannot be listed", "; give an existing folder"):
            return set(os.listdir(folder))


def given_folder(data_dir: Path | None) -> GivenFolder | None:
    """Return the folder that `--data-dir` or, failing that, EQUILIB_DATA_DIR names, or None."""
    if data_dir is not None:
        return GivenFolder(path=_at_home(data_dir), given=f"--data-dir {data_dir}")
    variable = os.environ.get(DATA_VARIABLE)
    if variable:
        return GivenFolder(path=_at_home(variable), given=f"{DATA_VARIABLE}={variable}")
    return None


def _at_home(name: str | Path) -> Path:
    """Return a path with a user's home in the place of ~; as it is where there is no such user."""
    return Path(os.path.expanduser(name))


def _spelling(name: str, present: set[str]) -> str | None:
    return next((spelling for spelling in (name, name.removesuffix(".gz")) if spelling in present), None)


def _some(names: set[str], limit: int = 4) -> str:
    if not names:
        return "nothing"
    shown = ", ".join(sorted(names)[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"

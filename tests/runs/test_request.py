from pathlib import Path

import pytest

from equilib.runs.request import DATA_VARIABLE, RunRequest


def test_a_record_names_the_folder_that_the_environment_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run is made again with the data it had, whatever the environment says by then."""
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    record = RunRequest(experiment="any").describe()
    monkeypatch.delenv(DATA_VARIABLE)
    assert RunRequest.from_record(record).data_dir == tmp_path


def test_a_folder_that_was_given_counts_more_than_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """--data-dir is what is recorded where the environment names another folder."""
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "other"))
    assert RunRequest(experiment="any", data_dir=tmp_path).describe()["data_dir"] == str(tmp_path)

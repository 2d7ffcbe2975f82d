"""The benchmarks beside peers run, count what they say, and leave the peers' environments alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gradients, overhead, scaling, solvers, stiff_node
from benchmarks.cells import CellCase, conv_cell, dense_cell
from benchmarks.peers.environments import FINISHED, OF_PEER, Environment, home_of_environments
from benchmarks.peers.exchange import Finished, read, run_contestant, write
from benchmarks.race import Laps, laps_table, ratios_table
from benchmarks.request import RESULTS, Request, parse
from benchmarks.stiff_node_ours import measure

PEERS = pytest.mark.skipif(
    not Environment("torch", home_of_environments()).exists,
    reason="the peers' environment is not there; `python -m benchmarks solvers --peers torchdeq` makes it",
)


@pytest.fixture(scope="module")
def rows() -> list[solvers.Row]:
    """Return the rows of a quick run."""
    return list(solvers._rows(quick=True))


def test_counts_are_calls_of_f_and_results_are_as_good_as_asked_for(rows: list[solvers.Row]) -> None:
    """Every solver reaches the tolerance in float64 as well, and Picard's count is that of a plain loop."""
    for row in rows:
        counts = solvers._ours(row)
        assert all(count.reached for count in counts.values()), (row, counts)
        f, z, calls = row.cell.map(row.dtype), row.cell.zeros(row.dtype), 1
        while row.excess(z) > 1:
            z, calls = f(z), calls + 1
        assert counts["picard"].nfe == calls


@PEERS
def test_our_solvers_need_no_more_than_torchdeqs(rows: list[solvers.Row]) -> None:
    """In every row each of ours needs at most the evaluations of its counterpart; the maps are the same."""
    theirs, versions = solvers._torchdeq(rows, Request(peers=("torchdeq",)))
    assert set(versions) == {"torch", "torchdeq"}
    for row in rows:
        ours = solvers._ours(row)
        assert all(count.reached for count in theirs[row].values())
        for name, counterpart in solvers.PAIRS:
            assert name not in ours or ours[name].work <= theirs[row][counterpart].work, (row, name)


def test_the_committed_table_has_no_row_in_which_ours_needs_more() -> None:
    """Anderson, broyden and lbroyden reach the tolerance in every row, with at most torchdeq's evaluations."""
    table = json.loads((RESULTS / "solvers.json").read_text(encoding="utf-8"))
    for row in table["rows"]:
        found = row["solvers"]
        for name, counterpart in solvers.PAIRS:
            if name in found:
                work = found[name]["nfe"] + found[name]["njvp"]
                assert work <= found[counterpart]["nfe"], (row["cell"], row["mode"], name)
                assert found[name]["residual"] <= 1.01 or name == "picard"
    assert len(table["rows"]) == 36


@pytest.mark.parametrize(("draw", "scale"), [(dense_cell, 0.9), (conv_cell, 0.041)])
def test_cells_are_the_same_in_every_run(draw: Callable[[float, int], CellCase], scale: float) -> None:
    """A cell is drawn from its own seed, and its true residual is that of f in float64."""
    # The injection is a convolution, so its last bits depend on the threads: both are drawn here, with the same ones.
    cell, again = draw(scale, 3), draw(scale, 3)
    for one, other in zip((*cell.weights, cell.injection), (*again.weights, again.injection), strict=True):
        np.testing.assert_array_equal(one, other)
    z = cell.map("float64")(cell.zeros("float64"))
    expected = np.linalg.norm((cell.map("float64")(z) - z).reshape(len(z), -1), axis=1)
    np.testing.assert_allclose(cell.residual_norms(z), expected, rtol=1e-12)


def test_exact_adjoints_give_the_gradient_and_the_others_do_not(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """A quick run of `gradients`: implicit ones within the tolerance of the solve, JFB far off."""
    gradients.main(Request(quick=True, json=tmp_path / "gradients.json"))
    rows = {row["way"]: row for row in json.loads((tmp_path / "gradients.json").read_text())["rows"]}
    assert set(rows) == set(gradients.OURS)
    for way in ("newton-gmres", "anderson, implicit", "anderson, implicit:solver=anderson"):
        assert rows[way]["error"] < 5e-3
    assert rows["anderson, jacobian-free"]["error"] > 0.1
    assert rows["anderson, jacobian-free"]["vjp"] == 1
    assert "| dense 0.9 | equilib | newton-gmres |" in capsys.readouterr().out


def test_contestants_with_another_stiff_network_are_refused() -> None:
    """Solutions and gradients of one network agree, whatever the method; another right-hand side ends the benchmark."""
    for network in stiff_node.networks(quick=True).values():
        how = {"adjoint": "discrete", "rtol": 1e-4, "atol": 1e-4, "max_steps": 1000, "repeats": 0}
        ours, theirs = (measure(network, {**how, "integrator": name})[0] for name in ("kencarp47", "bdf"))
        of_y, of_gradient = stiff_node.errors(theirs, ours)
        assert of_y * stiff_node.TOLERANCE < 1e-3
        assert of_gradient < 1e-3
        hidden = np.tanh(network["y0"] @ network["weight1"] + network["bias1"])
        net = hidden @ network["weight2"] + network["bias2"]
        assert np.array_equal(ours["y"][0], network["y0"])
        np.testing.assert_allclose(ours["slope"], network["rates"] * (net - network["leak"] * network["y0"]), rtol=1e-9)
        with pytest.raises(SystemExit, match="would compare different things"):
            stiff_node.errors({**theirs, "slope": 1.001 * theirs["slope"]}, ours)


@pytest.mark.parametrize("peers", [(), pytest.param(("torchdeq",), marks=PEERS)], ids=str)
def test_a_step_is_what_lies_between_two_solves(peers, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A quick run of `overhead`: every solver has done the evaluations it is charged, each longer than f alone."""
    overhead.main(Request(peers=peers, quick=True, json=tmp_path / "overhead.json"))
    figures = json.loads((tmp_path / "overhead.json").read_text())
    assert set(figures["steps"]["equilib"]) == set(overhead.OURS)
    assert set(figures["steps"]) == set(figures["pieces_us"]) == {"equilib", *peers}
    for library, steps in figures["steps"].items():
        for name, step in steps.items():
            if name != "newton-gmres":  # counts products as well, and ends a step where it will
                assert step["calls"] == {"f": overhead.MANY - overhead.FEW, "linearize": 0, "jvp": 0}, (library, name)
            assert 0 < step["beyond_us"] < step["us"]
    assert figures["steps"]["equilib"]["newton-gmres"]["calls"]["jvp"] > 0
    assert "| lbroyden | 10 |" in capsys.readouterr().out


def test_every_size_of_the_batch_takes_the_same_steps(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A quick run of `scaling`: the work does not depend on the size, and two samples' memory is more than one's."""
    scaling.main(Request(quick=True, json=tmp_path / "scaling.json"))
    small, large = json.loads((tmp_path / "scaling.json").read_text())["rows"]
    assert (small["nfe"], small["vjp"]) == (large["nfe"], large["vjp"]) == (scaling.STEPS + 2, scaling.STEPS + 2)
    assert large["mb"] is None or large["mb"] > small["mb"] > 0
    assert "| 8 | " in capsys.readouterr().out


def test_an_exponent_of_one_is_linear() -> None:
    """Times that are proportional to the batch have the exponent 1, those proportional to its square 2."""
    assert scaling._exponent([(8, 4.0), (16, 8.0), (32, 16.0)]) == pytest.approx(1)
    assert scaling._exponent([(8, 1.0), (16, 4.0), (32, 16.0)]) == pytest.approx(2)


def test_arrays_and_settings_come_back_as_they_were(tmp_path: Path) -> None:
    """What is written for a contestant is what it reads, names with slashes included."""
    arrays = {"params/a/0": np.arange(6, dtype=np.float32).reshape(2, 3), "order": np.arange(4)}
    write(tmp_path, "given", arrays, {"tolerance": 1e-3, "threads": 2})
    found, settings = read(tmp_path, "given")
    assert settings == {"tolerance": 1e-3, "threads": 2}
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) and found[name].dtype == arrays[name].dtype for name in found)


def test_a_contestant_that_fails_ends_the_benchmark() -> None:
    """Its code is reported; no figure of the others is printed as if nothing had happened."""
    with pytest.raises(SystemExit, match=r"benchmarks\.no_such_contestant ended with code 1"):
        run_contestant(Path(sys.executable), "benchmarks.no_such_contestant", {}, {}, threads=1)


def test_an_environment_is_known_by_its_requirements_and_complete_at_its_end(tmp_path: Path) -> None:
    """Other packages make another folder; one whose installation was interrupted does not exist."""
    torch, jax = Environment("torch", tmp_path), Environment("jax", tmp_path)
    assert torch.folder != jax.folder
    torch.folder.mkdir()
    assert not torch.exists
    (torch.folder / FINISHED).touch()
    assert torch.exists
    assert torch.make() == torch.python


@pytest.mark.parametrize("name", sorted(set(OF_PEER.values())))
def test_requirements_are_exact(name: str, tmp_path: Path) -> None:
    """Every package has one version."""
    lines = Environment(name, tmp_path).requirements.read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The peers that there are stand in the message."""
    with pytest.raises(SystemExit):
        parse("solvers", ["--peers", "torchdeck"])
    assert (
        "there is no peer 'torchdeck'; there are torchdeq, torchdiffeq, jax, diffrax, jaxopt" in capsys.readouterr().err
    )


def test_ratios_are_those_of_the_same_round() -> None:
    """A slow spell that hits both contestants in one round leaves the ratio as it is."""

    def laps(name: str, seconds: list[float], *, ours: bool) -> Laps:
        figures = {"phase": "train", "nfe": 5.0, "njvp": 0.0, "vjp": 6.0, "test_accuracy": 0.5}
        epochs = [[{**figures, "seconds": each / 10}] for each in seconds]
        runs = [
            Finished({}, {"epochs": each, "versions": {}}, total) for each, total in zip(epochs, seconds, strict=True)
        ]
        return Laps(name, ours=ours, runs=runs)

    both = [laps("equilib", [1.0, 8.0, 2.0], ours=True), laps("peer", [2.0, 16.0, 4.0], ours=False)]
    assert "| equilib | 0.50, 0.50 |" in ratios_table(both, phase="train")
    assert "| peer | 4.00 (2.00–16.00) | 0.40 (0.20–1.60) |" in laps_table(
        both, tolerance=None, phases={"train": "epoch s"}
    )

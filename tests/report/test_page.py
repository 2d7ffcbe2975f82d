"""What the page says is what the record and the model say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.report.reading import Node, chart, curves, legend, recorded_facts, report

EPOCH_CHARTS = (
    "Loss",
    "Accuracy",
    "Norm of the gradient",
    "Evaluations of f",
    "Products with the Jacobian",
    "Residual",
    "Share unconverged",
    "Solver trace on a test batch",
)


def record(run: Path) -> dict[str, Any]:
    """Return `run.json`."""
    facts: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return facts


def epochs(run: Path) -> list[dict[str, Any]]:
    """Return `metrics.jsonl`."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def both(runs: Any, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return the page about two runs."""
    return report(tmp_path_factory.mktemp("both"), runs.newton, runs.anderson)


@pytest.fixture(scope="module")
def single(runs: Any, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Return the page about one run."""
    return report(tmp_path_factory.mktemp("single"), runs.newton)


def test_every_number_of_the_facts_is_that_of_the_record(both: Node, runs: Any) -> None:
    """Each number in the table stands in run.json at the place it names, to the last digit."""
    for column, run in enumerate((runs.newton, runs.anderson)):
        shown = recorded_facts(both, column)
        assert {"results.test_accuracy", "results.test.residual", "seed", "peak_memory", "options.epochs"} <= set(shown)
        for key, value in shown.items():
            found: Any = record(run)
            for name in key.split("."):
                found = found[name]
            assert value == found, key


def test_every_number_stands_beside_its_name(single: Node, runs: Any) -> None:
    """The rows that people look for first hold what they are called."""
    rows = {row.all("th")[0].text: row for row in single.all("table", class_="facts")[0].all("tr") if row.all("td")}
    facts = record(runs.newton)
    results = facts["results"]
    expected = {
        "test accuracy": results["test_accuracy"],
        "best test accuracy": facts["best"]["test_accuracy"],
        "training accuracy": results["train_accuracy"],
        "training loss": results["loss"],
        "test residual": results["test"]["residual"],
        "test samples unconverged": results["test"]["unconverged"],
        "evaluations of f, per batch of training": results["forward_nfe"],
        "products J·v, per batch of training": results["forward_njvp"],
        "products Jᵀ·w, per batch of training": results["adjoint_nfe"],
        "time for training": sum(epoch["seconds"] for epoch in epochs(runs.newton)),
        "peak memory of the host": facts["peak_memory"],
        "norm of the gradient, mean over batches": results["gradient_norm"],
    }
    shown = {name: float(rows[name].all("data")[0].attributes["value"] or "nan") for name in expected}
    assert shown == expected


def test_the_facts_say_how_to_repeat_the_run(both: Node, runs: Any) -> None:
    """Command line, solver, adjoint, versions, data and machine of each run are there."""
    text = both.all("table", class_="facts")[0].text
    for run in (runs.newton, runs.anderson):
        facts = record(run)
        chosen = (facts["method"]["solver"]["name"], facts["method"]["adjoint"]["name"])
        assert f"equilib {' '.join(facts['argv'])}" in text
        for said in (*chosen, *facts["versions"].values(), facts["data"], facts["platform"], facts["device"]):
            assert said in text


def test_what_made_training_cheaper_and_what_multiplied_is_a_fact(
    runs: Any, tmp_path: Path, copy: Callable[..., Path]
) -> None:
    """Times are compared with these in view: kernels and threads, and savings where some were asked for."""
    run = copy(runs.newton, "saving")
    facts = record(run)
    facts["request"] |= {"warm_start": "both", "loosen": 10.0}
    facts["blas"] = {"library": "openblas", "version": "0.3.31", "kernel": "Haswell", "threads": 1, "cores": 2}
    (run / "run.json").write_text(json.dumps(facts))
    text = report(tmp_path / "saving", run).text
    assert "OpenBLAS 0.3.31, Haswell kernels, 1 thread" in text
    assert "warm start" in text
    assert "loosen" in text
    assert "warm start" not in report(tmp_path / "plain", runs.newton).text


def test_what_differs_is_marked(both: Node, runs: Any) -> None:
    """The seed differs between the runs and is marked; the batch size is the same and is not."""
    rows = {row.all("th")[0].text: row for row in both.all("table", class_="facts")[0].all("tr") if row.all("th")}
    assert "differs" in (rows["seed"].attributes.get("class") or "")
    assert "differs" not in (rows["batch size"].attributes.get("class") or "")


def test_the_table_of_epochs_is_the_record(single: Node, runs: Any) -> None:
    """There is a row for each line of metrics.jsonl, with its numbers."""
    rows = single.all("table", class_="epochs")[0].all("tbody")[0].all("tr")
    recorded = epochs(runs.newton)
    assert len(rows) == len(recorded) == 3
    names = ["loss", "train_accuracy", "test_accuracy", "seconds", "forward_nfe", "forward_njvp", "adjoint_nfe"]
    names += ["residual", "unconverged", "gradient_norm"]
    for row, epoch in zip(rows, recorded, strict=True):
        shown = [float(number.attributes["value"] or "nan") for number in row.all("data")]
        assert shown == [epoch[name] for name in names]


def test_a_curve_has_a_point_for_each_epoch(single: Node, runs: Any) -> None:
    """The line of the loss falls where the recorded loss falls, and has as many points."""
    (line,) = curves(chart(single, "Loss"))
    heights = [y for _, y in line]
    losses = [epoch["loss"] for epoch in epochs(runs.newton)]
    assert len(heights) == len(losses)
    order = lambda values: sorted(range(len(values)), key=lambda index: values[index])  # noqa: E731
    assert order(heights) == order([-loss for loss in losses])  # y grows downwards


def test_a_marker_says_what_it_stands_for(single: Node, runs: Any) -> None:
    """Each point of the loss has a marker, with the epoch and the recorded number."""
    said = [title.text for title in chart(single, "Loss").all("title")]
    losses = [epoch["loss"] for epoch in epochs(runs.newton)]
    assert said == [f"newton, training, epoch {place}: {loss:.4g}" for place, loss in enumerate(losses, start=1)]


def test_the_confusion_matrix_counts_every_test_image(single: Node, runs: Any) -> None:
    """It sums to the number of test images, and its diagonal to the recorded accuracy."""
    rows = single.all("table", class_="confusion")[0].all("tbody")[0].all("tr")
    counts = [[int(cell.text) for cell in row.all("td")] for row in rows]
    facts = record(runs.newton)
    total = sum(map(sum, counts))
    assert total == facts["options"]["test_images"]
    assert sum(row[index] for index, row in enumerate(counts)) / total == facts["results"]["test_accuracy"]
    assert "as recorded" in single.text


def test_the_wrong_images_are_those_off_the_diagonal(single: Node) -> None:
    """There are as many pictures of mistakes as counts off the diagonal; each says what it shows and what was read."""
    off = sum(int(cell.text) for cell in single.all("table", class_="confusion")[0].all("td", class_="wrong"))
    galleries = single.all("ul", class_="gallery")
    wrong = galleries[1].all("img") if len(galleries) > 1 else []
    assert len(wrong) == off
    for image in (image for gallery in galleries for image in gallery.all("img")):
        assert re.fullmatch(r"test image \d+: \d, predicted \d with \d+ %", image.attributes["alt"] or "")


@pytest.mark.parametrize("limit", [4, 7])
def test_a_limit_is_said(runs: Any, tmp_path: Path, limit: int) -> None:
    """With --limit, so many images are looked at, and the page says of how many."""
    page = report(tmp_path, runs.newton, argv=("--limit", str(limit)))
    cells = page.all("table", class_="confusion")[0].all("tbody")[0].all("td")
    assert sum(int(cell.text) for cell in cells) == limit
    assert f"on the first {limit} test images of 10" in page.text


@pytest.mark.parametrize("title", EPOCH_CHARTS)
def test_every_chart_has_both_runs_in_its_legend(both: Node, title: str) -> None:
    """Two runs are laid over each other, and both are named."""
    assert {"newton", "anderson"} <= set(legend(chart(both, title)))
    styles = " ".join(node.attributes.get("style") or "" for node in chart(both, title).walk())
    assert {"run-0", "run-1"} <= set(re.findall(r"run-\d", styles))


def test_a_single_run_is_not_in_its_own_legend(single: Node) -> None:
    """Where there is one run, the legend tells test from training only."""
    assert legend(chart(single, "Accuracy")) == ["test", "training", "pretraining at a fixed depth"]


def test_the_trace_ends_where_the_tolerance_is(single: Node) -> None:
    """The description of the trace, which replaces the picture, tells the first and the last residual."""
    (picture,) = chart(single, "Solver trace on a test batch").all("svg", role="img")
    said = picture.attributes["aria-label"] or ""
    first, last = re.findall(r"median of the samples: ([\d.e-]+) at step 0, ([\d.e-]+) at", said)[0]
    assert float(last) < 0.05 * float(first)


def test_the_page_needs_nothing_else(both: Node, single: Node) -> None:
    """No scripts, no addresses, no files: what is shown is in the page."""
    for page in (both, single):
        assert not re.search(r"https?:|url\(|@import|javascript:", page.text)
        assert not [node for node in page.walk() if node.tag in {"script", "link", "iframe", "object", "base"}]
        for node in page.walk():
            assert not {name for name in node.attributes if name.startswith("on") or name == "srcset"}
            assert (node.attributes.get("href") or "#").startswith("#")
            assert all(not re.search(r"https?:|url\(", value or "") for value in node.attributes.values())
            if "src" in node.attributes:
                assert (node.attributes["src"] or "").startswith("data:image/png;base64,")


def test_headings_are_in_order_and_pictures_have_texts(both: Node) -> None:
    """There is one h1, no level is skipped, and every image and chart has a description."""
    levels = [int(node.tag[1]) for node in both.walk() if re.fullmatch(r"h[1-6]", node.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(image.attributes.get("alt") for image in both.all("img"))
    for picture in both.all("svg"):
        assert picture.attributes.get("aria-label") or picture.attributes.get("aria-hidden") == "true"


def test_an_id_is_there_once_and_what_is_used_has_one(both: Node) -> None:
    """Charts share a page, and none takes the markers of another."""
    ids = [name for node in both.walk() if (name := node.attributes.get("id"))]
    assert len(set(ids)) == len(ids)
    assert {(node.attributes["href"] or "")[1:] for node in both.all("use")} <= set(ids)


def test_the_same_runs_give_the_same_page(runs: Any, tmp_path: Path) -> None:
    """Two reports are the same, byte for byte, wherever they are written."""
    report(tmp_path / "one", runs.newton)
    report(tmp_path / "two", runs.newton)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {path.name for path in (tmp_path / "two").iterdir()}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_names_are_shown_as_they_are(runs: Any, tmp_path: Path, copy: Callable[..., Path]) -> None:
    """A folder whose name looks like HTML is text."""
    name = 'a<b>&"c"'
    page = report(tmp_path / "out", copy(runs.newton, name), argv=("--limit", "0"))
    assert page.all("h1")[0].text == f"mnist: {name}"


def test_runs_of_the_same_name_are_told_apart(runs: Any, tmp_path: Path, copy: Callable[..., Path]) -> None:
    """Labels hold as much of the path as is needed."""
    one, two = copy(runs.newton, "x/run"), copy(runs.anderson, "y/run")
    page = report(tmp_path / "out", one, two, argv=("--limit", "0"))
    assert {"x/run", "y/run"} <= set(legend(chart(page, "Loss")))

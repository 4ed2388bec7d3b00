"""Parity with the published reference, on its own recorded data; see docs/interoperability.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from soundflow.forms.load_any import load_any
from soundflow.model.weights import Checkpoint
from tests.parity.reference import features, layouts, positions, sessions, training
from tests.parity.reference.rows import Row

PAGE = Path(__file__).resolve().parents[2] / "docs/interoperability.md"
With = Callable[[Path, Checkpoint], Iterable[Row]]
ALONE = [features.log_mel_rows, features.live_server_rows, training.training_rows]
WITH_MODEL = [
    features.encoder_rows,
    layouts.layout_rows,
    sessions.session_rows,
    positions.position_rows,
]


@pytest.fixture(scope="module")
def goldens(shared: Path) -> Path:
    return shared / "goldens"


@pytest.fixture(scope="module")
def release(goldens: Path) -> Checkpoint:
    """The golden release folder, read as it is."""
    return load_any(goldens / "ckpt")


def _require(rows: Iterable[Row]) -> None:
    found = list(rows)
    assert found
    assert [r.cells() for r in found if not r.holds] == []
    page = PAGE.read_text()
    for row in found:  # the page shows this row, with this tolerance; write_tables.py writes it
        what, against, _, allowed = row.cells()
        (line,) = [x for x in page.splitlines() if x.startswith(f"| {what} | {against} |")]
        assert line.endswith(f"| {allowed} |")


@pytest.mark.parametrize("measure", ALONE)
def test_equals_the_reference(goldens: Path, measure: Callable[[Path], Iterable[Row]]) -> None:
    _require(measure(goldens))


@pytest.mark.parametrize("measure", WITH_MODEL)
def test_a_release_gives_the_references_numbers(
    goldens: Path, release: Checkpoint, measure: With
) -> None:
    _require(measure(goldens, release))


def test_where_ours_differs_on_purpose(goldens: Path, release: Checkpoint) -> None:
    """The differences are there, so the rows above cannot hold by comparing a thing with itself."""
    assert max(features.causal_differences(goldens).values()) > 1e-4
    assert len(list(layouts.reply_chunk_lines(goldens))) == 5
    differing, chunks = sessions.default_differences(goldens, release)
    assert 0 < differing < chunks
    assert positions.exact_difference(goldens, release) > 0.1

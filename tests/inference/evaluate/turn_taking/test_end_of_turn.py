"""A miniature in the layout of the public data sets, with answers known in advance."""

from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
import soundfile

from inference.evaluate.outcome import Failure, Outcome, TimedReply
from inference.evaluate.turn_taking.end_of_turn import (
    EndOfTurnConfig,
    EndOfTurnRow,
    EndOfTurnTask,
)
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from tests.inference.evaluate.benchmarks.published_data import listed

TIME = TimeBase()
ENDS_S = (1.0, 1.3, 2.0, 0.8)
COMPLETE = (True, True, False, False)


def flac(seconds: float) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000))
    soundfile.write(file, noise, 16_000, format="FLAC")
    return file.getvalue()


def rows() -> dict[str, list[object]]:
    return {
        "audio": [{"bytes": flac(s), "path": f"{k}.flac"} for k, s in enumerate(ENDS_S)],
        "id": list("abcd"),
        "language": ["eng", "eng", "zho", "zho"],
        "endpoint_bool": list(COMPLETE),
        "midfiller": [False] * 4,
        "endfiller": [False, False, True, False],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As `Dataset.save_to_disk` leaves it."""
    data = datasets.Dataset.from_dict(rows()).cast_column("audio", datasets.Audio(decode=False))
    place = tmp_path_factory.mktemp("turns") / "smart-turn"
    datasets.DatasetDict({"train": data}).save_to_disk(str(place))
    return place


@pytest.fixture(scope="module")
def task(folder):
    return EndOfTurnTask(EndOfTurnConfig(data=str(folder)), TIME)


def p_from(item, onset_s: float, n_chunks: int = 12) -> Outcome:
    """p(response) rises to 0.9 at the first decision at or after ``onset_s``."""
    return Outcome(
        p_response=tuple(0.9 if TIME.end_s(k) >= onset_s else 0.1 for k in range(n_chunks))
    )


def test_items_are_the_clips_with_a_pause_after_each(task):
    items = task.items()
    assert [i.id for i in items] == list("abcd")
    assert [i.reference.complete for i in items] == list(COMPLETE)
    assert [i.reference.end_s for i in items] == pytest.approx(ENDS_S)
    assert items[0].n_samples == 3 * 16_000
    recording = items[0].open()
    assert sum(map(len, recording.blocks)) == 16_000
    assert recording.pause_s == 2.0


def test_an_audiofolder_reads_the_same(tmp_path, task):
    (tmp_path / "audio").mkdir()
    lines = []
    for k, name in enumerate("abcd"):
        (tmp_path / "audio" / f"{name}.flac").write_bytes(flac(ENDS_S[k]))
        lines.append(
            f'{{"file_name": "audio/{name}.flac", "id": "{name}", "language": "eng", '
            f'"endpoint_bool": {str(COMPLETE[k]).lower()}}}'
        )
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    found = EndOfTurnTask(EndOfTurnConfig(data=str(tmp_path)), TIME).items()
    known = {i.id: (i.n_samples, i.reference.complete) for i in task.items()}
    assert {i.id: (i.n_samples, i.reference.complete) for i in found} == known


def test_a_perfect_system(task):
    items = task.items()
    outcomes = [p_from(i, i.reference.end_s if i.reference.complete else 99.0) for i in items]
    found = task.summarise([task.score(i, o) for i, o in zip(items, outcomes, strict=True)]).figures
    # Turns end at 1.0 and 1.3 s, decisions are taken at 1.2 and 1.6 s.
    assert found["latency_at_5_percent_s"].value == pytest.approx(0.2)
    assert found["cut_offs_at_300_ms"].value == 0.0
    assert found["cut_offs_at_300_ms"].n == 4
    assert found["accuracy_at_0.5"].value == 1.0
    assert "pause:2s" in found["latency_at_5_percent_s"].signature


def test_the_trade_off_misses_no_threshold(task):
    """Against every threshold there is, where nearly all p(response) are near 0."""
    rng = np.random.default_rng(7)
    rows = [
        EndOfTurnRow(k % 2 == 0, "eng", 1.0, tuple(rng.random(8) ** 8), False) for k in range(60)
    ]
    cut_offs = []
    for threshold in sorted({p for row in rows for p in row.p_response}):
        said = [[p >= threshold for p in row.p_response] for row in rows]
        onsets = [0.4 * (s.index(True) + 1) if any(s) else np.inf for s in said]
        cut = [o < (1.0 if r.complete else np.inf) for r, o in zip(rows, onsets, strict=True)]
        turns = sorted(o - 1.0 for r, o in zip(rows, onsets, strict=True) if r.complete)
        if turns[(len(turns) - 1) // 2] <= 0.6 + 1e-9:
            cut_offs.append(np.mean(cut))
    found = task.summarise(rows).figures["cut_offs_at_600_ms"]
    assert found.value == pytest.approx(min(cut_offs))


def test_never_and_always_are_told_apart(task):
    items = task.items()
    by_name = {
        b.name: task.summarise([task.score(i, dict(b.run([i]))[i.id]) for i in items]).figures
        for b in task.baselines()
    }
    never, always = by_name["never"], by_name["always"]
    assert never["cut_offs_at_600_ms"].value is None, "it never replies within 600 ms"
    assert never["accuracy_at_0.5"].value == 0.5
    # It replies at 0.4 s, before every end: everyone is cut off, the latency is negative.
    assert always["cut_offs_at_300_ms"].value == 1.0
    assert always["latency_at_5_percent_s"].value is None
    assert always["accuracy_at_0.5"].value == 0.0


def test_the_trade_off_is_read_at_its_budget(task):
    """p rises with the silence: slower thresholds cut off fewer."""
    items = task.items()
    outcomes = []
    for item in items:
        pause = 99.0 if item.reference.complete else 0.5  # the pauses end after 0.5 s
        silence = [max(0.0, TIME.end_s(k) - item.reference.end_s) for k in range(12)]
        outcomes.append(Outcome(p_response=tuple(s if s < pause else 0.0 for s in silence)))
    found = task.summarise([task.score(i, o) for i, o in zip(items, outcomes, strict=True)]).figures
    assert found["cut_offs_at_300_ms"].value == 0.5
    assert found["cut_offs_at_600_ms"].value == 0.0
    assert found["latency_at_5_percent_s"].value == pytest.approx(0.6)


def test_failures_are_wrong_either_way(task):
    items = task.items()
    broken = Outcome(failure=Failure("crash", "x"))
    rows = [task.score(i, broken) for i in items]
    assert [task.right(r) for r in rows] == [(False,)] * 4
    assert task.summarise(rows).figures["accuracy_at_0.5"].value == 0.0


def test_a_reply_is_the_first_one(task):
    item = task.items()[0]
    row = task.score(item, Outcome((TimedReply(19_200), TimedReply(38_400))))
    assert row.p_response[:4] == (0.0, 0.0, 1.0, 1.0)


def test_nothing_measured_is_null(task):
    assert all(f.value is None for f in task.summarise([]).figures.values())


def test_other_columns_are_named(tmp_path):
    data = datasets.Dataset.from_dict({"sound": [1], "label": [0]})
    data.save_to_disk(str(tmp_path / "x"))
    with pytest.raises(UserError, match="has no column endpoint_bool and audio"):
        EndOfTurnTask(EndOfTurnConfig(data=str(tmp_path / "x")), TIME).items()
    with pytest.raises(UserError, match="no such folder"):
        EndOfTurnTask(EndOfTurnConfig(data=str(tmp_path / "none")), TIME).items()


@pytest.mark.parametrize(("written", "complete"), [("false", False), ("True", True), (1, True)])
def test_verdicts_may_be_text_or_numbers(tmp_path, written, complete):
    listed(tmp_path, [{"endpoint_bool": written, "seconds": 0.4}])
    (item,) = EndOfTurnTask(EndOfTurnConfig(data=str(tmp_path)), TIME).items()
    assert item.reference.complete is complete


def test_other_verdicts_and_no_rows_are_refused(tmp_path):
    listed(tmp_path, [{"endpoint_bool": "no", "seconds": 0.4}])
    task = EndOfTurnTask(EndOfTurnConfig(data=str(tmp_path)), TIME)
    with pytest.raises(UserError, match="clip 0: endpoint_bool is 'no'"):
        task.items()
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no row"):
        task.items()

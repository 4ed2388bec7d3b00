"""A miniature of Proactive-Sound-Bench with answers known in advance."""

from __future__ import annotations

import json

import pytest

from inference.evaluate.benchmarks.proactive_sound import ProactiveSoundConfig, ProactiveSoundTask
from inference.evaluate.outcome import Failure, Outcome, TimedReply
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from tests.inference.evaluate.benchmarks.published_data import listed, saved

TIME = TimeBase()
CLIPS = [
    {"id": f"{domain[0]}{k}", "label": label, "domain": domain, "sub_category": sub, "seconds": 1.0}
    for domain, sub, labels in (
        ("home", "kitchen", ("RESPOND", "IGNORE", "IGNORE")),
        ("street", "traffic", ("IGNORE", "RESPOND")),
    )
    for k, label in enumerate(labels)
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return listed(tmp_path_factory.mktemp("sounds"), CLIPS)


def task_of(data, tier="single", **settings) -> ProactiveSoundTask:
    return ProactiveSoundTask(ProactiveSoundConfig(data=str(data), **settings), tier, TIME)


def rows_of(task, replies: dict[str, Outcome]):
    return [task.score(i, replies.get(i.id, Outcome())) for i in task.items()]


REPLY = Outcome((TimedReply(16_000),))


def test_single_clips_are_items_with_a_pause(data):
    items = task_of(data).items()
    assert [i.id for i in items] == ["h0", "h1", "h2", "s0", "s1"]
    assert {i.n_samples for i in items} == {3 * 16_000}
    recording = items[0].open()
    assert sum(map(len, recording.blocks)) == 3 * 16_000
    assert recording.pause_s == 0.0


def test_known_figures(data):
    task = task_of(data)
    summary = task.summarise(rows_of(task, {"h0": REPLY, "h1": REPLY}))
    figures = summary.figures
    assert figures["accuracy"].value == 3 / 5  # h0, h2, s0
    assert figures["accuracy"].n == 5
    assert figures["recall"].value == 1 / 2
    assert figures["precision"].value == 1 / 2
    assert figures["balanced_accuracy"].value == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert figures["always_ignore_accuracy"].value == 3 / 5
    # Wilson (1927) for 3 of 5, from published tables.
    assert figures["accuracy"].low == pytest.approx(0.2307, abs=1e-4)
    assert figures["accuracy"].high == pytest.approx(0.8824, abs=1e-4)
    assert "tier:single" in figures["accuracy"].signature
    by_domain, by_category = summary.tables
    assert [(r[0], r[1], r[2]) for r in by_domain.rows] == [
        ("home", "3", "1"),
        ("street", "2", "1"),
    ]
    assert [r[3].value for r in by_domain.rows] == [2 / 3, 1 / 2]
    assert [r[0] for r in by_category.rows] == ["home / kitchen", "street / traffic"]


def test_never_is_the_share_to_ignore_and_always_is_the_rest(data):
    task = task_of(data)
    items = task.items()
    found = {
        b.name: task.summarise([task.score(i, dict(b.run([i]))[i.id]) for i in items]).figures
        for b in task.baselines()
    }
    assert found["never"]["accuracy"].value == found["never"]["always_ignore_accuracy"].value == 0.6
    assert found["never"]["precision"].value is None, "it claims nothing"
    assert found["never"]["balanced_accuracy"].value == 0.5
    assert found["always"]["accuracy"].value == 0.4
    assert found["always"]["recall"].value == 1.0


def test_a_failure_is_wrong_whatever_the_label_and_only_official_leaves_it_out(data):
    task = task_of(data)
    broken = Outcome(failure=Failure("crash", "x"))
    rows = rows_of(task, {"h0": broken, "h1": broken})
    figures = task.summarise(rows).figures
    assert figures["accuracy"].value == 2 / 5
    assert figures["official_accuracy"].value == 2 / 3
    assert figures["official_accuracy"].n == 3
    assert figures["precision"].value == 0.0, "the failed clip to ignore counts as a reply"
    said = [json.loads(x) for x in task.predictions(task.items(), rows)[1].splitlines()]
    assert said[0] == {"id": "h0", "prediction": None, "label": "RESPOND"}
    assert said[3]["prediction"] == "IGNORE"


def test_clips_of_a_category_in_one_stream(data):
    task = task_of(data, "multiple", clips_together=2, pause_s=1.0)
    items = task.items()
    assert [[s.id for s in i.reference] for i in items] == [["h0", "h1"], ["h2"], ["s0", "s1"]]
    assert items[0].n_samples == 4 * 16_000
    assert sum(map(len, items[0].open().blocks)) == 4 * 16_000
    # The second clip starts at 2 s; a decision at that very moment has not heard it yet.
    at_boundary = task.score(items[0], Outcome((TimedReply(32_000),)))
    assert [v.responded for v in at_boundary.clips] == [True, False]
    after = task.score(items[0], Outcome((TimedReply(32_000 + 6400),)))
    assert [v.responded for v in after.clips] == [False, True]
    figures = task.summarise([at_boundary]).figures
    assert figures["accuracy"].n == 2
    assert "clips:2" in figures["accuracy"].signature
    assert task.right(after) == (False, False)


def test_the_data_set_of_the_hub_reads_the_same(tmp_path, data):
    place = saved(tmp_path / "set", "test", CLIPS)
    assert [(i.id, i.n_samples, i.reference) for i in task_of(place).items()] == [
        (i.id, i.n_samples, i.reference) for i in task_of(data).items()
    ]


def test_other_layouts_are_named(tmp_path, data):
    with pytest.raises(UserError, match="has no column answer") as caught:
        task_of(data, label_column="answer").items()
    assert "sub_category" in caught.value.hint
    listed(tmp_path, [{**CLIPS[0], "label": "MAYBE"}])
    with pytest.raises(UserError, match="'MAYBE'"):
        task_of(tmp_path).items()


def test_nothing_measured_is_null(data):
    assert all(f.value is None for f in task_of(data).summarise([]).figures.values())

"""Our model as a system: batches, sessions, and every kind of failure as one outcome."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference.decoder.sampling import SamplingConfig
from inference.evaluate.store import OutcomeStore
from inference.evaluate.systems import model as model_module
from inference.evaluate.systems.agreement import TIE, first_flip, same
from inference.evaluate.systems.decoding import decode_together
from inference.evaluate.systems.model import Model, groups
from inference.evaluate.systems.thresholds import decode_at, outcome_at
from inference.evaluate.task import Exchange, Item
from inference.evaluate.timing.task import TimingTask
from inference.exchange import answer, prompt_of
from inference.sessions import executor as executor_module
from inference.sources.recordings import Recording
from soundflow.errors import UserError
from tests.inference.engines import make_engine, write_split

ENGINE = make_engine()
TIME = ENGINE.spec.time
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=6)
THRESHOLDS = (0.1, 0.4, 0.5, 0.6, 0.9)
MODEL = Model(ENGINE, 0.5, GREEDY, at_once=6)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    shards = write_split(ENGINE, tmp_path_factory.mktemp("model") / "test")
    return TimingTask([(shards, i) for i in range(6)], TIME).items()


@pytest.fixture(scope="module")
def together(items):
    return dict(MODEL.run(items))


def test_every_threshold_is_what_decoding_at_it_alone_gives(items, tmp_path):
    store = OutcomeStore(tmp_path)
    decode_at(MODEL, items, THRESHOLDS, store)
    said = set()
    for threshold in THRESHOLDS:
        alone = dict(replace(MODEL, _encoded={}).at(threshold).run(items))
        found = {i.id: outcome_at(store, i.id, threshold, TIME) for i in items}
        assert found == alone
        said.add(sum(len(o.replies) for o in alone.values()))
    assert len(said) > 1, "thresholds that change nothing prove nothing"
    decodings = sum(len(store.of(i.id)) for i in items)
    assert decodings < len(items) * len(THRESHOLDS)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_outcomes_do_not_depend_on_how_many_are_decoded_at_once(items, together, at_once):
    fewer = dict(replace(MODEL, at_once=at_once, _encoded={}).run(items))
    for name, outcome in together.items():
        flip = first_flip(outcome, fewer[name], MODEL.threshold)
        assert same(outcome, fewer[name]) or (flip is not None and flip < TIE)
        assert fewer[name].p_response == pytest.approx(outcome.p_response, abs=1e-5)


def test_a_session_of_its_own_gives_the_same(items, together):
    for item in items:
        timed = MODEL.run_session(item)
        assert same(timed.outcome, together[item.id])
        assert len(timed.costs) == TIME.chunks_in(item.n_samples)
        assert all(p.wall_s > 0 for r in timed.outcome.replies for p in r.pieces)


def test_a_longer_item_than_the_memory_gives_what_its_own_session_gives(items):
    small = replace(MODEL, engine=replace(ENGINE, limit_positions=90), _encoded={})
    found = dict(small.run(items))
    for item in items:
        assert len(found[item.id].p_response) == TIME.chunks_in(item.n_samples)
        assert same(found[item.id], small.run_alone(item))


def test_a_time_out_beside_others_is_one_row(items):
    found = dict(replace(MODEL, timeout_s=1e-9, _encoded={}).run(items))
    assert {str(o.failure) for o in found.values()} == {
        "time-out: more than 1e-09 s of computation"
    }


def test_audio_that_cannot_be_read_is_one_outcome(items):
    def broken():
        raise UserError("clip.wav: truncated")

    def breaks_midway():
        def blocks():
            yield np.zeros(TIME.chunk_samples, np.float32)
            raise UserError("b.wav: truncated")

        return Recording("b", blocks())

    mixed = [*items[:2], Item("bad", 6400, broken, None), Item("torn", 6400, breaks_midway, None)]
    found = dict(MODEL.run(mixed))
    assert len(found) == 4
    assert str(found["bad"].failure) == "unreadable audio: clip.wav: truncated"
    assert str(found["torn"].failure) == "unreadable audio: b.wav: truncated"
    assert found[items[0].id].failure is None
    assert MODEL.run_alone(mixed[2]).failure.kind == "unreadable audio"


def test_one_crash_costs_one_item(items, monkeypatch):
    stock_feed = model_module.feed
    victim = items[2].id

    def failing(engine, recordings, *how):
        if any(len(r.slots) == TIME.chunks_in(items[2].n_samples) for r in recordings):
            raise RuntimeError("it broke the batch")
        return decode_together(engine, recordings, *how)

    def failing_feed(engine, session, recordings):
        if recordings[0].name == victim:
            raise RuntimeError("it broke")
        return stock_feed(engine, session, recordings)

    monkeypatch.setattr(model_module, "decode_together", failing)
    monkeypatch.setattr(model_module, "feed", failing_feed)
    model = replace(MODEL, notes=[], _encoded={})
    found = dict(model.run(items))
    assert {n for n, o in found.items() if o.failure} == {victim}
    assert str(found[victim].failure) == "crash: RuntimeError: it broke"
    (note,) = model.notes
    assert "6 items at once failed (RuntimeError: it broke the batch)" in note


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_running_out_of_memory_halves_the_batch_and_says_so(items, together, monkeypatch, error):
    def failing(engine, recordings, rows, *how):
        if rows > 2:
            raise error
        return decode_together(engine, recordings, rows, *how)

    expected = dict(replace(MODEL, at_once=1, _encoded={}).run(items))
    monkeypatch.setattr(model_module, "decode_together", failing)
    model = replace(MODEL, notes=[], _encoded={})
    found = dict(model.run(items))
    assert all(same(found[n], o) for n, o in expected.items())
    assert model.notes
    assert [note.split(" failed")[0] for note in model.notes] == [
        "6 items at once",
        "3 items at once",
    ]
    assert all("decoding half as many at once" in note for note in model.notes)


def test_an_item_that_does_not_fit_alone_is_named(items, monkeypatch):
    def failing(*args):
        raise MemoryError("it takes 90 GB")

    monkeypatch.setattr(model_module, "decode_together", failing)
    monkeypatch.setattr(model_module, "feed", failing)
    found = dict(replace(MODEL, notes=[], _encoded={}).run(items[:1]))
    (outcome,) = found.values()
    assert str(outcome.failure) == "out of memory: MemoryError: it takes 90 GB"


def test_an_item_that_takes_too_long_is_a_time_out(items, monkeypatch):
    seconds = iter(range(1000))
    monkeypatch.setattr(model_module, "clock", SimpleNamespace(monotonic=lambda: next(seconds)))
    outcome = replace(MODEL, timeout_s=3).run_alone(items[0])
    assert outcome.failure.kind == "time-out"
    assert outcome.p_response, "what came before counts"


def test_groups_are_bounded_in_length():
    def item(n_chunks: int) -> Item[None]:
        return Item("x", n_chunks * TIME.chunk_samples, partial(pytest.fail, "opened"), None)

    assert [len(g) for g in groups([item(500)] * 9, TIME)] == [4, 4, 1]
    assert [len(g) for g in groups([item(3000)] * 3, TIME)] == [1, 1, 1]


def test_a_crash_midway_costs_those_in_progress_their_batch_and_nothing_else(
    items, together, monkeypatch
):
    calls = []

    def failing(engine, recordings, rows, *how):
        calls.append(len(recordings))
        for n, one in enumerate(decode_together(engine, recordings, rows, *how)):
            if n == 2 and len(calls) == 1:
                raise RuntimeError("it broke midway")
            yield one

    model = replace(MODEL, at_once=2, notes=[], _encoded={})
    monkeypatch.setattr(model_module, "decode_together", failing)
    ran_alone = []
    stock = Model.run_session
    monkeypatch.setattr(
        Model, "run_session", lambda self, item: ran_alone.append(item.id) or stock(self, item)
    )
    found = list(model.run(items))
    assert len(found) == len(dict(found)) == 6
    assert all(same(outcome, together[name]) for name, outcome in found)
    assert (calls, len(ran_alone)) == ([6, 2], 2)


def test_a_group_leaves_nothing_behind(items, monkeypatch):
    """Its keys and values are gone with it, and do not wait for the garbage collector."""
    pools = []
    stock = executor_module.ModelRunner

    def watched(engine, sessions):
        runner = stock(engine, sessions)
        pools.append(weakref.ref(runner.pool))
        return runner

    monkeypatch.setattr(executor_module, "ModelRunner", watched)
    gc.disable()
    try:
        list(replace(MODEL, _encoded={}).run(items))
        assert pools
        assert all(pool() is None for pool in pools)
    finally:
        gc.enable()


def test_an_item_with_a_question_is_an_offline_exchange(items):
    def clip():
        return Recording("c", iter([np.full(9000, 0.1, np.float32)]), pause_s=3.0)

    short = Item("c", 9000, clip, None, None, Exchange("What is it?"))
    endless = Item("d", 9000, clip, None, None, Exchange("word " * 2000))
    found = dict(MODEL.run([items[0], short, endless]))
    expected = answer(ENGINE, prompt_of(ENGINE, "What is it?", clip()), GREEDY)
    assert [(r.at_samples, r.text) for r in found["c"].replies] == [(9000, expected.text)]
    assert found["d"].failure.kind == "too long"
    assert same(found[items[0].id], MODEL.run_alone(items[0]))

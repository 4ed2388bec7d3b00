"""An evaluation from checkpoint and shards to results.json and report.html."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from inference.batch import decode_batch
from inference.evaluate import sweep as sweep_module
from inference.evaluate.recipe import EvaluateRecipe, ReportConfig
from inference.evaluate.run import evaluate
from inference.evaluate.streams import read_groups
from inference.evaluate.sweep import decode, outcome_of, run_alone, sweep
from inference.evaluate.validate import stream_validation
from inference.sampling import SamplingConfig
from soundflow.errors import UserError
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import Checkpoint, save_checkpoint
from soundflow.shards.reader import ShardSet
from tests.inference.engines import make_engine, write_split

ENGINE = make_engine()
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=6)
THRESHOLDS = (0.1, 0.4, 0.5, 0.6, 0.9)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkpoint and two splits of data."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_split(ENGINE, folder / "data" / "test")
    write_split(ENGINE, folder / "data" / "valid", 4)
    facts = TrainingFacts(400, ENGINE.system)
    save_checkpoint(folder / "model", ENGINE.model, ENGINE.tokenizer, ENGINE.spec, facts)
    lines = [{"update": u, "train/loss": 3.0 / u, "valid/event_f1": 0.1 * u} for u in range(1, 6)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return folder


@pytest.fixture(scope="module")
def done(place):
    recipe = EvaluateRecipe(
        checkpoint=place / "model",
        data=place / "data",
        output=place / "out",
        thresholds=THRESHOLDS,
        streams_at_once=4,
        latency_streams=2,
        sampling=GREEDY,
        report=ReportConfig(streams=2),
    )
    return evaluate(recipe)


def test_results_are_on_disk_and_whole(place, done):
    data = json.loads((place / "out" / "results.json").read_text())
    assert data["n_streams"] == 6
    assert set(data["systems"]) == {"2.0", "1.0", "5.0"}
    named = data["systems"]["2.0"]
    assert named["oracle"]["f1"]["value"] == 1.0
    assert named["never"]["false_per_hour"]["value"] == 0.0
    assert named["always"]["recall"]["value"] == 1.0
    assert named["model"]["wanted"]["value"] == 6
    assert data["failures"] == []
    assert len(data["curve"]) == len({*THRESHOLDS, data["calibration"]["threshold"]})
    stored = json.loads((place / "model" / "calibration.json").read_text())
    assert stored["threshold"] == data["calibration"]["threshold"]


def test_live_sessions_did_as_the_batch(done):
    assert (done.sessions, done.sessions_agree) == (2, 2)
    assert done.latency.real_time_factor > 0


def test_the_same_evaluation_gives_the_same_figures(place, done):
    recipe = EvaluateRecipe(
        place / "model", place / "data", place / "again",
        thresholds=THRESHOLDS, streams_at_once=3, latency_streams=2, sampling=GREEDY,
    )  # fmt: skip
    again = evaluate(recipe)
    assert again.systems == done.systems
    assert again.curve == done.curve


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [v for k, v in attrs if k in ("src", "href", "data", "srcset") and v]


def test_the_report_asks_for_nothing_outside(place, done):
    text = (place / "out" / "report.html").read_text()
    links = _Links()
    links.feed(text)
    assert links.found
    assert all(v.startswith(("data:", "#")) for v in links.found)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://", text)
    assert "nothing to draw" not in text


@pytest.mark.slow
def test_the_report_opens_in_a_browser_and_stays_there(place, done):
    page = place / "out" / "report.html"
    dom, said, requests = _browse(page, place)
    assert dom.count("<svg") >= 4
    assert 'class="playhead"' in dom
    assert not said
    assert requests == 0
    # The same look does see a request where there is one.
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text())
    outside = text.replace("<main>", '<main><img src="http://127.0.0.1:9/x.png">')
    (place / "outside.html").write_text(outside)
    assert _browse(place / "outside.html", place)[2] > 0


def _browse(page: Path, place: Path) -> tuple[str, list[str], int]:
    """The rendered document, console lines, and how many requests the page made."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine; the parsed page is tested above")
    log = place / f"{page.stem}.netlog"
    ran = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--log-net-log={log}",
         "--disable-background-networking", "--disable-component-update",
         f"--user-data-dir={place / page.stem}", "--virtual-time-budget=2000",
         "--enable-logging=stderr", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    console = [x for x in ran.stderr.splitlines() if "CONSOLE" in x]
    # A file has an opaque origin; what the browser asks for itself has none at all.
    return ran.stdout, console, log.read_text().count('"initiator":"null"')


def test_every_threshold_is_what_decoding_at_it_alone_gives(place):
    shards = ShardSet(place / "data" / "test")
    (group,) = read_groups(ENGINE, shards, range(6), 6)
    swept = sweep(ENGINE, group, THRESHOLDS, GREEDY)
    said = set()
    for threshold in THRESHOLDS:
        alone = decode(ENGINE, group, threshold, GREEDY)
        outcomes = [outcome_of(r, ENGINE.spec.time) for r in alone]
        assert [outcome_of(r, ENGINE.spec.time) for r in swept[threshold]] == outcomes
        said.add(sum(len(o.onsets) for o in outcomes))
    assert len(said) > 1, "thresholds that change nothing prove nothing"


def test_one_crash_costs_one_stream(place, monkeypatch):
    shards = ShardSet(place / "data" / "test")
    (group,) = read_groups(ENGINE, shards, range(6), 6)
    broken = replace(group[2], sample=replace(group[2].sample, record=_without_system(group[2])))

    def failing(engine, streams, limit):
        if any(s.system is None for s in streams):
            raise RuntimeError("a stream broke the batch")
        return decode_batch(engine, streams, limit)

    def failing_alone(engine, stream, threshold, sampling):
        if stream.record.system is None:
            return sweep_module.Run((), "RuntimeError: a stream broke")
        return run_alone(engine, stream, threshold, sampling)

    monkeypatch.setattr(sweep_module, "decode_batch", failing)
    monkeypatch.setattr(sweep_module, "run_alone", failing_alone)
    runs = decode(ENGINE, [*group[:2], broken, *group[3:]], 0.5, GREEDY)
    assert [r.failure is None for r in runs] == [True, True, False, True, True, True]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_running_out_of_memory_ends_the_evaluation(place, monkeypatch, error):
    def failing(engine, streams, limit):
        raise error

    monkeypatch.setattr(sweep_module, "decode_batch", failing)
    (group,) = read_groups(ENGINE, ShardSet(place / "data" / "test"), range(2), 2)
    with pytest.raises(UserError, match="memory ran out while decoding 2 streams at once"):
        decode(ENGINE, group, 0.5, GREEDY)


def test_a_read_only_checkpoint_is_noticed_and_the_threshold_goes_to_the_output(place, monkeypatch):
    """Root may write anywhere, so the write itself is made to fail."""
    stock = tempfile.TemporaryFile

    def refusing(*args, dir=None, **more):
        if dir == place / "model":
            raise PermissionError(13, "read-only")
        return stock(*args, dir=dir, **more)

    monkeypatch.setattr(tempfile, "TemporaryFile", refusing)
    before = (place / "model" / "calibration.json").read_bytes()
    recipe = EvaluateRecipe(
        place / "model", place / "data", place / "read_only",
        thresholds=(0.3, 0.6), latency_streams=1, sampling=GREEDY,
    )  # fmt: skip
    results = evaluate(recipe)
    assert results.stored_beside_report
    assert results.calibration_path == str(place / "read_only" / "calibration.json")
    assert (place / "model" / "calibration.json").read_bytes() == before


def test_the_calibration_names_its_data(place, done):
    stored = json.loads((place / "model" / "calibration.json").read_text())
    assert stored["data_fingerprint"] == ShardSet(place / "data" / "valid").content_hash
    assert stored["data_fingerprint"] != ENGINE.spec.fingerprint


def test_tables_by_task_and_kind_add_up(done):
    model = done.headline["model"]
    assert sum(t.n_streams for t in done.tasks) == done.n_streams
    assert sum(k.to_answer for k in done.kinds) == model["wanted"].value
    assert sum(k.hits for k in done.kinds) == model["hits"].value
    assert sum(k.misses for k in done.kinds) == model["misses"].value
    false = sum(k.early + k.repeats + k.strays for k in done.kinds)
    assert false == model["false"].value


def test_streams_with_mistakes_are_drawn_first(place, done):
    page = (place / "out" / "report.html").read_text()
    drawn = re.findall(r'<article class="stream"><header><h3>.*?</header>', page)
    assert len(drawn) == 2
    assert re.search(r"\d+ (miss|stray|early|repeated)", drawn[0])


def test_a_report_from_another_folder_has_all_its_sections(place, done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = EvaluateRecipe(
        place / "model", place / "data", place / "elsewhere", calibrate_on=None,
        thresholds=(0.5,), latency_streams=1, sampling=GREEDY,
    )  # fmt: skip
    evaluate(recipe)
    assert 'id="training"' in (place / "elsewhere" / "report.html").read_text()
    lost = replace(recipe, report=ReportConfig(training_metrics=Path("runs/metrics.jsonl")))
    with pytest.raises(UserError, match=r"training_metrics: runs/metrics.jsonl: no such file"):
        evaluate(lost)


def _without_system(stream):
    return replace(stream.record, system=None)


def test_validation_gives_plain_figures_and_leaves_the_model_in_training(place):
    validate = stream_validation(place / "data" / "valid", 4, 6)
    ENGINE.model.train()
    try:
        checkpoint = Checkpoint(ENGINE.model, ENGINE.tokenizer, ENGINE.spec, TrainingFacts(400))
        found = validate(checkpoint)
        assert ENGINE.model.training
        assert validate(checkpoint) == found
    finally:
        ENGINE.model.eval()
    assert {"event_f1", "event_recall", "event_false_per_hour"} <= set(found)
    assert all(isinstance(v, float) for v in found.values())


def test_a_missing_split_is_the_users_mistake(place):
    recipe = EvaluateRecipe(place / "model", place / "data", place / "x", split="tset")
    with pytest.raises(UserError, match="tset"):
        evaluate(recipe)


def test_data_of_another_spec_is_refused(place):
    other = replace(
        ENGINE, spec=replace(ENGINE.spec, front_end=replace(ENGINE.spec.front_end, n_mels=64))
    )
    write_split(other, place / "foreign" / "test", 1)
    recipe = EvaluateRecipe(place / "model", place / "foreign", place / "y", calibrate_on=None)
    with pytest.raises(UserError, match="n_mels"):
        evaluate(recipe)


@pytest.mark.parametrize(
    ("key", "value"),
    [("windows_s", ()), ("thresholds", (1.5,)), ("streams_at_once", 0), ("calibrate_on", "test")],
)
def test_impossible_recipes_are_refused(place, key, value):
    with pytest.raises(ValueError, match=key):
        EvaluateRecipe(place, place, place, **{key: value})

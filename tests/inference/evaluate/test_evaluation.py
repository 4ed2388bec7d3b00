"""An evaluation from checkpoint and shards to results.json and report.html."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from inference.decoder.sampling import SamplingConfig
from inference.evaluate.compare import compare
from inference.evaluate.recipe import EvaluateRecipe, ReportConfig
from inference.evaluate.report.comparison import write_comparison
from inference.evaluate.run import evaluate
from inference.evaluate.store import Part
from inference.evaluate.systems.model import Model
from inference.evaluate.timing.config import RecallAt, StabilityConfig, TimingConfig
from soundflow.commands.evaluate import show
from soundflow.errors import UserError
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from soundflow.shards.reader import ShardSet
from soundflow.shards.writer import write_index, write_shard
from tests.inference.engines import make_engine, make_stream, write_split

ENGINE = make_engine()
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=6)
THRESHOLDS = (0.1, 0.4, 0.5, 0.6, 0.9)
FULL = {"thresholds": THRESHOLDS, "windows_s": (2.0, 1.0, 5.0), "latency_streams": 2}


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


def recipe_of(place, output: str, **timing) -> EvaluateRecipe:
    settings = {"thresholds": (0.4, 0.6), "latency_streams": 1, "windows_s": (2.0,), **timing}
    return EvaluateRecipe(
        checkpoint=place / "model", output=place / output, streams_at_once=4, sampling=GREEDY,
        report=ReportConfig(streams=2), timing=TimingConfig(data=place / "data", **settings),
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(place):
    stability = StabilityConfig((1, 3), hours=0.01)
    return evaluate(recipe_of(place, "out", stability=stability, **FULL))


@pytest.fixture(scope="module")
def done(results):
    return results.timing


def test_the_console_shows_every_system_beside_the_model(results, capsys):
    show(results)
    said = capsys.readouterr().out
    for name in results.timing.headline:
        assert name in " ".join(said.split())
    assert {"model", "never", "always", "random", "oracle 3 s late"} <= set(results.timing.headline)


def test_results_are_on_disk_and_whole(place, done):
    everything = json.loads((place / "out" / "results.json").read_text())
    assert everything["device"] == "cpu"
    assert len(everything["weights"]) == 16
    data = everything["timing"]
    assert data["n_streams"] == 6
    assert set(data["systems"]) == {"2.0", "1.0", "5.0"}
    named = data["systems"]["2.0"]
    assert named["oracle"]["f1"]["value"] == 1.0
    assert named["oracle 1.9 s early"]["recall"]["value"] == 0.0
    assert data["systems"]["5.0"]["oracle 3 s late"]["recall"]["value"] == 1.0
    assert named["never"]["false_per_hour"]["value"] == 0.0
    assert named["always"]["recall"]["value"] == 1.0
    assert named["model"]["wanted"]["value"] == 6
    assert named["model"]["recall"]["n"] == 6
    assert "window:2s" in named["model"]["recall"]["signature"]
    assert data["failures"] == []
    assert len(data["curve"]) == len({*THRESHOLDS, data["threshold"]})


def test_the_calibration_is_in_the_output_and_names_what_it_was_chosen_on(place, done):
    stored = json.loads((place / "out" / "calibration.json").read_text())
    assert stored["threshold"] == done.threshold
    assert stored["data_fingerprint"] == ShardSet(place / "data" / "valid").content_hash
    assert stored["weights"] == json.loads((place / "out" / "results.json").read_text())["weights"]
    assert not (place / "model" / "calibration.json").exists(), "writing it there is a choice"


def test_writing_the_calibration_into_the_checkpoint_is_a_choice(place, tmp_path, caplog):
    checkpoint = tmp_path / "model"
    shutil.copytree(place / "model", checkpoint)
    chosen = replace(recipe_of(place, "chosen"), checkpoint=checkpoint, write_calibration=True)
    evaluate(chosen)
    stored = (checkpoint / "calibration.json").read_text()
    assert stored == (place / "chosen" / "calibration.json").read_text()
    # Root may write anywhere, so a folder stands in the way.
    (checkpoint / "calibration.json").unlink()
    (checkpoint / "calibration.json").mkdir()
    assert evaluate(chosen) is not None
    assert "pass its threshold to sessions" in caplog.text


def test_live_sessions_did_as_the_batch(done):
    assert (done.agreement.sessions, done.agreement.same, done.agreement.flips) == (2, 2, 0)
    assert done.latency.real_time_factor > 0


def test_parts_and_batches_of_another_size_give_the_same_figures(place, done, caplog):
    caplog.set_level("INFO")
    again = replace(recipe_of(place, "again", **FULL), streams_at_once=3)
    others = iter([Part(0, 3), Part(2, 3)])

    def meanwhile(stage: str, done: int, total: int) -> None:
        """Tasks of an array run at once: the others end while the last one decodes."""
        for part in others:
            assert evaluate(again, part=part) is None

    results = evaluate(again, part=Part(1, 3), progress=meanwhile).timing
    assert "test: 4 of 6 items are not decoded yet, those of --part 1/3, 2/3" in caplog.text
    assert results.systems == done.systems
    assert results.curve == done.curve


def test_a_resumed_evaluation_decodes_nothing_twice(place, done, monkeypatch):
    asked = []
    stock = Model.run

    def counting(self, items):
        asked.extend(items)
        return stock(self, items)

    monkeypatch.setattr(Model, "run", counting)
    first = recipe_of(place, "resumed", **FULL)
    evaluate(first, part=Part(0, 2))
    half = {item.id for item in asked}
    asked.clear()
    evaluate(first)
    assert {item.id for item in asked}.isdisjoint(half)
    asked.clear()
    assert evaluate(first).timing.systems == done.systems
    assert not asked


def test_other_weights_are_decoded_anew(place, tmp_path):
    other = make_engine(seed=3)
    save_checkpoint(tmp_path, other.model, other.tokenizer, other.spec, TrainingFacts(400))
    recipe = recipe_of(place, "other", calibrate_on=None)
    evaluate(recipe)
    evaluate(replace(recipe, checkpoint=tmp_path))
    assert len(list((place / "other" / "outcomes").iterdir())) == 2


def test_longer_streams_hold_the_same_events(done):
    one, three, hour = done.stability
    assert (one.label, three.label, hour.label) == ("1 segment", "3 segments", "0.01 h")
    assert (one.n_streams, three.n_streams) == (6, 2)
    assert one.retained.value == 1.0
    assert one.metrics["f1"] == done.headline["model"]["f1"]
    assert three.metrics["wanted"].value == 6
    assert three.metrics["hours"].value == pytest.approx(one.metrics["hours"].value)
    # All streams together last 18 s; the one of 36 s takes them twice and more.
    assert hour.n_streams == 1
    assert hour.metrics["hours"].value >= 0.01 > one.metrics["hours"].value
    assert hour.metrics["wanted"].value > 6


def test_reliability_counts_every_decision(place, done):
    chunks = ShardSet(place / "data" / "test").n_samples // ENGINE.spec.time.chunk_samples
    found = done.reliability
    assert sum(b.n for b in found.bins) == chunks == found.brier.n
    assert 0.0 <= found.ece.value <= 1.0
    assert found.ece.low <= found.ece.value


def test_negatives_bring_the_hours_that_a_claim_needs(place):
    for split in ("test", "valid"):
        folder = place / "negatives" / split
        info = write_shard(folder, 0, "key", [make_stream(ENGINE, "s0", 6, ())], ENGINE.spec)
        write_index(folder, ENGINE.spec, [info])
    found = evaluate(recipe_of(place, "negative", negatives=place / "negatives")).timing
    assert found.n_streams == 7
    (half, two) = found.points
    assert half.refusal.startswith("needs 6.0 h of silence-only audio, these are 0.00 h")
    assert two.to_json()["recall"] is None
    with pytest.raises(UserError, match="holds an event to answer"):
        evaluate(recipe_of(place, "positive", negatives=place / "data"))


def test_calibrating_for_a_budget(place):
    recipe = recipe_of(place, "budget", calibrate=RecallAt(1e6))
    assert evaluate(recipe).provenance.threshold_from == (
        "calibrated for the best recall at 1e+06 false/h"
    )
    with pytest.raises(UserError, match=r"no threshold has at most 0\.001 false triggers an hour"):
        evaluate(recipe_of(place, "budget0", calibrate=RecallAt(0.001), thresholds=(0.01,)))
    shutil.copytree(place / "data" / "test", place / "answered" / "test")
    write_split(ENGINE, place / "answered" / "valid", 1)
    nowhere = recipe_of(place, "budget1", calibrate=RecallAt(2.0))
    nowhere = replace(nowhere, timing=replace(nowhere.timing, data=place / "answered"))
    with pytest.raises(UserError, match=r"answered/valid holds no silence-only stream"):
        evaluate(nowhere)
    assert not (place / "budget1" / "outcomes").exists(), "before any work"
    with pytest.raises(ValueError, match="name calibrate_on"):
        TimingConfig(data=place / "data", calibrate=RecallAt(2.0), calibrate_on=None)


def test_a_comparison_with_itself_shows_nothing(place, done, tmp_path):
    evaluate(recipe_of(place, "again2", **FULL))
    (found,) = compare(place / "out", place / "again2")
    assert found.n_items == 6
    assert all(d.difference.value in (0.0, None) for d in found.differences)
    assert (found.mcnemar.n, found.mcnemar.only_first, found.mcnemar.p) == (6, 0, None)
    write_comparison(tmp_path / "c.html", ("a", "b"), [found])
    assert "https://" not in (tmp_path / "c.html").read_text()
    with pytest.raises(UserError, match="no such file"):
        compare(place / "out", tmp_path)


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
    recipe = recipe_of(place, "elsewhere", calibrate_on=None, thresholds=(0.5,))
    evaluate(recipe)
    assert 'id="training"' in (place / "elsewhere" / "report.html").read_text()
    lost = replace(recipe, report=ReportConfig(training_metrics=Path("runs/metrics.jsonl")))
    with pytest.raises(UserError, match=r"training_metrics: runs/metrics.jsonl: no such file"):
        evaluate(lost)


def test_a_missing_split_is_the_users_mistake(place):
    recipe = recipe_of(place, "x", split="tset")
    with pytest.raises(UserError, match="tset"):
        evaluate(recipe)


def test_data_of_another_spec_is_refused(place):
    other = replace(
        ENGINE, spec=replace(ENGINE.spec, front_end=replace(ENGINE.spec.front_end, n_mels=64))
    )
    write_split(other, place / "foreign" / "test", 1)
    recipe = recipe_of(place, "y", calibrate_on=None)
    recipe = replace(recipe, timing=replace(recipe.timing, data=place / "foreign"))
    with pytest.raises(UserError, match="n_mels"):
        evaluate(recipe)


@pytest.mark.parametrize(
    ("key", "value"),
    [("windows_s", ()), ("thresholds", (1.5,)), ("calibrate_on", "test"), ("calibrate", "recall")],
)
def test_impossible_recipes_are_refused(place, key, value):
    with pytest.raises(ValueError, match=key):
        TimingConfig(data=place, **{key: value})


def test_a_recipe_that_measures_nothing_is_refused(place):
    with pytest.raises(ValueError, match="names nothing to measure"):
        EvaluateRecipe(place, place)

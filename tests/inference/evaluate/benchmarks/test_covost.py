"""A miniature of CoVoST 2 as published, beside what sacreBLEU itself says."""

from __future__ import annotations

import pytest

from inference.evaluate.benchmarks.covost import CovostConfig, covost_tasks
from inference.evaluate.outcome import Failure, Outcome, Piece, TimedReply
from soundflow.protocol.timebase import TimeBase
from tests.inference.evaluate.benchmarks.published_data import flac, saved

sacrebleu = pytest.importorskip("sacrebleu")
TIME = TimeBase()
REFERENCES = ["他说“今天天气很好”。", "我们明天去北京看长城。", "请把门关上。"]
HYPOTHESES = ["他说今天天气很好。", "我们明天去上海看长城。", ""]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covost")
    clips = folder / "en" / "clips"
    clips.mkdir(parents=True)
    lines = ["path\tsentence\ttranslation\tclient_id"]
    for k, text in enumerate(REFERENCES):
        (clips / f"common_voice_en_{k}.mp3").write_bytes(flac(2.0))
        lines.append(f'common_voice_en_{k}.mp3\tHe said "so {k}\t{text}\tx')
    (folder / "en" / "covost_v2.en_zh-CN.test.tsv").write_text("\n".join(lines) + "\n")
    return folder


def task_of(data, pair="en_zh-CN"):
    return covost_tasks(CovostConfig(data=str(data), pairs=(pair,)), TIME)[0]


def said(text: str, wall_s: float | None = None) -> Outcome:
    """Four characters with each chunk of 0.4 s."""
    pieces = tuple(
        Piece(text[k : k + 4], 6400 * (1 + k // 4), wall_s) for k in range(0, len(text), 4)
    )
    return Outcome((TimedReply(6400, text, pieces=pieces),)) if text else Outcome()


def rows_of(task, outcomes):
    return [task.score(i, o) for i, o in zip(task.items(), outcomes, strict=True)]


def test_items_name_both_languages(data):
    item = task_of(data).items()[0]
    assert item.id == "common_voice_en_0.mp3"
    assert item.n_samples == 6 * 16_000
    assert item.reference.source_s == pytest.approx(2.0)
    wanted = "Translate the English speech into Chinese as it is spoken."
    assert item.open().system == wanted


def test_scores_are_those_of_sacrebleu_with_its_signature(data):
    task = task_of(data)
    found = task.summarise(rows_of(task, [said(h) for h in HYPOTHESES])).figures
    bleu = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], tokenize="zh")
    chrf = sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES])
    assert found["bleu"].value == pytest.approx(bleu.score)
    assert found["chrf"].value == pytest.approx(chrf.score)
    assert found["bleu"].n == 3, "a recording without a reply is an empty translation"
    assert "tok:zh" in found["bleu"].signature
    assert f"version:{sacrebleu.__version__}" in found["bleu"].signature
    assert found["bleu"].low < found["bleu"].value < found["bleu"].high


def test_another_target_is_tokenised_for_it(tmp_path):
    rows = [{"id": "a", "sentence": "x", "translation": "It is good.", "seconds": 1.0}]
    task = task_of(saved(tmp_path / "set", "test", rows), "zh-CN_en")
    found = task.summarise(rows_of(task, [said("It is good.")])).figures
    assert "tok:13a" in found["bleu"].signature
    assert found["chrf"].value == pytest.approx(100.0)


def test_known_latencies(data):
    task = task_of(data)
    # 8 characters for a reference of 8: four at 0.4 s, four at 0.8 s; ideally one each 0.25 s.
    row = task.score(task.items()[0], said("他说今天天气很好", wall_s=0.1))
    lags = [0.4 - 0.25 * k if k < 4 else 0.8 - 0.25 * k for k in range(8)]
    assert row.laal_s == pytest.approx(sum(lags) / 8)
    assert row.laal_aware_s == pytest.approx(sum(lags) / 8 + 0.1)
    assert row.atd_aware_s == pytest.approx(row.atd_s + 0.1)
    unmeasured = task.score(task.items()[0], said("他说今天天气很好"))
    assert unmeasured.laal_aware_s is None
    found = task.summarise([row, unmeasured]).figures
    assert (found["laal_s"].n, found["laal_aware_s"].n) == (2, 1)


def test_never_and_failures_keep_the_denominator(data):
    task = task_of(data)
    found = task.summarise(rows_of(task, [Outcome(failure=Failure("crash", "x"))] * 3)).figures
    assert found["bleu"].value == 0.0
    assert found["bleu"].n == 3
    assert found["failed"].value == 1.0
    assert found["laal_s"].value is None
    assert all(f.value is None for f in task.summarise([]).figures.values())


def test_offline_asks_about_the_finished_recording_and_has_no_latency(data):
    _, task = covost_tasks(CovostConfig(data=str(data), pairs=("en_zh-CN",)), TIME)
    assert task.name == "covost_en_zh_cn_offline"
    item = task.items()[0]
    assert item.exchange.question == "Translate the English speech into Chinese."
    assert (item.system, item.open().system) == (None, None)
    found = task.summarise(rows_of(task, [said(h) for h in HYPOTHESES])).figures
    assert found["bleu"].value > 0
    assert found.keys() == {"bleu", "chrf", "failed"}

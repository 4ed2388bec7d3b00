"""Qwen2.5-Omni as published, evaluated: measured offline, refused in streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inference.decoder.sampling import SamplingConfig
from inference.evaluate.benchmarks.librispeech import LibriSpeechConfig
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.run import evaluate
from inference.evaluate.suite import BenchmarksConfig
from inference.evaluate.timing.config import TimingConfig
from inference.profiles import Profile
from soundflow.convert.engine import open_engine
from soundflow.errors import UserError
from tests.inference.evaluate.benchmarks.published_data import flac
from tests.inference.thinkers import save_with_template


def test_what_needs_no_decision_is_measured_and_streams_are_refused_by_name(tmp_path: Path) -> None:
    save_with_template(tmp_path / "thinker")
    chapter = tmp_path / "LibriSpeech" / "test-clean" / "1" / "2"
    chapter.mkdir(parents=True)
    for name in ("1-2-0", "1-2-1"):
        (chapter / f"{name}.flac").write_bytes(flac(0.8))
    (chapter / "1-2.trans.txt").write_text("1-2-0 TWO WORDS\n1-2-1 ONE MORE\n")
    speech = LibriSpeechConfig(
        data=str(tmp_path / "LibriSpeech"), splits=("test-clean",),
        instructions={"offline": "Transcribe."},
    )  # fmt: skip
    recipe = EvaluateRecipe(
        checkpoint=tmp_path / "thinker", output=tmp_path / "out",
        profile=Profile(maximum="clip"), benchmarks=BenchmarksConfig(librispeech=speech),
        sampling=SamplingConfig(temperature=0.0, max_reply_tokens=4),
    )  # fmt: skip
    results = evaluate(recipe, open_engine=open_engine)
    assert results is not None
    (task,) = results.tasks
    assert not task.failures
    assert task.systems["model"].figures["wer"].n == 4
    streaming = replace(speech, instructions={"streaming": "Transcribe."})
    refused = replace(
        recipe, benchmarks=BenchmarksConfig(librispeech=streaming),
        timing=TimingConfig(data=tmp_path / "data"),
    )  # fmt: skip
    with pytest.raises(UserError, match="timing, librispeech_test_clean_streaming") as error:
        evaluate(refused, open_engine=open_engine)
    assert "never trained to decide" in error.value.message

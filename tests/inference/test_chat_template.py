"""Qwen2.5-Omni before any training here answers as its own code does, asked in its own way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from inference.chat_template import DEFAULT_SYSTEM
from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.exchange import answer, prompt_of
from inference.profiles import Profile
from inference.sessions.audio_frontend import mel_chunks
from inference.sources.recordings import Recording
from soundflow.convert.engine import open_engine
from soundflow.errors import UserError
from tests.inference.engines import make_engine
from tests.inference.thinkers import save_with_template

WHOLE_CLIPS = Profile(maximum="clip", silence_s=0.0)
AUDIO_S = 4.8  # two whole windows of 2 s and a shorter one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chat") / "thinker"


@pytest.fixture(scope="module")
def stock(folder: Path) -> Qwen2_5OmniThinkerForConditionalGeneration:
    return save_with_template(folder)


@pytest.fixture(scope="module")
def engine(folder: Path, stock: Qwen2_5OmniThinkerForConditionalGeneration) -> Engine:
    return open_engine(folder, profile=WHOLE_CLIPS)


def recording() -> Recording:
    samples = np.random.default_rng(1).normal(0, 0.1, round(AUDIO_S * 16_000))
    return Recording("x.wav", iter([samples.astype(np.float32)]), pause_s=0.0)


@pytest.mark.parametrize("question", [None, "What is to be heard?"])
def test_the_logits_are_those_of_transformers(
    engine: Engine, stock: Qwen2_5OmniThinkerForConditionalGeneration, question: str | None
) -> None:
    assert not engine.decides
    prompt = prompt_of(engine, question, recording())
    assert prompt.slots is not None
    assert prompt.slots.shape[1] == AUDIO_S * 25
    (samples,) = recording().blocks
    mel = np.concatenate(list(mel_chunks(engine.spec, WHOLE_CLIPS, [samples])), axis=1)
    ids = torch.tensor([prompt.ids])
    with torch.inference_mode():
        theirs = stock(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=torch.from_numpy(mel)[None],
            feature_attention_mask=torch.ones(1, mel.shape[1], dtype=torch.long),
        ).logits
        ours = engine.model.logits(engine.model.hidden(engine.model.embed(ids, prompt.slots)))
    assert theirs.std() > 0.5
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


def test_the_prompt_is_the_published_template(engine: Engine) -> None:
    prompt = prompt_of(engine, "Why?", None)
    text = engine.tokenizer.decode(prompt.ids)
    asked = f"<|im_start|>system\n{DEFAULT_SYSTEM}<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
    assert text == f"{asked}<|im_start|>assistant\n"
    own = prompt_of(engine, "Why?", None, "Be brief.")
    assert "system\nBe brief.<|im_end|>" in engine.tokenizer.decode(own.ids)


def test_an_answer_ends_with_the_turn(engine: Engine) -> None:
    greedy = SamplingConfig(temperature=0.0, max_reply_tokens=4)
    prompt = prompt_of(engine, "Why?", None)
    assert answer(engine, prompt, greedy).reason == "limit"
    (first,) = engine.tokenizer.encode(answer(engine, prompt, greedy).text)[:1]
    assert answer(engine, replace(prompt, end=first), greedy).reason == "end"


def test_a_tokenizer_without_the_tokens_of_the_template_is_named(engine: Engine) -> None:
    bare = replace(make_engine(), decides=False)
    with pytest.raises(UserError, match=r"no token <\|im_start\|>"):
        prompt_of(bare, "Why?", None)

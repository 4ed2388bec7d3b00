"""Offline exchanges: laid out as offline samples are, answered as a plain forward pass would."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count, repeat
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data_build.tokenize import Vocabulary, offline_sample
from inference.decoder.sampling import SamplingConfig
from inference.exchange import answer, answers, prompt_of
from inference.limits import NonFiniteLogitsError, TimedOutError
from inference.sources.recordings import Recording
from soundflow.api import AudioInteraction
from soundflow.cli import main
from soundflow.data.features import stream_features
from soundflow.errors import UserError
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from soundflow.protocol import layout
from soundflow.protocol.dialogue_state import Speaking, legal
from soundflow.shards.schema import OfflineTurn, StreamRecord, StreamSample, quantise
from tests.inference.engines import make_engine

ENGINE = make_engine()
TABLE = ENGINE.spec.tokens
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=12)
QUESTION = "What is to be heard?"
FORMS = [("A_T_T", QUESTION, 1.3), ("A_T", None, 0.8), ("T_T", QUESTION, 0.0)]


def sample_of(question: str | None, seconds: float) -> StreamSample:
    """An offline sample as the builder makes it, its audio padded to whole chunks."""
    n = ENGINE.spec.time.chunks_in(round(seconds * 16_000)) * ENGINE.spec.time.chunk_samples
    audio = np.zeros(n, np.float32)
    kept = round(seconds * 16_000)
    audio[:kept] = np.random.default_rng(3).normal(0, 0.1, kept)
    pcm = quantise(audio)
    record = StreamRecord(
        "x", "offline", "test", "offline", ENGINE.system, len(pcm),
        offline=OfflineTurn(question, "Rain."),
    )  # fmt: skip
    return offline_sample(record, pcm, Vocabulary(ENGINE.tokenizer, ENGINE.spec))


def recording_of(sample: StreamSample, seconds: float) -> Recording | None:
    if not len(sample.pcm):
        return None
    return Recording("x.wav", iter([sample.audio()[: round(seconds * 16_000)]]))


@pytest.mark.parametrize(("task", "question", "seconds"), FORMS)
def test_the_layout_and_the_features_are_those_of_training(task, question, seconds):
    sample = sample_of(question, seconds)
    prompt = prompt_of(ENGINE, question, recording_of(sample, seconds))
    said = layout.offline_answer(TABLE, ENGINE.tokenizer.encode("Rain.")).ids[2:]
    assert (prompt.task, *prompt.ids, *said) == (task, *sample.ids.tolist())
    mel = stream_features(sample, ENGINE.spec).mel
    if prompt.slots is None:
        assert not len(mel)
    else:
        with torch.inference_mode():
            assert torch.equal(prompt.slots, ENGINE.model.encode(torch.from_numpy(mel)))


@pytest.mark.parametrize(("task", "question", "seconds"), FORMS)
def test_an_answer_is_what_a_plain_forward_pass_says(task, question, seconds):
    prompt = prompt_of(ENGINE, question, recording_of(sample_of(question, seconds), seconds))
    shown: list[str] = []
    found = answer(ENGINE, prompt, GREEDY, shown.append)
    ids, forbidden = list(prompt.ids), list(legal(Speaking(1), TABLE).never)
    with torch.inference_mode():
        for _ in range(GREEDY.max_reply_tokens):
            embeds = ENGINE.model.embed(torch.tensor([ids]), prompt.slots)
            logits = ENGINE.model.logits(ENGINE.model.hidden(embeds)[0, -1])
            logits[forbidden] = float("-inf")
            ids.append(int(logits.argmax()))
            if ids[-1] == TABLE.text_end:
                break
    said = [i for i in ids[len(prompt.ids) :] if i != TABLE.text_end]
    assert (found.text, found.tokens) == (ENGINE.tokenizer.decode(said), len(said))
    assert found.task == task
    assert found.reason in ("limit", "end")
    assert found.text.startswith("".join(shown))


def test_answers_side_by_side_are_those_of_each_alone():
    """Of every form and length; one of them meets NaN, and one has no time."""
    prompts = [prompt_of(ENGINE, q, recording_of(sample_of(q, s), s)) for _, q, s in FORMS]
    sampling = SamplingConfig(temperature=0.8, top_k=50, max_reply_tokens=12, seed=3)
    alone = [answer(ENGINE, prompt, sampling) for prompt in prompts]
    shown: dict[int, str] = {}

    def show(at: int, text: str) -> None:
        shown[at] = shown.get(at, "") + text

    assert answers(ENGINE, prompts, sampling, show) == alone
    assert all(found.text.startswith(shown[at]) for at, found in enumerate(alone))
    assert answers(ENGINE, [], sampling) == []
    bad = replace(prompts[0], slots=torch.full_like(prompts[0].slots, torch.nan))
    found = answers(ENGINE, [bad, prompts[2]], sampling)
    assert isinstance(found[0], NonFiniteLogitsError)
    assert found[1] == alone[2]
    seconds = count()
    late, soon = answers(ENGINE, prompts[::2], sampling, timeout_s=1.5, clock=lambda: next(seconds))
    assert isinstance(late, TimedOutError)
    assert isinstance(soon, TimedOutError)


def test_what_cannot_be_asked_is_named():
    with pytest.raises(UserError, match="the question is empty"):
        prompt_of(ENGINE, " ", None)
    with pytest.raises(UserError, match="holds no audio"):
        prompt_of(ENGINE, None, Recording("x", iter([])))
    with pytest.raises(UserError, match="was trained to 60"):
        prompt_of(replace(ENGINE, limit_positions=60), "word " * 60, None)
    endless = Recording("microphone", repeat(np.zeros(6400, np.float32)))
    with pytest.raises(UserError, match="more than 60 positions, and this model was trained to 60"):
        prompt_of(replace(ENGINE, limit_positions=60), None, endless)
    with pytest.raises(UserError, match="nothing was asked"):
        AudioInteraction(ENGINE).answer()


def test_python_and_the_command_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    facts = TrainingFacts(1024, ENGINE.system)
    save_checkpoint(tmp_path / "m", ENGINE.model, ENGINE.tokenizer, ENGINE.spec, facts)
    audio = sample_of(QUESTION, 0.8).audio()
    soundfile.write(tmp_path / "a.wav", audio, 16_000, subtype="PCM_16")
    words = [str(tmp_path / "m"), "precision=fp32", "session.sampling={temperature: 0.0, "
             "max_reply_tokens: 12}"]  # fmt: skip
    model = AudioInteraction(ENGINE)
    greedy = {"temperature": 0.0, "max_reply_tokens": 12}
    assert main(["infer", *words, str(tmp_path / "a.wav"), "--ask", QUESTION, "--json"]) == 0
    assert main(["infer", *words, "--ask", "Who: you?", "--json"]) == 0
    assert main(["infer", *words, str(tmp_path / "a.wav"), "mode=offline", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = [
        model.answer(QUESTION, audio, **greedy),
        model.answer("Who: you?", **greedy),
        model.answer(audio=tmp_path / "a.wav", **greedy),
    ]
    assert [line["task"] for line in lines] == ["A_T_T", "T_T", "A_T"]
    assert [line["text"] for line in lines] == [str(found) for found in expected]
    assert main(["infer", *words, str(tmp_path / "a.wav"), "--ask", QUESTION]) == 0
    assert "a.wav" in capsys.readouterr().out


def test_settings_that_do_not_go_together_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    recipe = tmp_path / "live.yaml"
    recipe.write_text("{command: infer, checkpoint: nowhere, real_time: true}")
    assert main(["infer", str(recipe), "--ask", "Who?"]) == 2
    assert "live.yaml: real_time: goes with mode=online" in capfd.readouterr().err
    for words, said in (
        (["question=Who?"], "question: goes with mode=offline"),
        (["--ask", "Who?", "--realtime"], "goes with mode=online"),
        (["--ask", "Who?", "--report", "page.html"], "are of live sessions"),
        (["mode=offline"], "nothing was asked"),
    ):
        assert main(["infer", "nowhere", *words]) == 2
        assert said in capfd.readouterr().err

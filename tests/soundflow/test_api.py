"""The public API: what it promises in its docstrings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundflow import AudioInteraction
from soundflow.api import Decided, ReplyEnded, ReplyStarted, ReplyText, SessionEnded
from soundflow.errors import UserError
from soundflow.forms.load_any import locate
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import save_checkpoint
from soundflow.protocol.spec import StreamSpec
from soundflow.text.tiny import tiny_tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that speak at some chunks and stay silent at others."""
    folder = tmp_path_factory.mktemp("api") / "model"
    tokenizer = tiny_tokenizer()
    config = ModelConfig(
        audio_encoder=AudioEncoderConfig(
            width=16, layers=1, heads=2, ffn_width=32, max_positions=64
        ),
        lm=LmConfig(width=32, layers=2, heads=4, kv_heads=2, ffn_width=48, max_positions=512,
                    tied=True, init_std=0.5),
    )  # fmt: skip
    torch.manual_seed(3)
    model = AudioInteractionModel(config, tokenizer.table)
    spec = StreamSpec(tokenizer=tokenizer.fingerprint, tokens=tokenizer.table)
    save_checkpoint(folder, model, tokenizer, spec, TrainingFacts(256, "listen"))
    return folder


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> AudioInteraction:
    return AudioInteraction.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.2 * rng.standard_normal(5 * 6400 + 100)).astype(np.float32)


ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {"temperature": 0.0, "threshold": 0.5, "max_reply_tokens": 5}


def test_a_file_an_array_and_packets_give_the_same_events(
    model: AudioInteraction, noise: np.ndarray, tmp_path: Path
) -> None:
    file = tmp_path / "noise.wav"
    soundfile.write(file, noise, 16_000, subtype="FLOAT")
    events = list(model.stream(file, **OPTIONS))
    assert list(model.stream(noise, **OPTIONS)) == events
    assert list(model.stream(np.array_split(noise, 17), **OPTIONS)) == events
    assert list(model.stream(np.stack([noise, noise], axis=1), **OPTIONS)) == events
    # Six chunks of noise, and a second of silence in three more.
    assert [e.chunk for e in events if isinstance(e, Decided)] == list(range(9))
    assert events[-1] == SessionEnded(9, 3.6, 9 * 6400)
    assert isinstance(events[0], Decided)


def test_replies_come_token_by_token(model: AudioInteraction, noise: np.ndarray) -> None:
    events = list(model.stream(noise, temperature=0.0, threshold=0.0, max_reply_tokens=5))
    kinds = [type(e) for e in events]
    assert kinds.count(ReplyStarted) == kinds.count(ReplyEnded) == 9
    first = kinds.index(ReplyEnded)
    said = "".join(e.text for e in events[:first] if isinstance(e, ReplyText))
    ended = events[first]
    assert isinstance(ended, ReplyEnded)
    assert ended.text.startswith(said)


def test_sampling_is_a_function_of_its_seed(model: AudioInteraction, noise: np.ndarray) -> None:
    def told(seed: int) -> list[object]:
        options = {"temperature": 2.0, "top_k": 50, "threshold": 0.0, "max_reply_tokens": 8}
        return list(model.stream(noise, seed=seed, **options))

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_integers_rates_and_what_is_refused(model: AudioInteraction, noise: np.ndarray) -> None:
    pcm = np.round(noise.clip(-1, 0.99) * 32768).astype(np.int16)
    as_float = pcm.astype(np.float32) / 32768
    assert list(model.stream(pcm, **OPTIONS)) == list(model.stream(as_float, **OPTIONS))
    slow = list(model.stream(noise, sample_rate_hz=8_000, **OPTIONS))
    assert sum(isinstance(e, Decided) for e in slow) == 11 + 3
    for bad in (noise.astype(np.int64), noise.reshape(1, 1, -1), np.full(7000, np.nan, np.float32)):
        with pytest.raises(UserError):
            list(model.stream(bad))
    with pytest.raises(ValueError, match="top_k"):
        model.open(top_k=0)


def test_sessions_do_not_disturb_each_other(model: AudioInteraction, noise: np.ndarray) -> None:
    """Live sessions of one model, pushed side by side: chunks in order, each ends by itself."""
    with model.open(**OPTIONS) as one, model.open(**OPTIONS) as other:
        for packet in np.array_split(noise, 9):
            one.push(packet)
            other.push(packet[::-1])
    for session in (one, other):
        events = list(session.events(timeout_s=20))
        assert [e.chunk for e in events if isinstance(e, Decided)] == list(range(6))
        assert isinstance(events[-1], SessionEnded)
        with pytest.raises(RuntimeError, match="closed"):
            session.push(noise)
    model.close()


def test_files_in_one_session(model: AudioInteraction, noise: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", noise, 16_000)
    first, second, end = model.stream_files([tmp_path / "a.flac"] * 2, **OPTIONS)
    chunks = [e.chunk for e in (*first, *second, *end) if isinstance(e, Decided)]
    assert chunks == list(range(2 * (6 + 3)))  # six of noise and three that hold the silence
    # A chunk is complete 2.5 ms behind its end: the last of a file comes with what follows it.
    assert sum(isinstance(e, Decided) for e in first) == 8
    assert [type(e) for e in end] == [SessionEnded]
    with pytest.raises(UserError, match=r"no\.wav"):
        next(model.stream_files([tmp_path / "a.flac", tmp_path / "no.wav"]))


def test_a_release_folder_and_the_published_profile(shared: Path) -> None:
    goldens = shared / "goldens"
    model = AudioInteraction.from_pretrained(goldens / "ckpt", profile="published")
    wav = goldens / "wavs/a_question_3s.wav"
    told = list(model.stream_files([wav], temperature=0))
    replies = [e.text for events in told for e in events if isinstance(e, ReplyEnded)]
    assert replies == ["th", "可以", "可以"]


def _python(code: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *words]
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def test_importing_soundflow_stays_cheap() -> None:
    done = _python(
        "import sys, soundflow; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr
    done = _python("import soundflow; soundflow.AudioInteractoin")
    assert "has no attribute 'AudioInteractoin'" in done.stderr


def test_a_hub_id_that_is_in_the_cache(checkpoint: Path, tmp_path: Path) -> None:
    """huggingface_hub itself finds the repository in its cache, as after one download."""
    repository = tmp_path / "hub/models--someone--listener"
    commit = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / commit).symlink_to(checkpoint)
    code = """if True:
        from soundflow import AudioInteraction
        from soundflow.errors import UserError
        print(AudioInteraction.from_pretrained("someone/listener").system)
        try:
            AudioInteraction.from_pretrained("someone/else")
        except UserError as error:
            print(error.message)
    """
    done = _python(code, HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(tmp_path / "hub"))
    assert done.stdout.startswith("listen\n"), done.stderr
    assert "someone/else: is no folder here and cannot be fetched" in done.stdout
    with pytest.raises(UserError, match="no such checkpoint folder"):
        locate("no such folder")


def test_the_example_runs(checkpoint: Path, noise: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", noise, 16_000)
    script = ROOT / "examples/listen.py"
    command = [sys.executable, str(script), str(checkpoint), str(tmp_path / "talk.wav")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "decides every 0.4 s" in done.stdout
    assert done.stdout.count("p = ") == 9
    assert done.stdout.splitlines()[-1] == "twice the recording: 18 decisions"

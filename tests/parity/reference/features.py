"""Log-mel and encoder features beside the reference's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor

from soundflow.audio.files import read_audio
from soundflow.audio.frontend import log_mel
from soundflow.export.training_rows import chunk_features
from soundflow.interop.conversations import read_offline
from soundflow.interop.published import PUBLISHED_SILENCE_S
from soundflow.model.encoder import encode_chunks_stock
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import Checkpoint
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.timebase import TimeBase
from tests.parity.reference.rows import Row

TIME = TimeBase()
CLIP = FrontEnd(maximum="clip")
PUBLISHED_OFFLINE_S = 20.0  # longer offline recordings are cut by the published builder
WAVS = ("a_question_3s", "b_translate_3s", "c_music_5s")


def gap(a: object, b: object) -> float:
    """Largest absolute difference of two arrays of one shape."""
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert left.shape == right.shape, (left.shape, right.shape)
    return float(np.abs(left - right).max())


def whisper_log_mel(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Whisper's log-mel of a whole clip in float64, written down straight: (128, T)."""
    padded = np.pad(samples.astype(np.float64), 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][: len(samples) // 160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    mel = librosa.filters.mel(sr=16000, n_fft=400, n_mels=128, dtype=np.float64) @ power.T
    level = np.log10(np.maximum(mel, 1e-10))
    return (np.maximum(level, level.max() - 8) + 4) / 4


def flat(mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, 128, 40) chunks -> (128, 40 n)."""
    return np.concatenate(list(mel), axis=1)


def log_mel_rows(goldens: Path) -> Iterator[Row]:
    theirs = ours = 0.0
    for name in WAVS:
        gold = load_file(goldens / f"wav_{name}.safetensors")
        audio = read_audio(goldens / f"wavs/{name}.wav")
        padded = np.pad(audio, (0, TIME.padding_of(len(audio))))
        silence = np.zeros(TIME.samples(PUBLISHED_SILENCE_S), np.float32)
        mel = flat(log_mel(audio, TIME, CLIP))
        theirs = max(theirs, gap(mel, gold["log_mel"]))
        theirs = max(theirs, gap(flat(log_mel(silence, TIME, CLIP)), gold["silence_log_mel"]))
        ours = max(ours, gap(mel, whisper_log_mel(padded)))
    yield Row("log-mel, clip maximum", "reference (float32)", theirs, 5e-5)
    yield Row("log-mel, clip maximum", "Whisper in float64", ours, 1e-5)


def live_server_rows(goldens: Path) -> Iterator[Row]:
    """The published live server encodes its whole history anew for every chunk."""
    gold = load_file(goldens / "server_stream.safetensors")
    inner = 0.0
    for name in WAVS:
        audio = read_audio(goldens / f"wavs/{name}.wav")
        wanted = gold[f"{name}.log_mel_last40"].numpy()
        mel = log_mel(audio, TIME, FrontEnd(maximum="running"))[: len(wanted)]
        for chunk in range(len(wanted)):
            # The server mirrors its history at its newest sample, so its last two frames hold
            # audio that never was; ours wait 2.5 ms for what comes. Where those two frames hold
            # the maximum, they move the floor as well: compare what lies above both floors.
            ours, theirs = mel[chunk][:, :38], wanted[chunk][:, :38]
            above = (ours > ours.min() + 0.3) & (theirs > theirs.min() + 0.3)
            inner = max(inner, gap(ours[above], theirs[above]))
    yield Row("log-mel, running maximum, frames 1-38", "published live server", inner, 5e-5)


@torch.inference_mode()
def window_features(
    model: AudioInteractionModel,
    samples: npt.ArrayLike,
    time: TimeBase,
    front_end: FrontEnd,
    limit_s: float = PUBLISHED_OFFLINE_S,
) -> Tensor:
    """(n_slots, d) of a recording, in windows of twice the tower's ``n_window`` frames."""
    audio = np.asarray(samples, np.float32)[: time.samples(limit_s)]
    # One frame at a time: the only length that the clip is padded to.
    frame = replace(time, chunk_samples=time.hop_samples, slot_samples=time.hop_samples)
    mel = log_mel(audio, frame, replace(front_end, maximum="clip"))
    flat = torch.from_numpy(mel[:, :, 0].T.copy()).to(model.device)
    length = torch.tensor([flat.shape[1]], device=model.device)
    after_cnn, _ = model.encoder._get_feat_extract_output_lengths(length)
    out: Tensor = model.encoder(
        input_features=flat, feature_lens=length, aftercnn_lens=after_cnn
    ).last_hidden_state
    return out.cpu()


def encoder_rows(goldens: Path, checkpoint: Checkpoint) -> Iterator[Row]:
    model = checkpoint.model
    batched = stock = online = offline = 0.0
    for name in WAVS:
        gold = load_file(goldens / f"wav_{name}.safetensors")
        mel = torch.stack(gold["log_mel"].split(40, dim=1))
        with torch.inference_mode():
            batched = max(batched, gap(model.encode(mel), gold["features"]))
            stock = max(stock, gap(encode_chunks_stock(model.encoder, mel), gold["features"]))
    for prefix in ("", "edge_"):
        for key, wanted in load_file(goldens / f"online/{prefix}features.safetensors").items():
            audio = read_audio(goldens / f"online/{prefix}wavs/{key}.wav")
            online = max(online, gap(chunk_features(model, audio, TIME, CLIP), wanted))
    examples = list(read_offline(goldens / "offline/input.jsonl"))
    for key, wanted in load_file(goldens / "offline/features.safetensors").items():
        path = examples[int(key)].audio_path
        assert path is not None
        found = window_features(model, read_audio(goldens / path), TIME, CLIP)
        offline = max(offline, gap(found, wanted))
    yield Row("encoder, all chunks at once, from the golden mel", "reference", batched, 2e-5)
    yield Row("encoder, transformers' own forward, the same", "reference", stock, 2e-5)
    yield Row("features of online streams, from the audio", "reference, step 3", online, 2e-5)
    yield Row("features of offline clips, 200-frame windows", "reference", offline, 2e-5)


def causal_differences(goldens: Path) -> dict[str, float]:
    """What our causal maximum changes: share of log-mel cells that differ by over 0.001."""
    shares = {}
    for name in WAVS:
        audio = read_audio(goldens / f"wavs/{name}.wav")
        running = log_mel(audio, TIME, replace(CLIP, maximum="running"))
        clip = log_mel(audio, TIME, CLIP)
        shares[name] = float((np.abs(running - clip) > 1e-3).mean())
    return shares

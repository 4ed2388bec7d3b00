"""The front end is causal, exact for every packet size, and equals Whisper's log-mel."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundflow.audio.frontend import StreamingLogMel, log_mel
from soundflow.audio.mel import mel_filters
from soundflow.errors import UserError
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.timebase import TimeBase

TIME = TimeBase()
RUNNING, CLIP = FrontEnd(maximum="running"), FrontEnd(maximum="clip")
WINDOW = FrontEnd(maximum="window", window_chunks=3)


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    swell = np.linspace(0.02, 0.5, n_samples)
    return (rng.normal(size=n_samples) * swell).astype(np.float32)


def whisper_log_mel(samples: np.ndarray) -> np.ndarray:
    """Whisper's log-mel, written straightforwardly in float64: (128, frames)."""
    padded = np.pad(samples, (0, -len(samples) % 6400))
    stft = torch.stft(
        torch.tensor(padded, dtype=torch.float64), 400, 160,
        window=torch.hann_window(400, dtype=torch.float64), return_complex=True,
    )  # fmt: skip
    power = stft[:, :-1].abs() ** 2
    mel = torch.tensor(mel_filters(16_000, CLIP), dtype=torch.float64) @ power
    logs = mel.clamp(min=1e-10).log10()
    return ((torch.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0).numpy()


@pytest.mark.parametrize("n_samples", [1, 201, 6399, 6400, 6401, 50_000])
def test_clip_mode_is_whispers_log_mel(n_samples: int) -> None:
    samples = noise(n_samples)
    ours = log_mel(samples, TIME, CLIP).transpose(1, 0, 2).reshape(128, -1)
    np.testing.assert_allclose(ours, whisper_log_mel(samples), atol=1e-5, rtol=0)


@pytest.mark.parametrize("front_end", [RUNNING, WINDOW, CLIP], ids=["running", "window", "clip"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_packets_of_any_size_give_the_same_bits(front_end: FrontEnd, data: st.DataObject) -> None:
    samples = noise(data.draw(st.integers(1, 30_000), "length"), seed=3)
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=12), "cuts")
    stream = StreamingLogMel(TIME, front_end)
    chunks = [c for packet in np.split(samples, sorted(cuts)) for c in stream.push(packet)]
    chunks += stream.finish()
    np.testing.assert_array_equal(np.stack(chunks), log_mel(samples, TIME, front_end))


def test_one_sample_at_a_time_gives_the_same_bits() -> None:
    samples = noise(13_500)
    stream = StreamingLogMel(TIME, RUNNING)
    chunks = [c for sample in samples for c in stream.push([sample])] + stream.finish()
    np.testing.assert_array_equal(np.stack(chunks), log_mel(samples, TIME, RUNNING))


@pytest.mark.parametrize("front_end", [RUNNING, WINDOW], ids=["running", "window"])
@given(n_chunks=st.integers(1, 5), level=st.floats(0.1, 100.0))
def test_the_future_never_changes_the_past(
    front_end: FrontEnd, n_chunks: int, level: float
) -> None:
    # 40 samples of look-ahead belong to the chunk; everything later may change at will.
    keep = n_chunks * 6400 + 40
    samples = noise(6 * 6400)
    other = samples.copy()
    other[keep:] = noise(len(samples) - keep, seed=9) * np.float32(level)
    a, b = (log_mel(s, TIME, front_end)[:n_chunks] for s in (samples, other))
    np.testing.assert_array_equal(a, b)


def quiet_with_a_click(n_chunks: int, at_chunk: int) -> np.ndarray:
    samples = 1e-4 * noise(n_chunks * TIME.chunk_samples)
    samples[at_chunk * TIME.chunk_samples + 3000] = 1.0
    return samples


def test_the_default_is_the_running_maximum_until_its_window_is_full() -> None:
    n = FrontEnd().window_chunks
    samples = quiet_with_a_click(n + 2, at_chunk=0)
    windowed, running = (log_mel(samples, TIME, f) for f in (FrontEnd(), RUNNING))
    np.testing.assert_array_equal(windowed[:n], running[:n])
    assert not np.array_equal(windowed[n], running[n])


def test_a_click_is_forgotten_when_it_leaves_the_window() -> None:
    clicked = quiet_with_a_click(9, at_chunk=2)
    # The window of frame 0 reaches half a window into the chunk before: compare from there on.
    undisturbed = log_mel(1e-4 * noise(9 * TIME.chunk_samples), TIME, WINDOW)
    heard = log_mel(clicked, TIME, WINDOW)
    np.testing.assert_array_equal(heard[:2], undisturbed[:2])
    for chunk in (2, 3, 4):
        assert heard[chunk].min() > undisturbed[chunk].min() + 0.1, "the click raises the floor"
    np.testing.assert_array_equal(heard[5:], undisturbed[5:])
    never = log_mel(clicked, TIME, RUNNING)
    assert never[8].min() > undisturbed[8].min() + 0.1


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = StreamingLogMel(TIME, FrontEnd(window_chunks=2))
    for packet in np.split(noise(40 * TIME.chunk_samples), 80):
        stream.push(packet)
    held = [v for v in vars(stream).values() if hasattr(v, "__len__")]
    assert sum(map(len, held)) < 2 * TIME.chunk_samples


def test_a_chunk_comes_out_with_its_40th_look_ahead_sample() -> None:
    stream = StreamingLogMel(TIME, RUNNING)
    assert stream.push(noise(6400 + 39)) == []
    assert len(stream.push([0.0])) == 1


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import hashlib, numpy as np; from soundflow.audio.frontend import log_mel;"
        "from soundflow.protocol.front_end import FrontEnd;"
        "from soundflow.protocol.timebase import TimeBase;"
        "x = np.random.default_rng(0).normal(size=40_000).astype('f') * 0.1;"
        "print(hashlib.sha256(log_mel(x, TimeBase(), FrontEnd()).tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n, "PATH": ""},
        ).stdout
        for n in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1


def test_misuse_raises() -> None:
    stream = StreamingLogMel(TIME, RUNNING)
    with pytest.raises(UserError, match="mono"):
        stream.push(np.zeros((2, 100)))
    with pytest.raises(UserError, match="NaN"):
        stream.push([0.0, float("nan")])
    assert stream.finish() == []
    with pytest.raises(RuntimeError):
        stream.push([0.0])
    with pytest.raises(RuntimeError):
        stream.finish()

"""Copies of a sound are found, other sounds are not taken for copies, and a rerun reads nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_build.pools.fingerprint import same_audio
from data_build.records import Recorded


def noise(seed: int, seconds: float = 3.0) -> np.ndarray:
    """Noise in bursts of changing colour, as sounds are."""
    rng = np.random.default_rng(seed)
    n = int(seconds * 16_000)
    changing = np.repeat(rng.random(n // 1_600 + 1), 1_600)[:n]
    return (0.2 * changing * rng.standard_normal(n)).astype(np.float32)


@pytest.fixture
def recordings(tmp_path: Path) -> list[Recorded]:
    files = {
        "a.wav": noise(1),
        "quiet.wav": 0.1 * noise(1),
        "cut.wav": noise(1)[3_333:],
        "b.wav": noise(2),
        "same.wav": noise(2),
        "c.wav": noise(3),
        "short.wav": noise(4, 0.2),
        "none.wav": np.zeros(16_000, np.float32),
        "no.wav": np.zeros(16_000, np.float32),
    }
    for name, samples in files.items():
        soundfile.write(tmp_path / name, samples, 16_000)
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    return [Recorded(str(tmp_path / name)) for name in (*files, "broken.wav", "missing.wav")]


def test_copies_are_found_and_nothing_else(recordings: list[Recorded]) -> None:
    same = same_audio(recordings, 1, None)
    near = dict(zip((Path(r.path).stem for r in recordings), same.near.tolist(), strict=True))
    assert near["a"] == near["quiet"] == near["cut"] != 0
    assert near["b"] == near["same"] not in (0, near["a"])
    assert not any(near[name] for name in ("c", "short", "none", "no", "broken", "missing"))
    content = dict(zip(near, same.content.tolist(), strict=True))
    assert content["b"] == content["same"] != content["a"]
    assert content["broken"] == content["missing"] == 0


def test_what_is_known_is_not_read_again(
    recordings: list[Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "fingerprints.npy"
    first = same_audio(recordings, 1, store)
    monkeypatch.setattr("data_build.pools.fingerprint.read_recording", None)
    again = same_audio(recordings[::-1], 1, store)
    assert again.near.tolist() == first.near.tolist()[::-1]
    assert again.content.tolist() == first.content.tolist()[::-1]
    store.write_bytes(b"damaged")
    unknown = same_audio(recordings, 1, store, keep=False, opened=False)
    assert not unknown.content.any()
    assert store.read_bytes() == b"damaged"

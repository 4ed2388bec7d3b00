"""The transform that TFJP cuts in: it must give back what it was given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.audio.stft import istft, stft

GRIDS = st.sampled_from([(400, 160), (320, 160), (480, 160), (512, 128), (256, 64)])


@given(n=st.integers(1, 4_000), grid=GRIDS, seed=st.integers(0, 99))
def test_there_and_back_is_the_identity(n: int, grid: tuple[int, int], seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)
    back = istft(stft(samples, *grid), *grid)
    assert back.dtype == np.float32
    assert len(back) == -(-n // grid[1]) * grid[1]
    np.testing.assert_allclose(back[:n], samples, atol=1e-6)
    np.testing.assert_allclose(back[n:], 0.0, atol=1e-6)


def test_the_inverse_leaves_its_input_alone() -> None:
    spectra = stft(np.random.default_rng(0).uniform(-1, 1, 2_000).astype(np.float32), 400, 160)
    before = spectra.copy()
    istft(spectra, 400, 160)
    np.testing.assert_array_equal(spectra, before)


def test_a_frame_stands_for_its_hop() -> None:
    samples = np.zeros(1_600, np.float32)
    samples[5 * 160 : 6 * 160] = 1.0
    energy = (np.abs(stft(samples, 400, 160)) ** 2).sum(axis=1)
    assert energy.argmax() == 5
    np.testing.assert_allclose(energy[4], energy[6], rtol=0.05)


@given(cut=st.integers(1, 18), length=st.integers(1, 10))
def test_leaving_frames_out_shortens_by_whole_hops_and_joins_without_a_click(
    cut: int, length: int
) -> None:
    samples = np.full(40 * 160, 0.5, np.float32)
    spectra = stft(samples, 400, 160)
    kept = np.delete(np.arange(40), np.arange(cut, cut + length))
    joined = istft(spectra[kept], 400, 160)
    assert len(joined) == (40 - length) * 160
    inner = joined[400:-400]
    np.testing.assert_allclose(inner, 0.5, atol=1e-5)


@pytest.mark.parametrize("shape", [(0,), (2, 100)])
def test_a_clip_without_mono_samples_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mono and not empty"):
        stft(np.zeros(shape, np.float32), 400, 160)


@pytest.mark.parametrize("grid", [(400, 300), (400, 161), (400, 0)])
def test_windows_that_leave_gaps_are_refused(grid: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="hop"):
        stft(np.zeros(800, np.float32), *grid)

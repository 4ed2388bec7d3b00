"""Synthesised sounds: every kind, repeatable, of the length asked for, each take different."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.randomness import generator
from data_build.synth.kinds import KINDS, take
from soundflow.errors import UserError


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_repeats_itself_and_varies_with_the_seed(kind: str) -> None:
    one, again, other = (take(kind, generator(seed, kind)) for seed in (1, 1, 2))
    assert one.samples.dtype == np.float32
    assert np.array_equal(one.samples, again.samples)
    assert one.ready_samples == again.ready_samples
    assert not np.array_equal(one.samples, other.samples[: len(one.samples)])
    assert np.abs(one.samples).max() == pytest.approx(0.5, abs=1e-3)
    assert 0 < one.ready_samples <= len(one.samples)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.floats(0.05, 4.0), st.integers(0, 2**31))
def test_a_take_is_exactly_as_long_as_asked(kind: str, seconds: float, seed: int) -> None:
    samples = take(kind, generator(seed), seconds).samples
    assert len(samples) == round(seconds * 16_000)
    assert np.isfinite(samples).all()


def test_the_smoke_alarm_differs_from_its_look_alikes_when_it_says_so() -> None:
    """Its pulse is longer than any timer's beep and over before a microwave's is."""
    for seed in range(20):
        alarm = take("smoke_alarm", generator(seed))
        assert 0.46 * 16_000 < alarm.ready_samples < 0.6 * 16_000
        assert _first_pulse_s("kitchen_timer", seed) < 0.2
        assert 0.4 < _first_pulse_s("smoke_alarm", seed) < 0.6
        assert _first_pulse_s("microwave_beep", seed) > 0.8


def _first_pulse_s(kind: str, seed: int) -> float:
    samples = take(kind, generator(seed)).samples
    loud = np.abs(samples[: len(samples) // 160 * 160].reshape(-1, 160)).max(axis=1) > 0.05
    quiet = np.flatnonzero(~loud[1:])
    return float((quiet[0] + 1 if len(quiet) else len(loud)) * 0.01)


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UserError, match="smoke_alrm") as error:
        take("smoke_alrm", generator(0))
    assert "smoke_alarm" in error.value.hint

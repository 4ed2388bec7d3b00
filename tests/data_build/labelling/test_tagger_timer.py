from __future__ import annotations

import numpy as np
import pytest

from data_build.labelling.tagger_timer import TaggerTimer

ONSET = 8_000


class Ear:
    """Hears a class once so many samples of the clip are there."""

    def __init__(self, needed: dict[str, int]) -> None:
        self._needed = needed

    def tags(self, samples: np.ndarray) -> dict[str, float]:
        return {name: 0.9 for name, needed in self._needed.items() if len(samples) >= needed}


@pytest.fixture
def clip() -> np.ndarray:
    samples = np.zeros(40_000, np.float32)
    samples[ONSET:] = 0.1 * np.sin(np.arange(32_000))
    return samples


@pytest.mark.parametrize(
    ("heard", "labels", "ready"),
    [
        ({"Siren": 6_000}, ["Siren"], ONSET + 6_400),  # in steps of 0.1 s from the onset
        ({"Smoke detector, smoke alarm": 6_400}, ["Alarm"], ONSET + 6_400),  # a kind of it
        ({"Alarm": 1}, ["Siren"], None),  # what it is a kind of
        ({"Siren": 1, "Dog": 9_600}, ["Siren", "Dog"], ONSET + 9_600),
        ({"Siren": 1}, ["Siren", "Dog"], None),
        ({"Siren": 1}, ["no such sound"], None),
        ({"Siren": 10**6}, ["Siren"], None),
    ],
)
def test_a_sound_is_known_when_all_its_classes_are(
    clip: np.ndarray, heard: dict[str, int], labels: list[str], ready: int | None
) -> None:
    assert TaggerTimer(Ear(heard), "ear").ready_samples(clip, labels) == ready

"""The four criteria, each against clips with a known fault; and the measurements behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.records import Clip, Origin, Recorded
from data_build.scenes.config import VerifyLimits
from data_build.scenes.measure import measure
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.scene import Scene, SubEvent
from data_build.scenes.verify import Candidate, RuleVerifier, Verification
from tests.data_build.scenes.sounds import RATE, barks, clipped, with_gap, with_noise

SCENE = Scene("A yard at noon.", "in a yard", "out", "noon", 10.0, ())
BARK = SubEvent("Bark", "foreground", 2.0, "a dog barks, close by")
CLIP = Clip("x", "event", Recorded("x.wav"), Origin("test", "CC0"), labels=("dog_bark",))


def judge(samples, clip=CLIP, event=BARK, tags=None) -> Verification:
    refined = RuleRefiner().refine(event, SCENE)
    candidate = Candidate(clip, samples, measure(samples), tags or {})
    return RuleVerifier().verify(candidate, event, refined)


def test_a_good_clip_is_accepted():
    verdict = judge(barks())
    assert verdict.decision == "accept"
    assert verdict.why() == ""


FAULTS = {
    "noisy": (with_noise(barks(), 3.0), "cleanliness", "reprocess"),
    "clipped": (clipped(barks()), "cleanliness", "reject"),
    "too quiet": (barks() * np.float32(1e-4), "cleanliness", "reject"),
    "too short": (barks(0.8), "duration", "reject"),
    "too long": (barks(5.0), "duration", "reprocess"),
    "gap": (with_gap(barks(), 1.4), "continuity", "reprocess"),
    "cut off": (barks(2.12), "continuity", "reprocess"),
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_fault_is_found_by_its_criterion(name):
    samples, criterion, decision = FAULTS[name]
    verdict = judge(samples)
    assert verdict.decision == decision
    outcome = "fail" if decision == "reject" else decision
    assert getattr(verdict, criterion).outcome == outcome
    assert criterion in verdict.why()


@pytest.mark.parametrize(
    ("labels", "caption", "decision"),
    [
        (("Dog",), "", "accept"),
        (("Bow-wow",), "", "reject"),
        (("cat",), "a dog barks", "reject"),
        ((), "An old dog is barking.", "accept"),
        ((), "something else", "reject"),
        (("gibberish",), "", "reject"),
        (("dog_bark", "Speech"), "", "accept"),
        (("dog_bark", "Speech", "Piano", "Train"), "", "reject"),
    ],
)
def test_identity_comes_from_labels_and_captions(labels, caption, decision):
    clip = replace(CLIP, labels=labels, caption=caption)
    assert judge(barks(), clip).decision == decision


@pytest.mark.parametrize(
    ("labels", "tags", "decision"),
    [
        (("dog_bark",), {"Bark": 0.4}, "accept"),  # it is heard
        (("dog_bark",), {"Bow-wow": 0.4, "Bark": 0.0}, "reject"),
        (("dog_bark",), {"Dog": 0.4}, "accept"),  # or a class that is evidence for it
        (("dog_bark",), {"Bark": 0.4, "Cat": 0.9}, "accept"),  # whatever else there is
        (("dog_bark",), {"Bark": 0.05, "Cat": 0.2}, "accept"),  # nothing is: the label counts
        (("dog_bark",), {"Bark": 0.05, "Cat": 0.9}, "reject"),  # something else is
        (("dog_bark",), {"Bark": 0.05, "Animal": 0.9}, "accept"),  # but not a broader class
        (("dog_bark",), {"Bark": 0.05, "Inside, small room": 0.9}, "accept"),  # or the room
        (("dog_bark",), {"Cat": 0.9}, "accept"),  # a model that knows no dogs says nothing
        ((), {"Bark": 0.4}, "accept"),  # without a label it has to be heard
        ((), {"Bark": 0.05}, "reject"),
        (("cat",), {"Bark": 0.9}, "reject"),  # no model speaks against a label
    ],
)
def test_what_a_tagger_hears_is_evidence_for_identity(labels, tags, decision):
    assert judge(barks(), replace(CLIP, labels=labels), tags=tags).decision == decision


def test_a_contradiction_is_named():
    why = judge(barks(), tags={"Bark": 0.05, "Cat": 0.9, "Meow": 0.3}).why()
    assert why == "identity: detected as Cat with 0.90, itself with 0.05"


def test_textures_may_be_steady_and_are_tiled():
    rain = SubEvent("Rain", "ambient", 24.0, "rain all around")
    noise = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32) * 0.05
    clip = replace(CLIP, labels=("rain",))
    assert judge(noise, clip, rain).decision == "accept"
    assert judge(noise[:RATE], clip, rain).duration.outcome == "fail"
    assert judge(with_gap(noise, 0.5), clip, rain).continuity.outcome == "reprocess"
    assert judge(noise).cleanliness.outcome == "reprocess"  # the same noise is no bark


@pytest.mark.parametrize("snr_db", [0.0, 5.0])
def test_noise_is_noticed_and_a_clean_tone_without_pause_is_not_noise(snr_db):
    horn = SubEvent("Vehicle horn, car horn, honking", "foreground", 1.0, "a horn")
    t = np.arange(RATE) / RATE
    tone = (0.3 * np.sin(2 * np.pi * 440 * t) * np.hanning(RATE) ** 0.1).astype(np.float32)
    clip = replace(CLIP, labels=("car_horn",))
    assert judge(tone, clip, horn).cleanliness.outcome == "pass"
    assert judge(with_noise(tone, snr_db), clip, horn).cleanliness.outcome == "reprocess"
    assert judge(with_noise(barks(), snr_db)).cleanliness.outcome == "reprocess"


@given(scale=st.floats(0.05, 1.0), pause_s=st.floats(0.0, 1.0))
@settings(max_examples=20, deadline=None)
def test_measurements_follow_what_was_done(scale, pause_s):
    plain = measure(barks())
    scaled = measure((barks() * np.float32(scale)).astype(np.float32))
    assert scaled.loud_dbfs == pytest.approx(plain.loud_dbfs + 20 * np.log10(scale), abs=0.05)
    assert scaled.snr_db == pytest.approx(plain.snr_db, abs=0.1)
    paused = measure(with_gap(barks(), pause_s))
    assert paused.duration_s == pytest.approx(2.0 + pause_s, abs=1e-3)
    assert paused.longest_gap_s >= pause_s - 0.02


@pytest.mark.parametrize("n", [0, 1, 159, 160, 161])
def test_tiny_clips_are_measured_too(n):
    measured = measure(np.full(n, 0.1, np.float32))
    assert measured.duration_s == n / RATE
    assert measured.longest_gap_s == 0.0


def test_nan_is_refused_and_one_peak_is_not_clipping():
    with pytest.raises(ValueError, match="NaN"):
        measure(np.array([0.0, np.nan], np.float32))
    peak = barks()
    peak[100] = 1.0
    assert measure(peak).clipped_share == 0.0
    assert measure(clipped(barks())).clipped_share > 0.05


def test_limits_are_checked():
    with pytest.raises(ValueError, match="shortest"):
        VerifyLimits(shortest=3.0)
    with pytest.raises(ValueError, match="detected"):
        VerifyLimits(detected=1.5)

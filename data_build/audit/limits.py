"""The thresholds of an audit: what decides its exit code."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS, Count, Fraction


@dataclass(frozen=True, config=SETTINGS)
class AuditLimits:
    """What a corpus must reach; each limit is a share.

    Attributes:
        sampled: of at most so many streams of each split, evenly chosen, samples and tokens are
            read: for levels, audibility and tokens. Every record is read in any case.
        recognised: utterances of each task, and of each SNR, that a recogniser transcribes and a
            second aligner times, where the recipe names them (``speech.asr_models``).
        contradictions: contexts that are answered in one stream and not in another, or answered
            otherwise by tasks of another ability.
        alarms_answered: sounds that the intervention policy answers and that are answered.
        early_replies: replies that begin before what they answer could be known.
        unanswered_events: events that deserve a reply and have none.
        inaudible_events: events without a sound in the stream.
        masked_events: sounds that are nowhere as loud as what sounds beside them.
        nameable_noise: streams with a question about sounds that lie over a noise with a name.
        leaks: streams, of all splits but the largest, that share a recording, near-duplicate,
            text or translation with another split.
        shared_speakers: the same, of speakers; 1 where a corpus has too few of them.
        repeats: streams that equal an earlier one.
        round_trip_faults: streams whose tokens do not say what the record says.
        mix_wer: word error rate of what is said in the streams, over all that was recognised.
        early_words: words that are written before their end by the second aligner.
        late_words: words that are written two chunks late or more by it.
    """

    sampled: Count = 200
    recognised: Count = 20
    contradictions: Fraction = 0.0
    alarms_answered: Fraction = 1.0
    early_replies: Fraction = 0.0
    unanswered_events: Fraction = 0.0
    inaudible_events: Fraction = 0.0
    masked_events: Fraction = 0.0
    nameable_noise: Fraction = 0.0
    leaks: Fraction = 0.0
    shared_speakers: Fraction = 0.0
    repeats: Fraction = 0.0
    round_trip_faults: Fraction = 0.0
    mix_wer: Fraction = 0.2
    early_words: Fraction = 0.05
    late_words: Fraction = 0.05

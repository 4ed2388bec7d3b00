"""What a recogniser and a second aligner find in the streams: words in the mix, and their times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Figure, Limit, Measure
from data_build.speech.asr import AsrModel
from data_build.speech.word_times import Aligner, Float32, spoken_units
from soundflow.shards.schema import MixedItem, StreamRecord
from soundflow.text.normalize import primary_language
from soundflow.text.wer import ErrorCount, count_errors

_SHOWN = 5
_SNR_EDGES_DB = (5.0, 10.0, 15.0)
_LATE_CHUNKS = 2


@dataclass(frozen=True)
class Recognisers:
    """Language code -> recogniser, and -> an aligner other than the one of the build."""

    asr_models: Mapping[str, AsrModel] = field(default_factory=dict)
    aligners: Mapping[str, Aligner] = field(default_factory=dict)


def recognised(limits: AuditLimits, recognisers: Recognisers) -> list[Measure]:
    """The measures that the recognisers at hand allow."""
    measures: list[Measure] = []
    if recognisers.asr_models:
        measures.append(MixWer(limits, recognisers.asr_models))
    if recognisers.aligners:
        measures.append(WrittenWords(limits, recognisers.aligners))
    return measures


class MixWer:
    """Word error rate of what is said in the foreground of the streams, by task and by SNR."""

    def __init__(self, limits: AuditLimits, asr_models: Mapping[str, AsrModel]) -> None:
        self._limit = Limit("at_most", limits.mix_wer)
        self._most = limits.recognised
        self._asr_models = asr_models
        self._errors: dict[str, ErrorCount] = {}
        self._counts: Counter[str] = Counter()
        self._all, self._recognised, self._wrong = ErrorCount(), 0, list[str]()

    def add(self, stream: AuditedStream) -> None:
        record = stream.record
        groups = (f"task {record.task}", _snr(record))
        for item in _spoken(record):
            model = self._asr_models.get(primary_language(item.language or "en"))
            if model is None or all(self._counts[group] >= self._most for group in groups):
                continue
            transcript = model.transcribe(_audible(stream, item), item.language or "en")
            errors = count_errors(item.text, transcript, item.language or "en")
            self._all, self._recognised = self._all + errors, self._recognised + 1
            for group in groups:
                self._errors[group] = self._errors.get(group, ErrorCount()) + errors
                self._counts[group] += 1
            if errors.errors:
                self._wrong.append(f"{stream.name}: “{item.text}” is transcribed as “{transcript}”")

    def figures(self) -> Iterator[Figure]:
        if not self._recognised:
            return
        n, shown = self._all.reference_units, tuple(self._wrong[:_SHOWN])
        of = f"{n} words of {self._recognised} utterances"
        yield Figure("WER in the mix", self._all.rate or 0.0, n, self._limit, of, shown)
        for group in sorted(self._errors):
            found, heard = self._errors[group], self._counts[group]
            of = f"{found.reference_units} words of {heard} utterances"
            yield Figure(
                f"WER in the mix, {group}", found.rate or 0.0, found.reference_units, of=of
            )


class WrittenWords:
    """Whether words are written in the chunk in which they end by a second aligner."""

    def __init__(self, limits: AuditLimits, aligners: Mapping[str, Aligner]) -> None:
        self._early_limit = Limit("at_most", limits.early_words)
        self._late_limit = Limit("at_most", limits.late_words)
        self._most = limits.recognised
        self._aligners = aligners
        self._utterances: Counter[str] = Counter()
        self._by: set[str] = set()
        self._off: list[int] = []
        self._early, self._late = list[str](), list[str]()

    def add(self, stream: AuditedStream) -> None:
        record = stream.record
        said = {reply.chunk: reply.text for reply in record.replies}
        for item in _spoken(record):
            language = item.language or "en"
            aligner = self._aligners.get(primary_language(language))
            units = spoken_units(item.text, language)
            written = [
                (chunk, word)
                for chunk in item.reply_chunks
                for word in spoken_units(said[chunk], language)
            ]
            one_by_one = len(item.reply_chunks) > 1 and [word for _, word in written] == units
            if aligner is None or not one_by_one or self._utterances[record.task] >= self._most:
                continue
            words = aligner.align(_audible(stream, item), item.text, language)
            if words is None:
                continue
            self._utterances[record.task] += 1
            self._by.add(aligner.id)
            time = stream.spec.time
            for (chunk, text), word in zip(written, words, strict=True):
                end = min(item.on_samples + time.samples(word.end_s), item.end_samples)
                self._off.append(chunk - time.reply_chunk(end))
                at_s = time.seconds(time.decision_time_samples(chunk))
                told = f"{stream.name}: “{text}” at {at_s:.1f} s ends at {time.seconds(end):.1f} s"
                if self._off[-1] < 0:
                    self._early.append(told)
                elif self._off[-1] >= _LATE_CHUNKS:
                    self._late.append(told)

    def figures(self) -> Iterator[Figure]:
        if not self._off:
            return
        off, n = np.asarray(self._off), len(self._off)
        by = ", ".join(sorted(self._by))
        of = f"{n} words of {self._utterances.total()} utterances, by {by}"
        yield Figure("words in their chunk", float((off == 0).mean()), n, of=of)
        for name, wrong, limit in (
            ("words before their end", self._early, self._early_limit),
            ("words two chunks late or more", self._late, self._late_limit),
        ):
            yield Figure(name, len(wrong) / n, n, limit, of, tuple(wrong[:_SHOWN]))


def _spoken(record: StreamRecord) -> Iterator[MixedItem]:
    return (item for item in record.items if item.text and item.track == "foreground")


def _audible(stream: AuditedStream, item: MixedItem) -> Float32:
    return stream.sample.audio()[item.on_samples : item.end_samples]


def _snr(record: StreamRecord) -> str:
    """The class of the loudest noise under a stream."""
    if not record.noise:
        return "without noise"
    snr_db = min(track.snr_db for track in record.noise)
    low = next((edge for edge in reversed(_SNR_EDGES_DB) if snr_db >= edge), None)
    return f"SNR from {low:g} dB" if low is not None else f"SNR under {_SNR_EDGES_DB[0]:g} dB"

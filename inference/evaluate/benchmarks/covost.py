"""CoVoST 2: translated speech, with BLEU, chrF and how far the translation lags behind.

As published (github.com/facebookresearch/covost) beside Common Voice 4, a folder for each source
language; or as a stored data set with the columns ``audio``, ``translation``, ``id``::

    <data>/en/clips/common_voice_en_1.mp3
    <data>/en/covost_v2.en_zh-CN.test.tsv       path, sentence, translation, client_id

*Streaming* asks for the translation while it is spoken, in a stream; *offline* hears the recording
to its end and is then asked for it, in an offline exchange, which has no latency to measure.

Scores are those of sacreBLEU, with its signature; the tokeniser is ``zh`` for Chinese, ``13a`` for
everything else. Their intervals are bootstrapped over the statistics of the sentences.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydantic.dataclasses

from inference.evaluate.audio_items import audio_item
from inference.evaluate.benchmarks.emission import atd, aware, emitted, laal
from inference.evaluate.outcome import Outcome
from inference.evaluate.published import Row, read_rows, require_columns
from inference.evaluate.settings import BenchmarkConfig, Mode, Pause
from inference.evaluate.statistics.counts import item_share
from inference.evaluate.statistics.figures import Array, Draws, Figure, ratio, with_interval
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.task import Exchange, Item, Summary
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError, not_installed
from soundflow.protocol.timebase import TimeBase, to_seconds
from soundflow.text.normalize import primary_language, units

INSTRUCTIONS: dict[Mode, str] = {
    "streaming": "Translate the {source} speech into {target} as it is spoken.",
    "offline": "Translate the {source} speech into {target}.",
}
LANGUAGES = {"en": "English", "zh": "Chinese", "de": "German", "fr": "French", "ja": "Japanese"}


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class CovostConfig(BenchmarkConfig):
    """CoVoST 2.

    Attributes:
        data: the folder that holds a folder for each source language, or a stored data set.
        pairs: source and target as the files name them: ``en_zh-CN``, ``zh-CN_en``.
        instructions: what each mode is asked; ``{source}`` and ``{target}`` are names of languages.
            The modes that are named are measured.
        pause_s: silence after every recording, in which the rest can be translated.
    """

    pairs: tuple[str, ...] = ("en_zh-CN", "zh-CN_en")
    split: str = "test"
    instructions: dict[Mode, str] = field(default_factory=lambda: dict(INSTRUCTIONS))
    pause_s: Pause = 4.0

    def __post_init__(self) -> None:
        for pair in self.pairs:
            if len(pair.split("_")) != 2:
                raise ValueError(f"pairs: {pair!r} is no pair of languages such as en_zh-CN")


@dataclass(frozen=True)
class Translated:
    """``source_s``: length of the recording without the pause after it."""

    translation: str
    source_s: float


@dataclass(frozen=True)
class TranslationRow:
    """Latencies are in seconds; None offline, without a translation, or where not measured.

    Attributes:
        laal_aware_s, atd_aware_s: with the computation.
    """

    hypothesis: str
    reference: str
    laal_s: float | None
    laal_aware_s: float | None
    atd_s: float | None
    atd_aware_s: float | None
    failed: bool


@dataclass(frozen=True)
class CovostTask:
    """See the top of this module."""

    config: CovostConfig
    pair: str
    mode: Mode
    time: TimeBase
    threshold: float | None = None
    lead: str = (
        "BLEU and chrF of all replies to a recording; one without a reply is an empty translation. "
        "LAAL and ATD are over the recordings with one; their n says how many."
    )
    row_type: type[TranslationRow] = field(default=TranslationRow, repr=False)

    @property
    def name(self) -> str:
        return f"covost_{self.pair}_{self.mode}".lower().replace("-", "_")

    @property
    def title(self) -> str:
        return f"CoVoST 2 {self.source} to {self.target}, {self.mode}"

    @property
    def source(self) -> str:
        return self.pair.split("_")[0]

    @property
    def target(self) -> str:
        return self.pair.split("_")[1]

    def items(self) -> list[Item[Translated]]:
        asked = self.config.instructions[self.mode].format(
            source=_language(self.source), target=_language(self.target)
        )
        offline = self.mode == "offline"
        system, exchange = (None, Exchange(asked)) if offline else (asked, None)
        pause_s, found = self.config.pause_s, []
        for name, row in self._recordings()[: self.config.max_items]:
            item = audio_item(name, row.audio, None, pause_s=pause_s, system=system)
            source_s = max(0.0, to_seconds(item.n_samples) - pause_s)
            reference = Translated(str(row.fields["translation"]), source_s)
            found.append(Item(name, item.n_samples, item.open, reference, system, exchange))
        return found

    def baselines(self) -> list[Baseline[Translated]]:
        return [baselines.never(), baselines.always(self.time)]

    def score(self, item: Item[Translated], outcome: Outcome) -> TranslationRow:
        reference = item.reference
        words = emitted(outcome) if self.mode == "streaming" else []
        heard = [w.at_s for w in words]
        late = aware(words)
        n_units = len(units(reference.translation, self.target))
        of = reference.source_s
        return TranslationRow(
            outcome.text, reference.translation,
            laal(heard, of, n_units), None if late is None else laal(late, of, n_units),
            atd(heard, heard, of), None if late is None else atd(late, heard, of),
            outcome.failure is not None,
        )  # fmt: skip

    def summarise(self, rows: Sequence[TranslationRow]) -> Summary:
        draws = Draws.of(len(rows))
        lags = {
            name: _over_known([getattr(row, name) for row in rows], draws)
            for name in ("laal_s", "laal_aware_s", "atd_s", "atd_aware_s")
            if self.mode == "streaming"
        }
        lags["failed"] = item_share([row.failed for row in rows])
        signature = (
            f"covost:1|{self.pair}|{self.mode}|unit:word, Han character|"
            f"source:length of the recording|chunk:{self.time.chunk_s:g}s"
        )
        scores = {
            "bleu": _score(_metric("BLEU", tokenize=_tokeniser(self.target)), rows, draws),
            "chrf": _score(_metric("CHRF"), rows, draws),
        }
        return Summary({**scores, **{name: f.signed(signature) for name, f in lags.items()}})

    def right(self, row: TranslationRow) -> tuple[bool, ...]:
        return ()

    def _recordings(self) -> list[tuple[str, Row]]:
        folder = Path(self.config.data) / self.source
        table = folder / f"covost_v2.{self.pair}.{self.config.split}.tsv"
        if table.is_file():
            return [(str(r.fields["path"]), r) for r in _read_table(table, folder / "clips")]
        rows = read_rows(
            self.config.data, ["translation"], split=self.config.split, subset=self.pair
        )
        return [(str(r.fields.get("id") or f"{k:05d}"), r) for k, r in enumerate(rows)]


def covost_tasks(config: CovostConfig, time: TimeBase) -> list[CovostTask]:
    return [
        CovostTask(config, pair, mode, time)
        for pair in config.pairs
        for mode in config.instructions
    ]


def _language(code: str) -> str:
    short = primary_language(code)
    return LANGUAGES.get(short, short)


def _tokeniser(target: str) -> str:
    return "zh" if primary_language(target) == "zh" else "13a"


def _read_table(path: Path, clips: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            # As published: no quoting, although sentences hold quotes.
            lines = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error!r})", "download it again") from error
    require_columns(path, lines[0] if lines else {}, ["path", "translation"])
    return [Row(line, partial(Path, clips / line["path"])) for line in lines]


def _metric(name: str, **options: Any) -> Any:
    try:
        import sacrebleu
    except ImportError as error:
        raise not_installed("sacrebleu, which scores translations,", "benchmarks") from error
    return getattr(sacrebleu, name)(**options)


def _score(metric: Any, rows: Sequence[TranslationRow], draws: Draws) -> Figure:
    """The score of the corpus; its statistics add up over sentences, so resampling is a sum.

    sacreBLEU resamples in the same way (`_extract_corpus_statistics`), with other draws.
    """
    if not rows:
        return Figure(None)
    hypotheses = [row.hypothesis for row in rows]
    references = [[row.reference for row in rows]]
    value = float(metric.corpus_score(hypotheses, references).score)
    of_sentences = np.array(metric._extract_corpus_statistics(hypotheses, references), np.float64)
    sums: Array = draws.counts @ of_sentences
    resampled = np.array(
        [metric._compute_score_from_stats([int(v) for v in one]).score for one in sums]
    )
    figure = with_interval(value, float(len(rows)), resampled)
    return figure.signed(f"sacrebleu {metric.get_signature().format(short=False)}")


def _over_known(values: Sequence[float | None], draws: Draws) -> Figure:
    return ratio([v or 0.0 for v in values], [v is not None for v in values], draws)

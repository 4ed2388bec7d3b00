"""The recipe of a build: plain data, checked before any work begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import NonNegativeFloat
from pydantic.dataclasses import dataclass

from data_build.audit.limits import AuditLimits
from data_build.chat_use import ChatUse
from data_build.compose.config import ComposeConfig
from data_build.labelling.policy import CuedSound, Policy, policy
from data_build.pools.prepare import PrepareConfig
from data_build.randomness import digest
from data_build.scenes.config import ScenesConfig
from data_build.sources.catalogue import corpus_named
from data_build.sources.source import SourceConfig
from data_build.speech.setup import SpeechConfig
from data_build.synth.kinds import KINDS, SyntheticConfig
from data_build.tasks.config import CueConfig, TasksConfig
from data_build.tasks.table import FORMS, TASKS, is_conversation, may_warn, rules_of
from data_build.wording.check import check_line
from data_build.wording.files import Language
from data_build.wording.grammar import parse, references
from data_build.wording.wording import SplitWording, Wording, WordingConfig
from soundflow.config.record import to_plain
from soundflow.config.settings import SETTINGS, Count, Fraction, Hours, Seed, SplitName, Workers
from soundflow.errors import UserError, did_you_mean
from soundflow.protocol.stream_config import StreamConfig
from soundflow.protocol.timebase import SLOT_SAMPLES, to_seconds


@dataclass(frozen=True, config=SETTINGS)
class SplitConfig:
    """One sub-folder of the output. Splits share no voice, no take, no recording and no speaker.

    Attributes:
        streams: how many streams to make; or else
        hours: how many hours of stream, up to the end of the stream that completes them.
        voices: how many voices it has.
        takes: how many takes there are of each synthesised sound that is no noise.
        weight: of this split among the recordings and texts.
        tasks: task -> weight among the streams.
        offline: form of an offline sample (a_t_t, a_t, t_t) -> weight, in the same measure.
    """

    streams: Count | None = None
    hours: Hours | None = None
    voices: Count = 8
    takes: Count = 8
    weight: NonNegativeFloat = 1.0
    tasks: dict[str, NonNegativeFloat] = field(default_factory=lambda: {"answer_cues": 1.0})
    offline: dict[str, NonNegativeFloat] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.streams is None) == (self.hours is None):
            given = "neither" if self.streams is None else "both (streams=null unsets one)"
            raise ValueError(f"expected one of streams and hours, got {given}")
        for field_name, known in (("tasks", tuple(TASKS)), ("offline", tuple(FORMS))):
            for name in getattr(self, field_name):
                if name not in known:
                    tail = did_you_mean(name, known)
                    raise ValueError(f"{field_name}.{name} is unknown; {tail}")
        if sum(self.weights.values()) <= 0:
            raise ValueError(f"tasks: one weight must be positive, got {self.weights}")

    @property
    def weights(self) -> dict[str, float]:
        """Task or form -> weight among the samples."""
        return {**self.tasks, **self.offline}

    def content(self) -> Any:
        """The settings that every stream of the split depends on."""
        return {k: v for k, v in to_plain(self).items() if k not in ("streams", "hours")}


@dataclass(frozen=True, config=SETTINGS)
class BuildRecipe:
    """A whole build.

    Attributes:
        output: folder that takes one sub-folder a split, the tables and the clip cache.
        sources: corpora to read recordings from; none are needed where everything is synthesised.
        texts: files of sentences and dialogues to be spoken (`data_build.collect.texts`), or of
            rules that make them (`data_build.collect.text_rules`).
        cues: named sounds and phrases, with the reply that each deserves.
        synthetic: sounds that are synthesised.
        noise_labels: labels of recordings that serve as noise, beside those whose kind is noise.
        vocabulary: "tiny", or the folder of a tokenizer.
        stream: how long a chunk is and how features are scaled; shards, checkpoint and engine
            take it from here.
        system: a text before every stream, in front of its written instruction.
        policy: a table of the columns of data_build/labelling/interventions.tsv that adds to it
            and overrides it; the cues override both.
        wording: what instructions, questions and replies may say, and in which languages.
        speech: how texts are spoken and how renderings are checked.
        scenes: how scenes are planned and what grounds them.
        prepare: requirements on recordings, and their preprocessing.
        tasks: settings of the tasks.
        compose: gaps, levels and noise.
        audit: what the finished corpus must reach (`soundflow audit`).
        llm: a chat model and the decisions that it makes; by default the rules make all.
        workers: processes; 0 is one for each core.
        max_dropped_share: above this share of lost items the build fails.
    """

    output: Annotated[str, MinLen(1)]
    splits: Annotated[dict[SplitName, SplitConfig], MinLen(1)]
    sources: tuple[SourceConfig, ...] = ()
    texts: tuple[str, ...] = ()
    cues: tuple[CueConfig, ...] = ()
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    noise_labels: tuple[str, ...] = ()
    seed: Seed = 0
    vocabulary: str = "tiny"
    stream: StreamConfig = field(default_factory=StreamConfig)
    system: str = ""
    policy: str | None = None
    wording: WordingConfig = field(default_factory=WordingConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    scenes: ScenesConfig = field(default_factory=ScenesConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    tasks: TasksConfig = field(default_factory=TasksConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)
    audit: AuditLimits = field(default_factory=AuditLimits)
    llm: ChatUse | None = None
    streams_per_shard: Count = 100
    workers: Workers = 0
    max_dropped_share: Fraction = 0.05

    def __post_init__(self) -> None:
        names = [c.name for c in self.cues]
        if len(set(names)) < len(names):
            raise ValueError(f"cues: names must be unique, got {sorted(names)}")
        if not (self.cues or self.sources or self.texts or self.synthetic.sounds):
            raise ValueError("cues, sources, texts, synthetic.sounds: at least one is needed")
        for number, source in enumerate(self.sources):
            try:
                corpus_named(source.corpus)
            except UserError as error:
                raise ValueError(f"sources.{number}: {error.message}") from None
            if source.check and not self.speech.asr_models:
                raise ValueError(f"sources.{number}.check: there is no model in speech.asr_models")
        if not any(split.weight > 0 for split in self.splits.values()):
            raise ValueError("splits: one weight must be positive")
        counted = any(s.tasks.get("count_sounds", 0) > 0 for s in self.splits.values())
        if counted and self.tasks.counting.sound not in names:
            raise ValueError(f"tasks.counting.sound names no cue: {self.tasks.counting.sound!r}")

    @property
    def longest_speech_s(self) -> float:
        """The longest speech that fits a stream after the longest gap; longer recordings are cut to
        it."""
        gap_s = self.compose.gap_slots[1] * to_seconds(SLOT_SAMPLES)
        return min(self.prepare.max_s, self.compose.max_chunks * self.stream.chunk_s - gap_s)

    @property
    def languages(self) -> tuple[str, ...]:
        """All in which a stream may be: that of most streams, then each that has wording."""
        return tuple(dict.fromkeys((self.wording.main_language, *self.wording.read().languages)))

    def intervention_policy(self) -> Policy:
        """Which sounds deserve a reply in this build.

        Raises:
            UserError: if the file of the policy cannot be used.
        """
        cues = [
            CuedSound(
                cue.name, KINDS[cue.sound].label if cue.sound in KINDS else cue.label, cue.planned
            )
            for cue in self.cues
        ]
        return policy(cues, self.policy)

    def read_wording(self) -> Wording:
        """All that may be said beside the texts of the sources.

        Raises:
            UserError: if a wording file cannot be used, a language lacks rules that the tasks use,
                or a line of a cue, of the counting or of the policy cannot be said by these rules.
        """
        found = self.wording.read()
        for code, language in found.languages.items():
            used = self._rules_used(in_any_task=found.weights.get(code, 0.0) > 0)
            missing = {rule: task for rule, task in used.items() if rule not in language.rules}
            if missing:
                rules = ", ".join(f"<{rule}>" for rule in missing)
                tasks = ", ".join(dict.fromkeys(missing.values()))
                raise UserError(
                    f"wording in {code!r} lacks rules that {tasks} need: {rules}",
                    "add them to a file of that language under wording.files",
                )
        streams = tuple(found.languages[code] for code in found.weights)
        for where, line, language, kinds in self._lines(found, streams):
            examples = {"s": language.noun("a sound"), "n": language.number(1)}
            check_line(where, line, language.rules, {kind: examples[kind] for kind in kinds})
        return found

    def _rules_used(self, in_any_task: bool) -> dict[str, str]:
        """The rules that a language needs -> a task that uses each.

        Args:
            in_any_task: whether streams are in it; else it is spoken in conversations alone, where
                the material has any.
        """
        used, warned = dict[str, str](), ""
        for split in self.splits.values():
            tasks = {n: w for n, w in split.tasks.items() if in_any_task or is_conversation(n)}
            used |= rules_of(tasks, split.offline if in_any_task else {})
            warned = warned or next((n for n, w in tasks.items() if w > 0 and may_warn(n)), "")
        if warned:
            replies = (row.reply for row in policy().rows.values() if row.reply is not None)
            lines = (reference for r in replies for reference in references(parse(r.text)))
            used |= {str(reference)[1:-1]: warned for reference in lines}
        return used

    def _lines(
        self, found: Wording, streams: tuple[Language, ...]
    ) -> Iterator[tuple[str, str, Language, str]]:
        """Lines of the recipe and its policy: where each stands, its language, and its slots."""
        for cue in self.cues:
            of_cue = found.of(cue.language)
            for language in (of_cue,) if of_cue else streams:
                yield f"cue {cue.name!r}: say", cue.say or "", language, ""
            for language in streams:
                yield f"cue {cue.name!r}: reply", cue.reply or "", language, ""
        counting = self.tasks.counting
        counted = any(split.tasks.get("count_sounds", 0) > 0 for split in self.splits.values())
        for language in streams if counted else ():
            yield "tasks.counting.instruction", counting.instruction, language, "s"
            yield "tasks.counting.reply", counting.reply, language, "s"
            for line in counting.words:
                yield "tasks.counting.words", line, language, "n"
        if self.policy is not None:
            rows = policy(file=self.policy).rows
            own = {name: row.reply for name, row in rows.items() if row.by != "rules" and row.reply}
            for name, reply in own.items():
                for language in streams:
                    yield f"policy: {self.policy}: {name!r}", reply.text, language, ""

    def split_wordings(self, found: Wording | None = None) -> dict[str, SplitWording]:
        """Split -> the texts of the wording that it may say.

        Args:
            found: by default the wording of the files.

        Raises:
            UserError: as `read_wording`.
        """
        found = found or self.read_wording()
        weights = {name: split.weight for name, split in self.splits.items()}
        return {name: SplitWording.of(found, name, weights) for name in self.splits}

    def content(self) -> Any:
        """The settings that every stream depends on, without output folder and workers."""
        operational = (
            "output",
            "workers",
            "max_dropped_share",
            "audit",
            "splits",
            "sources",
            "texts",
        )
        plain = {k: v for k, v in to_plain(self).items() if k not in operational}
        if plain["llm"] is not None:  # where the model runs changes nothing that it says
            chat = plain["llm"]["chat"]
            model = {k: v for k, v in chat.items() if k not in ("endpoint", "cache_dir")}
            plain["llm"] = {**plain["llm"], "chat": model}
        if self.scenes.generator is not None:  # nor what a generator makes
            made_by = {k: v for k, v in plain["scenes"]["generator"].items() if k != "endpoint"}
            plain["scenes"] = {**plain["scenes"], "generator": made_by}
        # Where the sources lie and which texts there are shows in the tables.
        plain["wording"] = self.read_wording().key
        if self.policy is not None:
            plain["policy"] = digest(sorted(map(repr, self.intervention_policy().rows.items())))
        return plain

"""What there is to hear or say, dealt to the splits: a speaker or group stays on one side.

::

    recordings ─┐                         ┌─ cue, speech, noise, translated, dialogues
    texts ──────┼─▶ (split, use, item) ─▶ ┤
    made ───────┘   in a fixed order      └─ sounds ─▶ judged ─▶ alarms, benign sounds
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from data_build.chat.client import ChatClient
from data_build.chat.use import asked_for, chat_client
from data_build.pools.judge import ALARM, judged
from data_build.pools.texts import read_texts
from data_build.quota import furthest_behind
from data_build.randomness import digest
from data_build.recipe import BuildRecipe, SplitConfig
from data_build.records import Clip, Dialogue, Unspoken
from data_build.sources.catalogue import read
from data_build.sources.source import Report
from data_build.speech.speech_source import OWN_PHRASES
from data_build.synth.clips import synthesised_clip
from data_build.synth.kinds import sound_kind
from data_build.tasks.config import CueConfig
from data_build.tasks.taxonomy import Need, needs_of, task_named

INSTRUCTION = "counting instruction"  # a cue of ours beside those of the recipe
SPEECH, EVENT_NOISE, AMBIENT_NOISE = "speech", "event noise", "ambient noise"
TRANSLATED, DIALOGUES, SOUNDS = "translated", "dialogues", "sounds"
ALARMS, BENIGNS = "alarms", "benign sounds"
CHAT_CACHE = "chat"

Dealt = tuple[str, str, Clip | Dialogue]
_BATCH = 1_000  # sounds judged together
_NEEDED: dict[str, Need] = {TRANSLATED: "translated", DIALOGUES: "dialogues", SOUNDS: "sounds"}


def dealt(recipe: BuildRecipe, folder: Path, report: Report) -> Iterator[Dealt]:
    """(split, use, item) for everything that the tasks of the recipe draw from.

    Raises:
        UserError: if a source or text is missing.
    """
    client = asked_for("silence", recipe.llm, chat_client(recipe.llm, folder / CHAT_CACHE))
    wants = {name: needs_of(c.tasks, c.offline) for name, c in recipe.splits.items()}
    judging = {name for name, config in recipe.splits.items() if _judges(config)}
    waiting: list[tuple[str, Clip]] = []
    for split, use, item in chain(_recorded(recipe, report), _texts(recipe, report), _made(recipe)):
        if use == SOUNDS and split in judging and isinstance(item, Clip):
            waiting.append((split, item))
            if len(waiting) == _BATCH:
                yield from _judged(waiting, client, report)
                waiting = []
        if use not in _NEEDED or _NEEDED[use] in wants[split]:
            yield split, use, item
    yield from _judged(waiting, client, report)


def instruction_cue(recipe: BuildRecipe) -> CueConfig:
    counting = recipe.abilities.counting
    return CueConfig(INSTRUCTION, say=counting.instruction, reply=counting.reply)


def _judges(config: SplitConfig) -> bool:
    """Whether any task of a split asks which sounds deserve a word."""
    tasks = [task_named(name) for name, share in config.tasks.items() if share > 0]
    return any("judged" in t.needs or t.interleaved or t.name == "stay_silent" for t in tasks)


def _judged(
    waiting: list[tuple[str, Clip]], client: ChatClient | None, report: Report
) -> Iterator[Dealt]:
    for split in dict.fromkeys(split for split, _ in waiting):
        clips = [clip for home, clip in waiting if home == split]
        for verdict, clip in judged(clips, client, report):
            yield split, ALARMS if verdict == ALARM else BENIGNS, clip


def _made(recipe: BuildRecipe) -> Iterator[Dealt]:
    """Phrases still to be spoken, takes of each sound."""
    for split, config in recipe.splits.items():
        cues = list(recipe.cues)
        if config.tasks.get("count_sounds", 0) > 0:
            cues.append(instruction_cue(recipe))
        for cue in cues:
            if cue.say is not None:
                yield split, cue.name, _phrase(cue.name, cue.say, cue.language)
            elif cue.sound is not None:
                for take in range(config.takes):
                    seed = (recipe.seed, split, cue.name, take)
                    yield split, cue.name, synthesised_clip(cue.sound, *seed)
        for use, kinds in (
            (EVENT_NOISE, recipe.material.event_noise),
            (AMBIENT_NOISE, recipe.material.ambient_noise),
        ):
            for kind in kinds:
                for take in range(max(1, config.takes // 4)):
                    seed = (recipe.seed, split, use, take)
                    yield split, use, synthesised_clip(kind, *seed, seconds=recipe.material.noise_s)
        for kind in recipe.material.sounds:
            texture = sound_kind(kind).role != "foreground"
            seconds = recipe.material.noise_s / 2 if texture else None
            for take in range(config.takes):
                seed = (recipe.seed, split, SOUNDS, take)
                yield split, SOUNDS, synthesised_clip(kind, *seed, seconds=seconds)


def _phrase(name: str, text: str, language: str) -> Clip:
    return Clip(f"cue/{name}", "speech", Unspoken(), OWN_PHRASES, text=text, language=language)


def _texts(recipe: BuildRecipe, report: Report) -> Iterator[Dealt]:
    """Sentences and dialogues of text files; a text stays on one side."""
    shares = {name: s.share for name, s in recipe.splits.items()}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name in recipe.texts:
        for item in read_texts(Path(name), report):
            home = _home(shares, counts[_kind_of(item)])
            yield from ((home, use, item) for use in _text_uses(item))


def _recorded(recipe: BuildRecipe, report: Report) -> Iterator[Dealt]:
    """Clips and dialogues of the sources; a speaker or group stays on one side."""
    shares = {name: s.share for name, s in recipe.splits.items()}
    by_label = {c.label: c.name for c in recipe.cues if c.label is not None}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    homes: dict[tuple[str, str], str] = {}
    for source in recipe.sources:
        for item in read(source, report):
            if isinstance(item, Dialogue):
                yield _home(shares, counts[DIALOGUES]), DIALOGUES, item
                continue
            for use in _uses(item, by_label, recipe.material.noise_labels):
                # What a speaker says and its translation must not part.
                kind = SPEECH if use == TRANSLATED else use
                group = (kind, item.speaker or item.group)
                home = homes.get(group)
                if home is None:
                    home = _home(shares, counts[use])
                    if group[1]:  # a clip of nobody has no companions to keep together
                        homes[group] = home
                yield home, use, item


def _home(shares: Mapping[str, float], counts: Counter[str]) -> str:
    """The split that is furthest behind its share."""
    home = furthest_behind(shares, counts)
    counts[home] += 1
    return home


def _kind_of(item: Clip | Dialogue) -> str:
    """Texts are dealt evenly within a kind: per language and, for dialogues, by their length."""
    if isinstance(item, Clip):
        return digest(item.language, bool(item.translation))
    emotions = any(turn.emotion != "normal" for turn in item.turns)
    return digest(item.language, min(len(item.turns), 3), emotions)


def _text_uses(item: Clip | Dialogue) -> tuple[str, ...]:
    if isinstance(item, Dialogue):
        return (DIALOGUES,)
    return (SPEECH, TRANSLATED) if item.translation else (SPEECH,)


def _uses(clip: Clip, by_label: Mapping[str, str], noise_labels: tuple[str, ...]) -> list[str]:
    if clip.kind == "speech":
        if not clip.text:
            return []
        return [SPEECH, TRANSLATED] if clip.translation else [SPEECH]
    uses = [by_label[label] for label in clip.labels if label in by_label]
    noise = clip.kind == "noise" or bool(set(clip.labels) & set(noise_labels))
    if noise:
        uses.append(EVENT_NOISE if clip.texture == "event" else AMBIENT_NOISE)
    elif clip.labels or clip.caption or clip.question:
        uses.append(SOUNDS)
    return uses

"""Everything a split can be composed from: the takes of every cue, and the noise pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data_build.abilities.config import CueConfig
from data_build.material.cast import cast
from data_build.material.render import Job, Spoken, Synthesised
from data_build.records import Clip, Drop
from data_build.recipe import BuildRecipe
from soundflow.errors import UserError

INSTRUCTION = "counting instruction"  # the cue of the counting task; its name is not the user's


@dataclass(frozen=True)
class Cue:
    """A cue and its takes in one split."""

    config: CueConfig
    takes: tuple[Clip, ...]


@dataclass(frozen=True)
class Library:
    """What one split is made from."""

    cues: tuple[Cue, ...]
    instruction: Cue | None
    event_noise: tuple[Clip, ...]
    ambient_noise: tuple[Clip, ...]


@dataclass(frozen=True)
class Wanted:
    """A clip to render: for which split, and as what."""

    split: str
    use: str  # a cue's name, "event_noise" or "ambient_noise"
    job: Job


def instruction_cue(recipe: BuildRecipe) -> CueConfig:
    counting = recipe.counting
    return CueConfig(INSTRUCTION, say=counting.instruction, reply=counting.reply)


def wanted(recipe: BuildRecipe) -> list[Wanted]:
    """Every clip that has to be rendered, in a fixed order."""
    voices = cast(recipe.material, recipe.seed, {n: s.voices for n, s in recipe.splits.items()})
    jobs: list[Wanted] = []
    for split, config in recipe.splits.items():
        cues = list(recipe.cues)
        if config.tasks.get("counting", 0) > 0:
            cues.append(instruction_cue(recipe))
        for cue in cues:
            if cue.say is not None:
                jobs += [Wanted(split, cue.name, Spoken(cue.say, v)) for v in voices[split]]
            elif cue.sound is not None:
                jobs += [
                    Wanted(
                        split, cue.name, Synthesised(cue.sound, (recipe.seed, split, cue.name, i))
                    )
                    for i in range(config.takes)
                ]
        for use in ("event_noise", "ambient_noise"):
            kinds: tuple[str, ...] = getattr(recipe.material, use)
            jobs += [
                Wanted(
                    split,
                    use,
                    Synthesised(kind, (recipe.seed, split, use, kind, i), recipe.material.noise_s),
                )
                for kind in kinds
                for i in range(max(1, config.takes // 4))
            ]
    return jobs


def library(
    recipe: BuildRecipe, split: str, wanted: Sequence[Wanted], clips: Sequence[Clip | Drop]
) -> Library:
    """Sorts the rendered clips of ``split`` into its library.

    Raises:
        UserError: if a cue has no take at all.
    """
    by_use: dict[str, list[Clip]] = {}
    for want, clip in zip(wanted, clips, strict=True):
        if want.split == split and isinstance(clip, Clip):
            by_use.setdefault(want.use, []).append(clip)
    missing = [c.name for c in recipe.cues if not by_use.get(c.name)]
    if missing:
        raise UserError(
            f"split {split!r}: no take of {', '.join(missing)} could be made",
            "see drops.jsonl in the output for the reasons",
        )
    takes = by_use.get(INSTRUCTION)
    return Library(
        cues=tuple(Cue(c, tuple(by_use[c.name])) for c in recipe.cues),
        instruction=Cue(instruction_cue(recipe), tuple(takes)) if takes else None,
        event_noise=tuple(by_use.get("event_noise", ())),
        ambient_noise=tuple(by_use.get("ambient_noise", ())),
    )

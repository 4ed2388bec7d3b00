"""The voices of a split: base voices bent by factors that no other split uses."""

from __future__ import annotations

from data_build.pools.config import PoolsConfig
from data_build.randomness import generator
from data_build.records import Voice


def cast(config: PoolsConfig, seed: int, counts: dict[str, int]) -> dict[str, list[Voice]]:
    """Split -> its voices. A speaker (`Voice.id`) appears in one split only.

    Splits draw in the order of their names, each from a generator of its own; a draw that was
    taken before is drawn again.

    Raises:
        ValueError: if there are not enough different voices in the ranges.
    """
    taken: set[str] = set()
    voices: dict[str, list[Voice]] = {}
    for split in sorted(counts):
        rng = generator(seed, "cast", split)
        voices[split] = []
        for number in range(counts[split]):
            engine, name = config.voices[number % len(config.voices)].split(":")
            for _ in range(200):
                warp, pitch, rate = (
                    round(float(rng.uniform(*bounds)), 2)
                    for bounds in (config.warp, config.pitch, config.rate)
                )
                voice = Voice(engine, name, config.language, warp, pitch, rate)
                if voice.id not in taken:
                    break
            else:
                raise ValueError(f"voices: {split} finds no new voice; widen warp or pitch")
            taken.add(voice.id)
            voices[split].append(voice)
    return voices

"""Believable scenes for one split: a bag of its clips, planned, refined and grounded."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_build.drops import Drop, Dropped
from data_build.records import Clip
from data_build.scenes.curator import CuratedScene, Curator
from data_build.scenes.retrieval import ClipLibrary

BAG = 10  # clips a scene is planned from


@dataclass(frozen=True)
class SceneSource:
    """Makes scenes from the sounds of a split; the same generator gives the same scene."""

    curator: Curator
    sounds: Sequence[Clip]

    def scene(self, seed: str, rng: np.random.Generator) -> tuple[CuratedScene, list[Drop]]:
        """A scene, and the events of it that found no clip.

        Raises:
            Dropped: if the bag gives none.
        """
        count = min(BAG, len(self.sounds))
        bag = [self.sounds[int(i)] for i in rng.integers(len(self.sounds), size=count)]
        curated = self.curator.curate(list({clip.id: clip for clip in bag}.values()), seed)
        if not curated.scenes:
            last = (
                curated.drops[-1]
                if curated.drops
                else Drop("plan_scene", seed, "no scene", "choice")
            )
            raise Dropped(last)
        return curated.scenes[int(rng.integers(len(curated.scenes)))], list(curated.drops)


def write_clip_library(folder: Path, clips: Iterable[Clip]) -> None:
    """Makes the searchable library of a split, once; two tasks may do it at the same time."""
    if folder.is_dir():
        return
    mine = folder.with_name(f".{folder.name}.{socket.gethostname()}.{os.getpid()}")
    shutil.rmtree(mine, ignore_errors=True)
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it reports every step by default
    try:
        ClipLibrary(mine).add(clips)
        mine.rename(folder)
    except OSError:
        if not folder.is_dir():  # another task was quicker, or else the disk says why
            raise
    finally:
        shutil.rmtree(mine, ignore_errors=True)

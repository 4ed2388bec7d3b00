"""TFJP where clips meet: no silence of their own on top of the gap between them.

::

    clip  ▁▁▁▂▇▇▆▂▁▁▁▁▁│gap│▁▁▁▃▇▇▂▁▁  clip        the silent ends that boundary_norm leaves,
    clip      ▁▂▇▇▆▂▁▁ │gap│ ▁▃▇▇▂▁    clip        cut to half of tau on each side, then faded

silence_cut works inside a clip; at a junction the end of one clip, the gap and the beginning of the
next make one silence, of which the gap alone is meant (method, section 2.4).
"""

from __future__ import annotations

from dataclasses import replace

from data_build.pools.prepare import PreparedClip
from soundflow.audio.level import audible_span


def at_junction(clip: PreparedClip, silence_samples: int) -> PreparedClip:
    """A preprocessed recording with at most half of ``silence_samples`` at either end.

    Clips that were made for their length (renderings, synthesised sounds) stay as they are.
    """
    if clip.report is None:
        return clip
    on, end = audible_span(clip.samples)
    start = max(0, on - silence_samples // 2)
    stop = min(len(clip.samples), end + silence_samples // 2)
    return replace(clip, samples=clip.samples[start:stop], skipped_samples=start)

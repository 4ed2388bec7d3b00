"""Which channels of a recording are mixed to mono, and warnings about them.

Plain averaging turns a pair in opposite phase into silence, and halves the level where one channel
is dead. Both are decided once, over the whole recording or, where it is heard as it arrives, over
its first audible second; so its level never jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

DEAD_DB = -60.0  # below the loudest channel
_CANCELS_BELOW = 0.25  # of the power that unrelated channels would leave
_CANCELLED_SHARE = 0.02  # of the energy: some milliseconds of chance cancellation are no matter
_MAX_DC = 0.02
_LIVE_CHOICE_S = 1.0
_AUDIBLE = 1e-4  # of full scale


@dataclass(frozen=True)
class Mixdown:
    """The channels to average, and warnings, each one sentence part ("channel 2 is silent ...")."""

    channels: tuple[int, ...]
    warnings: tuple[str, ...] = ()

    def mix(self, block: Float32) -> Float32:
        """(n, channels) -> (n,)."""
        if len(self.channels) == 1:
            return block[:, self.channels[0]]
        chosen = block if len(self.channels) == block.shape[1] else block[:, self.channels]
        mono: Float32 = chosen.mean(axis=1, dtype=np.float32)
        return mono


def choose_channels(blocks: Iterable[Float32], n_channels: int) -> Mixdown:
    """Looks at a whole recording, (n, channels) at a time.

    A channel 60 dB below the loudest is left out. Where the average of the channels would cancel
    their content (their power falls 6 dB below that of unrelated channels), the loudest is used
    alone.
    """
    if n_channels == 1:
        return Mixdown((0,))
    power = np.zeros(n_channels)
    cancelled = total = 0.0
    for block in blocks:
        moving = block.astype(np.float64) - block.mean(axis=0, dtype=np.float64)
        energy = (moving**2).sum(axis=0)
        left = float((moving.mean(axis=1) ** 2).sum())
        unrelated = float(energy.sum()) / n_channels**2
        power += energy
        total += float(energy.sum())
        if left < _CANCELS_BELOW * unrelated:
            cancelled += float(energy.sum())
    loudest = int(power.argmax())
    alive = np.nonzero(power > power[loudest] * 10 ** (DEAD_DB / 10))[0]
    if total == 0.0:
        return Mixdown(tuple(range(n_channels)))
    if cancelled > _CANCELLED_SHARE * total:
        return Mixdown(
            (loudest,), (f"its channels cancel each other: channel {loudest + 1} is used alone",)
        )
    if len(alive) == n_channels:
        return Mixdown(tuple(range(n_channels)))
    dead = [str(c + 1) for c in range(n_channels) if c not in alive]
    used = ", ".join(str(int(c) + 1) for c in alive)
    names = f"channel {dead[0]} is" if len(dead) == 1 else f"channels {', '.join(dead)} are"
    return Mixdown(tuple(int(c) for c in alive), (f"{names} silent: used {used}",))


def mixed_as_it_arrives(
    blocks: Iterable[Float32], rate_hz: int, warn: Callable[[str], object]
) -> Iterator[Float32]:
    """Mixes blocks to mono as they arrive, (n, channels) -> (n,).

    The first second that is not silent decides which channels are used.

    Args:
        warn: is given the warnings of `Mixdown`.
    """
    mixdown: Mixdown | None = None
    held: list[Float32] = []
    for block in blocks:
        if mixdown is not None or block.shape[1] == 1:
            yield block[:, 0] if mixdown is None else mixdown.mix(block)
            continue
        if not held and np.abs(block).max(initial=0.0) < _AUDIBLE:
            yield block.mean(axis=1, dtype=np.float32)
            continue
        held.append(block)
        if sum(map(len, held)) >= _LIVE_CHOICE_S * rate_hz:
            mixdown = _chosen(held, warn)
            yield mixdown.mix(np.concatenate(held))
    if held and mixdown is None:
        yield _chosen(held, warn).mix(np.concatenate(held))


def _chosen(held: list[Float32], warn: Callable[[str], object]) -> Mixdown:
    mixdown = choose_channels(held, held[0].shape[1])
    for warning in mixdown.warnings:
        warn(warning)
    return mixdown


def dc_warning(offset: float) -> str | None:
    """What to say about a constant offset of mono audio, as a share of full scale."""
    if abs(offset) <= _MAX_DC:
        return None
    return f"it has a constant offset of {offset:+.3f} of full scale"

"""Wilson's interval for a share of independent trials (Wilson 1927)."""

from __future__ import annotations

import math

from inference.evaluate.bootstrap import Estimate

Z_95 = 1.959963984540054


def wilson(hits: int, trials: int, z: float = Z_95) -> Estimate:
    """The share ``hits / trials`` with its 95 % interval; None without trials.

    Raises:
        ValueError: if ``hits`` is not within ``0..trials``.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"hits must be within 0..{trials}, got {hits}")
    if trials == 0:
        return Estimate(None)
    share = hits / trials
    spread = 1.0 + z * z / trials
    centre = (share + z * z / (2.0 * trials)) / spread
    half = z * math.sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials**2)) / spread
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))

"""What TFJP did to a clip, as a picture: spectrograms before and after, on one time scale.

::

    before   ▒▓█▓▒··▒▓██▓▒········▒▓█▓▒      frames that were cut are tinted
    after    ▒▓█▓▒··▒▓██▓▒···▒▓█▓▒
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from data_build.tfjp.loop import TfjpResult
from data_build.tfjp.spectrum import analyse
from soundflow.audio.stft import Float32

RANGE_DB = 80.0
_CUT_TINT = np.array([255, 96, 64], np.uint8)
_GAP_PIXELS = 6

Grey = npt.NDArray[np.uint8]


def png(samples: Float32, result: TfjpResult, max_width: int = 1200) -> bytes:
    """A PNG of the clip before (top) and after (bottom), one column a frame at most.

    Brightness is power over 80 dB below the loudest bin of the clip before; frequency runs upwards
    from 0 to 8 kHz. Frames of the source that are gone from the result are tinted. Around the
    two the picture is transparent.
    """
    power = analyse(samples).power
    loudest = float(power.max())
    before = np.repeat(spectrogram(power, loudest)[:, :, None], 3, axis=2)
    cut = ~kept_frames(result, len(power))
    before[:, cut] = (before[:, cut] * 0.6 + _CUT_TINT * 0.4).astype(np.uint8)
    after = np.repeat(spectrogram(analyse(result.samples).power, loudest)[:, :, None], 3, axis=2)
    width = max(before.shape[1], after.shape[1])
    page = np.zeros((before.shape[0] * 2 + _GAP_PIXELS, width, 4), np.uint8)
    page[: before.shape[0], : before.shape[1], :3] = before
    page[: before.shape[0], : before.shape[1], 3] = 255
    page[-after.shape[0] :, : after.shape[1], :3] = after
    page[-after.shape[0] :, : after.shape[1], 3] = 255
    image = Image.fromarray(page)
    if width > max_width:
        image = image.resize((max_width, page.shape[0]), Image.Resampling.BOX)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def spectrogram(power: Float32, loudest: float) -> Grey:
    """(frames, bins) power to (bins, frames) brightness, the highest frequency in the top row."""
    db = 10.0 * np.log10(np.maximum(power, 1e-20) / max(loudest, 1e-20))
    level = np.clip(1.0 + db / RANGE_DB, 0.0, 1.0)
    grey: Grey = np.round(255.0 * level).astype(np.uint8)
    return grey.T[::-1]


def kept_frames(result: TfjpResult, n_frames: int) -> npt.NDArray[np.bool_]:
    """Which frames of the source are in the result, (n_frames,)."""
    kept = np.zeros(n_frames, np.bool_)
    for start, length in zip(result.cuts.source, result.cuts.length, strict=True):
        kept[start : start + length] = True
    return kept

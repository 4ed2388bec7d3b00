"""A matrix as a PNG image, for example a spectrogram."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from soundflow.report.embed import data_uri

# Dark to light with evenly growing lightness, so that loudness reads as brightness.
_ANCHORS = np.array(
    [(8, 9, 20), (44, 22, 86), (112, 31, 107), (182, 54, 84), (232, 108, 58), (250, 188, 82),
     (252, 250, 200)],
    np.float64,
)  # fmt: skip


def _palette() -> npt.NDArray[np.uint8]:
    at = np.linspace(0.0, len(_ANCHORS) - 1.0, 256)
    known = np.arange(len(_ANCHORS))
    channels = [np.interp(at, known, _ANCHORS[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def heatmap_png(
    matrix: npt.ArrayLike, low: float | None = None, high: float | None = None
) -> bytes:
    """(rows, columns) as a PNG of the same size, row 0 at the bottom.

    Args:
        low, high: the values shown darkest and brightest; the extremes when None.
    """
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"a heat map needs a matrix that is not empty, got {values.shape}")
    bottom = values.min() if low is None else low
    top = values.max() if high is None else high
    scaled = (values - bottom) / (top - bottom) if top > bottom else np.zeros_like(values)
    levels = np.clip(scaled * 255.0, 0, 255).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(levels[::-1]))  # 8-bit grey, recoloured below
    image.putpalette(_palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def heatmap_uri(matrix: npt.ArrayLike, low: float | None = None, high: float | None = None) -> str:
    return data_uri(heatmap_png(matrix, low, high), "image/png")

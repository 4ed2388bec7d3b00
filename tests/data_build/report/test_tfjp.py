"""The picture of what TFJP did to a clip."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data_build.report.tfjp import kept_frames, png
from data_build.tfjp.loop import tfjp
from data_build.tfjp.spectrum import TfjpConfig
from tests.data_build.tfjp.made_clips import silence, voiced


def test_the_picture_shows_both_and_marks_what_went() -> None:
    clip = np.concatenate((voiced(0.8), silence(1.0), voiced(0.8)))
    result = tfjp(clip, TfjpConfig())
    image = Image.open(io.BytesIO(png(clip, result)))
    assert image.size == (260, 201 * 2 + 6)
    gone = ~kept_frames(result, 260)
    assert gone.sum() == pytest.approx(70, abs=4)
    pixels = np.asarray(image)
    tinted = pixels[:201, :, 0] > pixels[:201, :, 2]
    assert tinted[:, gone].all()
    assert not tinted[:, ~gone].any()
    assert Image.open(io.BytesIO(png(clip, result, max_width=100))).width == 100

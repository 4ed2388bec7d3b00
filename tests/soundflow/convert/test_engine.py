"""An engine of any form of checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundflow.convert.engine import open_engine
from soundflow.errors import UserError
from tests.soundflow.convert.omni import save_thinker


def test_a_foreign_folder_may_carry_a_calibrated_threshold(tmp_path: Path) -> None:
    folder = save_thinker(tmp_path / "thinker")
    assert open_engine(folder).threshold == 0.5
    (folder / "calibration.json").write_text('{"threshold": 0.31}')
    assert open_engine(folder).threshold == 0.31
    (folder / "calibration.json").write_text('{"threshold": 3}')
    with pytest.raises(UserError, match="not within"):
        open_engine(folder)

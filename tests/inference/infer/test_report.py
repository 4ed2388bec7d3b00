"""The page of a session."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from inference.decoder.sampling import SamplingConfig
from inference.infer import report
from inference.infer.recipe import InferRecipe
from inference.infer.run import Devices, infer
from inference.sessions.config import SessionConfig
from soundflow.errors import UserError
from tests.inference.engines import make_engine, write_split

ENGINE = make_engine()
DEVICES = Devices(lambda *_: ENGINE, io.BytesIO())
SHORT = SessionConfig(threshold=0.4, sampling=SamplingConfig(temperature=0.0, max_reply_tokens=4))
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("talk") / "a <b> talk.wav"
    audio = 0.1 * np.random.default_rng(0).standard_normal(30 * 16_000)
    soundfile.write(path, audio.clip(-1, 1), 16_000)
    return path


def page_of(path: Path, *audio: object) -> str:
    recipe = InferRecipe(
        checkpoint=Path("any"), audio=tuple(map(str, audio)), session=SHORT, packet_s=1.0
    )
    infer(recipe, report=path, devices=DEVICES)
    return path.read_text()


def embedded(page: str, mime: str) -> tuple[np.ndarray, int]:
    (data,) = re.findall(rf'src="data:{mime};base64,([^"]+)"', page)
    return soundfile.read(io.BytesIO(base64.b64decode(data)))


def test_a_page_holds_the_session_in_pieces_with_its_sound(talk, tmp_path, capsys):
    page = page_of(tmp_path / "r.html", talk)
    printed = capsys.readouterr().out
    audio, rate_hz = embedded(page, "audio/flac")
    assert (len(audio), rate_hz) == (round(31.2 * 16_000), 16_000)  # 75 chunks, 3 of silence
    assert re.findall(r'data-start="([\d.]+)" data-duration="([\d.]+)"', page) == [
        ("0.0000", "24.0000"), ("24.0000", "7.2000"),
    ]  # fmt: skip
    assert page.count('class="bar') == 78
    assert page.count('class="bar speak') == page.count('data-seek="') == printed.count("SPEAKING")
    assert "a &lt;b&gt; talk.wav" in page
    assert not re.search(r'(src|href)="http', page)
    page_of(tmp_path / "r.html", talk)  # a page of ours is replaced


def test_the_truth_of_built_streams_is_drawn(tmp_path):
    write_split(ENGINE, tmp_path / "test", 2)
    page = page_of(tmp_path / "r.html", tmp_path / "test#0", tmp_path / "test#1")
    assert page.count('class="span wanted"') == 3
    assert page.count('class="span unwanted"') == 2
    assert "s0 and 1 more" in page


def test_long_sessions_lose_sound_and_then_silent_pieces(talk, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FLAC_S", 10.0)
    page = page_of(tmp_path / "mp3.html", talk)
    audio, _ = embedded(page, "audio/mpeg")
    assert abs(len(audio) / 16_000 - 31.2) < 0.2
    monkeypatch.setattr(report, "MP3_S", 20.0)
    monkeypatch.setattr(report, "ALL_DRAWN_S", 0.0)
    monkeypatch.setattr(report, "MOST_DRAWN_S", 20.0)
    page = page_of(tmp_path / "none.html", talk)
    assert "<audio" not in page
    assert 'data-seek="' not in page
    assert page.count("data-start") == 1
    assert "1 pieces of 24 s are not drawn" in page


def test_a_file_of_someone_else_is_kept(talk, tmp_path):
    (tmp_path / "thesis.html").write_text("<html>important</html>")
    for name, message in (("thesis.html", "did not make"), ("", "is a folder")):
        with pytest.raises(UserError, match=message):
            page_of(tmp_path / name, talk)
    assert (tmp_path / "thesis.html").read_text() == "<html>important</html>"


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here")
def test_times_seek_in_a_browser(talk, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    page_of(tmp_path / "r.html", talk)
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "r.html").as_uri())
        page.evaluate("document.querySelector('audio').muted = true")
        last = page.locator("button.seek").last
        at_s = float(last.get_attribute("data-seek") or 0)
        last.click()
        page.wait_for_function(f"document.querySelector('audio').currentTime >= {at_s}")
        visible = "h => h.map(one => one.getAttribute('visibility'))"
        page.wait_for_function("document.querySelectorAll('.playhead')[1].getAttribute('x1') > 92")
        heads = page.eval_on_selector_all(".playhead", visible)
        browser.close()
    assert heads == (["hidden", "visible"] if at_s >= 24 else ["visible", "hidden"])
    assert not errors

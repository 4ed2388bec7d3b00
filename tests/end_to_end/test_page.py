"""The live page in a real browser, with a microphone that plays a WAV."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from inference.sessions.config import SessionConfig
from tests.inference.serve.audio import RATE_HZ, noise
from tests.inference.serve.servers import SAMPLING, Running, serving

# Continuous integration installs the browser: there a missing one is a failure.
IN_CI = bool(os.environ.get("CI"))
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip
WAIT_MS = 30_000


def chromium() -> str:
    if (found := shutil.which("chromium")) is None:
        if not IN_CI:
            pytest.skip("needs chromium")
        subprocess.run(["apt-get", "update"], check=True, capture_output=True)
        subprocess.run(["apt-get", "install", "--yes", "chromium"], check=True, capture_output=True)
        found = shutil.which("chromium")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("microphone") / "noise.wav"
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        out.writeframes(noise(10.0))
    return path


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(session=SessionConfig(threshold=0.3, sampling=SAMPLING)) as found:
        yield found


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(running.url)
    yield page
    page.close()
    assert not problems


@pytest.mark.slow
def test_the_microphone_is_heard_and_answered_by_keyboard_alone(page: Page) -> None:
    expect(page.locator("#state")).to_have_text("Not listening")
    page.keyboard.press("Space")
    expect(page.locator(".column.speak").first).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".replies .text").first).not_to_have_text("", timeout=WAIT_MS)
    expect(page.locator(".column")).not_to_have_count(0)
    expect(page.locator("#p")).to_have_text(re.compile(r"[01]\.\d\d"))
    for tile in ("heard", "remembered", "decision", "first-text"):
        expect(page.locator(f"#{tile}")).not_to_have_text("–", timeout=WAIT_MS)
    page.locator("#threshold").focus()
    page.keyboard.press("End")
    expect(page.locator("#threshold-value")).to_have_text("1.00")
    page.locator("h1").click()
    page.keyboard.press("Space")
    expect(page.locator("#state")).to_have_text("Not listening", timeout=WAIT_MS)
    expect(page.locator("#problem")).to_be_hidden()


@pytest.mark.slow
def test_a_recording_is_played_into_it(page: Page, microphone: Path) -> None:
    page.locator("#file").set_input_files(microphone)
    expect(page.locator(".column").nth(3)).to_be_attached(timeout=WAIT_MS)
    page.locator("#start").click()
    expect(page.locator("#state")).to_have_text("Not listening", timeout=WAIT_MS)
    expect(page.locator("#problem")).to_be_hidden()


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_left(page: Page) -> None:
    """The first press waits for what was heard to be answered, the second for nothing."""
    opened = {"event": "session_opened", "model_rate_hz": RATE_HZ, "chunk_s": 0.4, "threshold": 0.5}
    page.route_web_socket("**/v1/stream", lambda socket: socket.send(json.dumps(opened)))
    page.keyboard.press("Space")
    expect(page.locator("#state")).to_have_text("Listening", timeout=WAIT_MS)
    expect(page.locator("#problem")).to_have_text("The server does not answer.", timeout=WAIT_MS)
    page.keyboard.press("Space")
    expect(page.locator("#state")).to_have_text("Finishing")
    page.keyboard.press("Space")
    expect(page.locator("#state")).to_have_text("Not listening")


@pytest.mark.slow
def test_it_fits_a_phone(browser: Browser, running: Running) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(running.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for control in ("#start", "#interrupt", ".file"):
        box = page.locator(control).bounding_box()
        assert box is not None
        assert box["height"] >= 44  # a finger
    page.close()

"""Drawings are well-formed, escaped, and say what they were given."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from soundflow.report.chart import Series, line_chart, ticks
from soundflow.report.embed import audio_uri
from soundflow.report.heatmap import heatmap_png
from soundflow.report.markup import number, percent, table, tag, tiles
from soundflow.report.page import Section, render_page, write_page
from soundflow.report.timeline import Bar, ReplyMark, Span, StreamView, stream_view

EVIL = '<script>alert("x")</script> & "q"'


def view(**changes) -> StreamView:
    rng = np.random.default_rng(0)
    given_ = {
        "title": "answer cues",
        "note": "s1",
        "audio": rng.normal(0, 0.1, 32_000).astype(np.float32),
        "rate_hz": 16_000,
        "mel": rng.normal(size=(128, 200)).astype(np.float32),
        "bars": [Bar(0.4 * i, 0.4 * i + 0.4, i / 5, i == 4) for i in range(5)],
        "threshold": 0.5,
        "spans": [Span(0.2, 0.7, 0.8, "cue", True), Span(0.3, 0.9, 1.0, "clink", False)],
        "said": [ReplyMark(0.8, "Light on.", "right"), ReplyMark(2.0, "One.", "false", "urgent")],
    }
    return StreamView(**{**given_, **changes})


def test_a_stream_is_one_well_formed_figure():
    root = ElementTree.fromstring(stream_view(view()))
    svg = root.find(".//svg")
    bars = [r for r in svg.iter("rect") if r.get("class", "").startswith("bar")]
    assert len(bars) == 5
    assert [b.get("class") for b in bars].count("bar speak") == 1
    spans = [r.get("class") for r in svg.iter("rect") if r.get("class", "").startswith("span")]
    assert spans == ["span wanted", "span unwanted"]
    words = [t.text or "".join(t.itertext()) for t in svg.iter("text")]
    assert any("Light on." in w for w in words)
    assert svg.find(".//image").get("href").startswith("data:image/png;base64,")
    assert root.find(".//audio").get("src").startswith("data:audio/flac;base64,")


def test_overlapping_spans_get_rows_of_their_own():
    root = ElementTree.fromstring(stream_view(view()))
    tops = {r.get("y") for r in root.iter("rect") if r.get("class", "").startswith("span")}
    assert len(tops) == 2


@pytest.mark.parametrize(
    "changes", [{"mel": None}, {"bars": []}, {"spans": []}, {"said": []}, {"threshold": None},
                {"audio": np.zeros(16_000, np.float32)}, {"audio": np.zeros(1, np.float32)}],
)  # fmt: skip
def test_whatever_is_missing_the_rest_is_drawn(changes):
    ElementTree.fromstring(stream_view(view(**changes)))


def test_text_is_escaped_everywhere():
    drawn = [
        stream_view(view(title=EVIL, note=EVIL, said=[ReplyMark(0.1, EVIL, "right")])),
        line_chart([Series(EVIL, [(0, 1), (1, 2)])], EVIL, EVIL),
        table([EVIL], [[EVIL]]),
        tiles([(EVIL, EVIL, EVIL)]),
        tag("p", EVIL, title=EVIL),
        render_page(EVIL, EVIL, [Section("a", EVIL, EVIL, tag("p", "x"))]),
    ]
    for text in drawn:
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text


def test_sound_comes_back_bit_for_bit():
    audio = (np.arange(-500, 500) / 32768).astype(np.float32)
    data = base64.b64decode(audio_uri(audio, 16_000).split(",")[1])
    back, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == 16_000
    assert np.array_equal(back, audio)


def test_a_heat_map_is_bright_where_values_are_high_and_row_0_is_below():
    matrix = np.zeros((4, 6))
    matrix[0, 5] = 1.0
    image = Image.open(io.BytesIO(heatmap_png(matrix))).convert("L")
    assert image.size == (6, 4)
    assert image.getpixel((5, 3)) > 200 > 50 > image.getpixel((0, 0))
    with pytest.raises(ValueError, match="not empty"):
        heatmap_png(np.zeros((0, 3)))
    assert heatmap_png(np.full((2, 2), 7.0))


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low, span):
    high = low + span
    found = ticks(low, high)
    assert 1 <= len(found) <= 12
    assert all(low - 1e-6 * span <= t <= high + 1e-6 * span for t in found)
    assert found == sorted(found)


def test_a_chart_survives_nothing_one_point_and_infinity():
    assert "nothing to draw" in line_chart([], "x", "y")
    assert "nothing to draw" in line_chart([Series("a", [(0.0, float("nan"))])], "x", "y")
    one = line_chart([Series("a", [(1.0, 2.0), (2.0, float("inf"))])], "x", "y")
    assert len(ElementTree.fromstring(one).findall(".//circle")) == 1


def test_figures_that_do_not_exist_are_a_dash():
    assert number(None) == "–"
    assert percent(None) == "–"
    assert number(1234.5, 1) == "1,234.5"
    assert percent(0.125, 1) == "12.5\u00a0%"


def test_a_page_is_written_whole(tmp_path):
    write_page(tmp_path / "r.html", "T", "S", [Section("one", "One", "lead", tag("p", "body"))])
    text = (tmp_path / "r.html").read_text()
    assert '<a href="#one">One</a>' in text
    assert text.rstrip().endswith("</html>")
    assert list(tmp_path.iterdir()) == [tmp_path / "r.html"]


def test_a_log_axis_has_decades_and_a_place_for_zero():
    series = [Series("a", [(0.0, 0.1), (1.0, 0.5), (1000.0, 0.9)])]
    chart = str(line_chart(series, "x", "y", x_range=(0.1, 1000.0), log_x=True, y_range=(0.0, 1.0)))
    labels = re.findall(r'class="tick middle">([^<]*)<', chart) or re.findall(
        r">([\d.k]+)</text>", chart
    )
    assert {"0.1", "1", "10", "100", "1000"} <= set(labels)
    at = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', chart)]
    left, right = 52.0, 506.0  # zero stands where the axis begins
    assert at == pytest.approx([left, left + (right - left) / 4, right], abs=0.1)


def test_a_log_axis_of_losses_leaves_out_zero_and_is_labelled_within_a_decade():
    series = [Series("a", [(0.0, 0.4), (1.0, 0.0), (2.0, 0.9)])]
    chart = str(line_chart(series, "x", "y", log_y=True))
    assert "0.5" in re.findall(r'class="tick end">([^<]*)<', chart)
    assert chart.count("<circle") == 2

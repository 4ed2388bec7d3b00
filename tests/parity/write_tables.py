"""Measures and writes the tables of docs/interoperability.md anew.

    python tests/parity/write_tables.py

Needs the shared test material beside the project. What stands between two markers of the page
is replaced; the prose around is left alone.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/interoperability.md"
PARITY_HEAD = ("what", "compared with", "measured", "allowed")


def table(head: Iterable[str], lines: Iterable[str]) -> str:
    names = list(head)
    rows = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names), *lines]
    return "\n".join(rows)


def replace_between(text: str, name: str, body: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{PAGE}: no markers for {name}")
    return pattern.sub(lambda m: f"{m[1]}\n{body}\n\n{m[2]}", text)


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from soundflow.convert.run import convert
    from soundflow.forms.load_any import load_any
    from tests.parity.reference import conversions, features, layouts, positions, sessions, training
    from tests.soundflow.convert.omni import save_omni, save_thinker

    goldens = ROOT.parent / "shared/goldens"
    release = load_any(goldens / "ckpt")
    rows = [
        *features.log_mel_rows(goldens),
        *features.live_server_rows(goldens),
        *features.encoder_rows(goldens, release),
        *layouts.layout_rows(goldens, release),
        *sessions.session_rows(goldens, release),
        *training.training_rows(goldens),
        *positions.position_rows(goldens, release),
    ]
    failed = [r.what for r in rows if not r.holds]
    if failed:
        raise SystemExit(f"out of tolerance: {failed}")
    parity = table(PARITY_HEAD, ("| " + " | ".join(r.cells()) + " |" for r in rows))

    with tempfile.TemporaryDirectory() as root:
        work = Path(root)
        convert(goldens / "ckpt", work / "ours")
        sources = {
            "release": goldens / "ckpt",
            "omni": save_omni(work / "omni"),
            "thinker": save_thinker(work / "thinker"),
            "thinker, tied head": save_thinker(work / "tied", tied=True),
            "soundflow": work / "ours",
        }
        (work / "out").mkdir()
        head = (
            "from",
            "to",
            "tensors",
            "largest logit difference",
            "there and back",
            "back: logits",
        )
        converted = table(head, conversions.conversion_lines(sources, work / "out"))
        dtypes = table(
            ("dtype", "largest logit difference", "greedy choices"),
            conversions.dtype_lines(work / "ours", work / "dtypes"),
        )

    differing, chunks = sessions.default_differences(goldens, release)
    shares = features.causal_differences(goldens)
    purpose = table(
        ("choice", "published", "ours", "what it changes here"),
        [
            "| maximum of the log-mel | of the whole recording | of the newest 60 chunks | "
            + ", ".join(f"{100 * s:.2g} %" for s in shares.values())
            + " of the cells of the three recordings differ by more than 0.001 |",
            "| rotary positions | rounded to float16 | exact | logits beyond position 2048 differ "
            f"by up to {positions.exact_difference(goldens, release):.2f} |",
            "| all of it, three recordings in one session, random weights | | | "
            f"{differing} of {chunks} chunks are answered otherwise |",
        ],
    )
    replies = table(
        ("stream", "turns end at slot", "published reply chunks", "ours"),
        layouts.reply_chunk_lines(goldens),
    )
    text = PAGE.read_text()
    for name, body in (
        ("parity", parity), ("conversions", converted), ("dtypes", dtypes),
        ("purpose", purpose), ("replies", replies),
    ):  # fmt: skip
        text = replace_between(text, name, body)
    PAGE.write_text(text)
    print(parity, converted, dtypes, purpose, replies, sep="\n\n")


if __name__ == "__main__":
    main()

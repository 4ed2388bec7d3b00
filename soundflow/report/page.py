"""The HTML page of a report: one file that contains its style and script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from soundflow.atomic import disk_error, unfinished, write_text
from soundflow.errors import UserError

_HERE = Path(__file__).parent
_OURS = b'<meta name="generator" content="SoundFlow">'
_HEAD_BYTES = 1024


@dataclass(frozen=True)
class Section:
    """``anchor`` is its address in the page; ``lead`` is a sentence that introduces it."""

    anchor: str
    title: str
    lead: str
    body: Markup


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """A whole HTML document that refers to nothing outside itself."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=select_autoescape(), trim_blocks=True
    )
    return environment.get_template("page.html").render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        style=Markup((_HERE / "page.css").read_text()),
        script=Markup((_HERE / "page.js").read_text()),
    )


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> None:
    """Writes the page whole or not at all.

    Raises:
        UserError: if the folder cannot be written.
    """
    write_text(path, render_page(title, subtitle, sections))


def require_replaceable(path: Path) -> None:
    """Checks that a page may be written to ``path``: nothing is there, or a page of ours.

    Raises:
        UserError: if it is a folder, or a file that SoundFlow did not make, or if nothing can be
            written beside it.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder", "name a file: report.html")
    if path.exists():
        with path.open("rb") as file:
            if _OURS not in file.read(_HEAD_BYTES):
                raise UserError(
                    f"{path}: is a file that SoundFlow did not make", "choose another name"
                )
    trial = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise disk_error(error, path) from error

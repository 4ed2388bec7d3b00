"""Prompts for a chat model as versioned files, with a stamp for the provenance of data.

A prompt is a Markdown file ``<name>.v<version>.md``: a YAML head (name, version, purpose), then
the sections ``## system`` and ``## user``, both Jinja templates. Editing a prompt means a new
version: its hash goes into the record of every sample it made.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from soundflow.errors import UserError

_FILE = re.compile(
    r"\A---\n(?P<head>.*?)\n---\n+## system\n(?P<system>.*?)\n## user\n(?P<user>.*)\Z", re.DOTALL
)
# The text goes to a chat model, not into a page: nothing is escaped.
_TEMPLATES = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Prompt:
    """One version of a prompt. ``sha256`` is that of the whole file."""

    name: str
    version: int
    purpose: str
    system: str
    user: str
    sha256: str

    def stamp(self) -> dict[str, Any]:
        """The entry for this prompt in a sample's provenance."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}

    def messages(self, variables: Mapping[str, Any]) -> list[dict[str, str]]:
        """The chat messages.

        Raises:
            jinja2.UndefinedError: if the prompt uses a variable that is not given.
        """
        return [
            {"role": role, "content": _TEMPLATES.from_string(text).render(variables).strip()}
            for role, text in (("system", self.system), ("user", self.user))
        ]


@lru_cache(maxsize=64)
def read_prompt(path: Path) -> Prompt:
    """Reads a prompt file.

    Raises:
        UserError: if the file is missing, or its name, head or sections are not a prompt's.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: prompt cannot be read: {error.strerror}", "check the path") from (
            error
        )
    found = _FILE.match(raw.decode("utf-8", "replace"))
    try:
        head = yaml.safe_load(found["head"]) if found else None
        if found is None or not isinstance(head, dict):
            raise ValueError("needs a head between --- lines, '## system' and '## user'")
        name, version, purpose = str(head["name"]), int(head["version"]), str(head["purpose"])
        if path.name != f"{name}.v{version}.md":
            raise ValueError(f"the head says {name} version {version}")
    except (KeyError, ValueError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path}: not a prompt: {error}", "see data_build/scenes/prompts for the form"
        ) from error
    return Prompt(
        name=name,
        version=version,
        purpose=purpose,
        system=found["system"],
        user=found["user"],
        sha256=hashlib.sha256(raw).hexdigest(),
    )

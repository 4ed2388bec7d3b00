"""Which tokenizer and token table a recipe means by ``vocabulary: NAME``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from soundflow.errors import UserError
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.tokens import TokenTable
from soundflow.text.tiny import tiny_tokenizer
from soundflow.text.tokenizer import TextTokenizer

TABLE_FILE = "token_table.json"


def load_vocabulary(name: str) -> tuple[TextTokenizer, TokenTable]:
    """``tiny``, or a folder or file with a byte-level BPE ``tokenizer.json``.

    A ``token_table.json`` beside the tokenizer gives its control ids; without one the table of
    the published release (Qwen2.5 vocabulary) is taken.

    Raises:
        UserError: if there is no such tokenizer, or its table is impossible.
    """
    if name == "tiny":
        tokenizer = tiny_tokenizer()
        return tokenizer, tokenizer.table
    path = Path(name)
    if not path.exists():
        raise UserError(
            f"vocabulary {name!r}: neither 'tiny' nor a path", "name a folder with tokenizer.json"
        )
    table = _read_table((path if path.is_dir() else path.parent) / TABLE_FILE)
    return TextTokenizer.load(path, table), table


def stream_spec(tokenizer: TextTokenizer, front_end: FrontEnd | None = None) -> StreamSpec:
    """The default spec of a vocabulary."""
    return StreamSpec(
        tokenizer=tokenizer.fingerprint,
        tokens=tokenizer.table,
        front_end=front_end or FrontEnd(),
    )


def _read_table(path: Path) -> TokenTable:
    if not path.is_file():
        return TokenTable()
    try:
        return TokenTable(**{**asdict(TokenTable()), **json.loads(path.read_bytes())})
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}", "mend the token table") from error

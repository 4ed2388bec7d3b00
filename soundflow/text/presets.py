"""Which tokenizer and token table a recipe means by ``vocabulary: NAME``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.stream_config import StreamConfig
from soundflow.protocol.tokens import TokenTable
from soundflow.stored_json import parsed, read_object
from soundflow.text.tiny import tiny_tokenizer
from soundflow.text.tokenizer import TextTokenizer

TABLE_FILE = "token_table.json"
SPEC = "spec.json"  # of a checkpoint of ours
NOTE = "soundflow.json"  # spec and facts beside foreign weights, so that the way back loses nothing


def load_vocabulary(name: str) -> tuple[TextTokenizer, TokenTable]:
    """``tiny``, or a folder or file with a byte-level BPE ``tokenizer.json``.

    The control ids are those of the checkpoint in the folder, or of a ``token_table.json`` beside
    the tokenizer; without either the table of the published release (Qwen2.5 vocabulary) is taken.

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
    table = _table_in(path if path.is_dir() else path.parent)
    return TextTokenizer.load(path, table), table


def stream_spec(tokenizer: TextTokenizer, stream: StreamConfig | None = None) -> StreamSpec:
    """The spec of streams in a vocabulary; with the default chunk and front end unless given."""
    return (stream or StreamConfig()).spec(tokenizer.fingerprint, tokenizer.table)


def _table_in(folder: Path) -> TokenTable:
    for file in (folder / SPEC, folder / NOTE):
        if file.is_file():
            held = read_object(file, absent="name another", damaged="make the checkpoint again")
            return StreamSpec.from_json(held.get("spec", {})).tokens
    path = folder / TABLE_FILE
    if not path.is_file():
        return TokenTable()
    try:
        return TokenTable(**{**asdict(TokenTable()), **parsed(path.read_bytes())})
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}", "fix the token table") from error

"""Text <-> ids, with one promise: a control id never comes out of text.

The release re-uses rare BPE entries as control tokens, so ordinary text can tokenise to one of
them. Such an entry is spelt out in its bytes instead, which decodes to the same text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from soundflow.atomic import write_text
from soundflow.errors import UserError
from soundflow.protocol.tokens import TokenTable

FILE_NAME = "tokenizer.json"


class TextTokenizer:
    """A byte-level BPE tokenizer beside its control tokens.

    Raises:
        UserError: if the tokenizer is not byte-level BPE, or a control token is one of the 256
            single bytes, which text cannot do without.
    """

    def __init__(self, tokenizer: Tokenizer, table: TokenTable) -> None:
        self._tokenizer = tokenizer
        # "<|im_end|>" in a text is eight characters, never a control token.
        self._tokenizer.encode_special_tokens = True
        self.table = table
        self._spelt = {i: self._spell(i) for i in table.control_ids}

    @staticmethod
    def load(path: str | Path, table: TokenTable) -> TextTokenizer:
        """Reads ``tokenizer.json``, or the one in the folder ``path``.

        Raises:
            UserError: if it is missing or not a tokenizer file.
        """
        file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise UserError(f"{file}: no such tokenizer", "name a tokenizer.json or its folder")
        try:
            return _parsed(file.read_text(encoding="utf-8"), table)
        except UserError:
            raise
        except Exception as error:  # the library raises bare Exception for a bad file
            raise UserError(
                f"{file}: is not a tokenizer file ({error})", "fetch it again"
            ) from error

    def save(self, folder: Path) -> None:
        write_text(folder / FILE_NAME, self._tokenizer.to_str())

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of everything that decides which ids a text gets."""
        data = json.loads(self._tokenizer.to_str())
        model = data["model"]
        merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
        added = [[t["id"], t["content"]] for t in data["added_tokens"]]
        what = [model["vocab"], merges, added, data["normalizer"], data["pre_tokenizer"]]
        canonical = json.dumps(what, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def reused_ids(self) -> list[int]:
        """The control ids that are ordinary entries of the vocabulary, made for pieces of text."""
        return sorted(i for i in self.table.control_ids if not self._is_added(i))

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``; none of them is a control id."""
        ids: list[int] = []
        for i in self._tokenizer.encode(text, add_special_tokens=False).ids:
            ids.extend(self._spelt.get(i, (i,)))
        return ids

    def added_id(self, surface: str) -> int:
        """The id of an added token such as ``<|im_end|>``, which no text is encoded to.

        Raises:
            UserError: if the tokenizer has none of that name.
        """
        found = self._tokenizer.token_to_id(surface)
        if found is None or not self._is_added(found):
            raise UserError(
                f"the tokenizer has no token {surface}", "fetch the tokenizer of the model again"
            )
        return int(found)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; control ids among them are left out."""
        plain = [int(i) for i in ids if i not in self.table.control_ids]
        text: str = self._tokenizer.decode(plain, skip_special_tokens=False)
        return text

    def stream_decoder(self) -> StreamDecoder:
        return StreamDecoder(self._tokenizer)

    def _spell(self, token: int) -> tuple[int, ...]:
        surface = self._tokenizer.id_to_token(token)
        if surface is None or self._is_added(token):
            return (token,)  # not reachable from text
        letters = [self._tokenizer.token_to_id(c) for c in surface]
        if None in letters or token in letters:
            raise UserError(
                f"control token {token} ({surface!r}) cannot be spelt in bytes",
                "use a byte-level BPE tokenizer and control ids beyond the single bytes",
            )
        return tuple(int(i) for i in letters if i is not None)

    def _is_added(self, token: int) -> bool:
        return token in self._tokenizer.get_added_tokens_decoder()


@lru_cache(maxsize=2)
def _parsed(text: str, table: TokenTable) -> TextTokenizer:
    """By content: a run opens the folders of its checkpoints several times, and a real vocabulary
    takes two seconds each time.
    """
    return TextTokenizer(Tokenizer.from_str(text), table)


class StreamDecoder:
    """Ids to text one at a time; holds back bytes until a character is whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=False)

    def push(self, token: int) -> str:
        """The text that ``token`` completes, often "" in the middle of a character."""
        piece: str | None = self._stream.step(self._tokenizer, token)
        return piece or ""

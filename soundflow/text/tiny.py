"""A tiny vocabulary: 1,024 ids for tests, the quickstart and models of a few million parameters.

Control tokens take the first ids, then the 256 bytes, then merges learnt from ``tiny_corpus.txt``.
The tokenizer is stored, not trained at run time, so that its fingerprint outlives library versions;
`train` is how the stored file was made.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from soundflow.protocol.tokens import TokenTable
from soundflow.text.tokenizer import TextTokenizer

VOCABULARY_SIZE = 1024
_HERE = Path(__file__).parent
TOKENIZER_FILE = _HERE / "tiny_tokenizer.json"
CORPUS_FILE = _HERE / "tiny_corpus.txt"

# ``system`` shares the id of ``text_begin``, as in the release.
_NAMES = [f.name for f in fields(TokenTable) if f.name not in ("system", "vocab_size")]


def tiny_table() -> TokenTable:
    ids = {name: i for i, name in enumerate(_NAMES)}
    return TokenTable(**ids, system=ids["text_begin"], vocab_size=VOCABULARY_SIZE)


def tiny_tokenizer() -> TextTokenizer:
    return TextTokenizer.load(TOKENIZER_FILE, tiny_table())


def train(corpus: Path = CORPUS_FILE) -> Tokenizer:
    """Trains the tokenizer anew on ``corpus``, one sentence a line."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[f"<|{name}|>" for name in _NAMES],
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus.read_text().splitlines(), trainer)
    return tokenizer

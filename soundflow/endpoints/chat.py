"""A chat model behind any OpenAI-compatible endpoint, asked for JSON that fits a schema.

::

    prompt + variables + schema ─▶ cache? ─▶ POST chat/completions ─▶ JSON? ─▶ schema? ─▶ dict
                                     │            (retried)                                │
                                     └──────────────────────◀──────────────────────────────┘

The cache on disk makes a build with a chat model repeatable: the second build sends no request.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pydantic.dataclasses
from annotated_types import Interval
from pydantic import PositiveInt

from soundflow.atomic import write_text
from soundflow.config.settings import SETTINGS, Seed
from soundflow.endpoints.http_calls import (
    BadAnswer,
    CallCounts,
    CallFailure,
    Endpoint,
    EndpointCaller,
)
from soundflow.endpoints.prompts import Prompt

Schema = Mapping[str, Any]
Answer = dict[str, Any]

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class ChatConfig:
    """Which model to ask, and how.

    ``temperature`` 0.7 is the published setting of planner, refiner and verifier. ``seed`` is part
    of the request and the cache key: another seed gives another answer.
    """

    endpoint: Endpoint = field(default_factory=lambda: Endpoint("http://127.0.0.1:8000/v1"))
    model: str = "default"
    temperature: Annotated[float, Interval(ge=0, le=2)] = 0.7
    max_tokens: PositiveInt = 2048
    seed: Seed = 0
    cache_dir: str | None = None


@dataclass(frozen=True)
class ChatRequest:
    """One question; ``schema`` is a JSON Schema (draft 2020-12) of the answer, an object."""

    prompt: Prompt
    variables: Mapping[str, Any]
    schema: Schema


class ChatClient:
    """Asks a chat model; for use from any thread of one process."""

    def __init__(self, config: ChatConfig) -> None:
        self.config = config
        self._caller = EndpointCaller(config.endpoint)
        self._cache = ChatCache(Path(config.cache_dir)) if config.cache_dir else None

    def __enter__(self) -> ChatClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._caller.close()

    @property
    def counts(self) -> CallCounts:
        """Items, requests, retries, cache hits and failures by kind so far."""
        return self._caller.counts

    def ask_json(self, prompt: Prompt, variables: Mapping[str, Any], schema: Schema) -> Answer:
        """The model's answer as a dict that fits ``schema``.

        Raises:
            CallFailure: no usable answer within the retries and the time limit of an item.
            ServerGone: the server cannot be reached, or has failed many items in a row.
            UserError: the endpoint refuses the very first call.
        """
        return self._begin(ChatRequest(prompt, variables, schema)).result()

    def map_json(self, requests: Iterable[ChatRequest]) -> Iterator[Answer | CallFailure]:
        """Asks many at once; yields answers or failures in the order of the requests.

        At most twice the endpoint's concurrency is in progress or waiting to be read, for any
        number of requests.

        Raises:
            ServerGone, UserError: as `ask_json`.
        """
        window = 2 * self.config.endpoint.concurrency
        waiting: deque[Future[Answer]] = deque()
        try:
            for request in requests:
                waiting.append(self._begin(request))
                if len(waiting) >= window:
                    yield _answer_or_failure(waiting.popleft())
            while waiting:
                yield _answer_or_failure(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def _begin(self, request: ChatRequest) -> Future[Answer]:
        validator = jsonschema.Draft202012Validator(request.schema)
        prompt_id = f"{request.prompt.name}.v{request.prompt.version}"
        question = self._question(request)
        key = cache_key(question)

        known = self._cache.get(prompt_id, key) if self._cache else None
        if known is not None and validator.is_valid(known):
            self._caller.count(cache_hits=1)
            found: Future[Answer] = Future()
            found.set_result(known)
            return found
        body = {
            **{k: v for k, v in question.items() if k != "prompt"},
            # Servers expect a seed of their own for each question, not one for all.
            "seed": int(key[:7], 16),
            "response_format": {"type": "json_object"},
        }

        def accept(content: bytes) -> Answer:
            answer = _parse(content, validator)
            if self._cache:
                self._cache.put(prompt_id, key, question, answer)
            return answer

        return self._caller.submit("chat/completions", body, accept)

    def _question(self, request: ChatRequest) -> dict[str, Any]:
        messages = request.prompt.messages(request.variables)
        schema = json.dumps(request.schema, ensure_ascii=False)
        messages[0]["content"] += (
            "\n\nAnswer with one JSON object and nothing else. "
            f"It must fit this JSON Schema:\n{schema}"
        )
        return {
            "prompt": request.prompt.stamp(),
            "model": self.config.model,
            "temperature": self.config.temperature,
            "max_tokens": self.config.max_tokens,
            "seed": self.config.seed,
            "messages": messages,
        }


def cache_key(question: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything that determines an answer."""
    canonical = json.dumps(question, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class ChatCache:
    """One JSON file an answer: ``<folder>/<prompt>.v<version>/<ab>/<key>.json``.

    Renamed into place, it is safe on the shared file system of a cluster, where the SQLite file of
    `diskcache` is not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, prompt_id: str, key: str) -> Path:
        return self._folder / prompt_id / key[:2] / f"{key}.json"

    def get(self, prompt_id: str, key: str) -> dict[str, Any] | None:
        """The stored answer, or None; a damaged entry counts as missing and is written again."""
        try:
            entry = json.loads(self.path(prompt_id, key).read_bytes())
        except (OSError, ValueError):
            return None
        answer = entry.get("answer") if isinstance(entry, dict) else None
        return answer if isinstance(answer, dict) else None

    def put(
        self, prompt_id: str, key: str, question: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        """Stores an answer with its question; readers see the whole entry or none.

        Raises:
            UserError: if the disk is full or the folder cannot be written.
        """
        entry = {"question": question, "answer": answer}
        write_text(self.path(prompt_id, key), json.dumps(entry, ensure_ascii=False))


def _answer_or_failure(future: Future[Answer]) -> Answer | CallFailure:
    try:
        return future.result()
    except CallFailure as failure:
        return failure


def _parse(content: bytes, validator: jsonschema.Draft202012Validator) -> Answer:
    """The answer inside a chat completion.

    Raises:
        BadAnswer: not a completion, cut short, not JSON, or not what the schema asks for.
    """
    try:
        choice = json.loads(content)["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, LookupError, TypeError) as error:
        raise BadAnswer("not_a_completion", f"{type(error).__name__}: {error}") from error
    if choice.get("finish_reason") == "length":
        raise BadAnswer("cut_short", "the answer reached max_tokens")
    if not isinstance(text, str) or not text.strip():
        raise BadAnswer("empty", "the model said nothing")
    fenced = _FENCED.match(text)
    try:
        answer = json.loads(fenced[1] if fenced else text)
    except ValueError as error:
        raise BadAnswer("invalid_json", f"{error}: {text[:80]!r}") from error
    problem = jsonschema.exceptions.best_match(validator.iter_errors(answer))
    if problem is not None:
        raise BadAnswer("wrong_schema", f"{problem.json_path}: {problem.message[:160]}")
    if not isinstance(answer, dict):
        raise BadAnswer("wrong_schema", f"$: expected an object, got {type(answer).__name__}")
    return answer

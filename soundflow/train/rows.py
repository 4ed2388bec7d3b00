"""Training some rows of a large matrix: they become a small parameter, the matrix stays frozen.

::

    embedding   ids ─▶ frozen[id], or rows[place of id] ─▶ (..., d)
    head        hidden ─▶ frozen · hidden ─▶ the columns of the trained ids from rows · hidden

A gradient that is masked to some rows would not do: AdamW moves every row of its parameter, by
decay and by old moments. A parameter of its own also has moments of its own size, a few thousand
numbers in place of two copies of the whole matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class TrainedRows(nn.Module):
    """A frozen matrix (vocabulary, d), of which the rows ``ids`` are trained.

    Args:
        matrix: is frozen here and shared, not copied.
        rows: (len(ids), d), the trained values. A tied embedding and head share it.
    """

    ids: Tensor

    def __init__(self, matrix: nn.Parameter, rows: nn.Parameter, ids: Tensor) -> None:
        super().__init__()
        self.frozen = matrix
        self.frozen.requires_grad_(False)
        self.rows = rows
        self.register_buffer("ids", ids.to(matrix.device), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The matrix as it is now, a copy: for code that asks for the weight of any layer."""
        return self.frozen.index_copy(0, self.ids, self.rows.to(self.frozen.dtype))

    @torch.no_grad()
    def merged(self) -> nn.Parameter:
        """The matrix itself, with the trained rows written into it."""
        self.frozen[self.ids] = self.rows.to(self.frozen.dtype)
        return self.frozen


class RowEmbedding(TrainedRows):
    """Takes the place of an `nn.Embedding`."""

    place: Tensor

    def __init__(self, matrix: nn.Parameter, rows: nn.Parameter, ids: Tensor) -> None:
        super().__init__(matrix, rows, ids)
        place = torch.full((len(matrix),), -1, device=matrix.device)
        place[self.ids] = torch.arange(len(ids), device=matrix.device)
        self.register_buffer("place", place, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        place = self.place[ids]
        trained = functional.embedding(place.clamp(min=0), self.rows)
        frozen = functional.embedding(ids, self.frozen)
        return torch.where((place >= 0)[..., None], trained, frozen)

    def plain(self) -> nn.Embedding:
        """An embedding with the trained rows in it."""
        n_ids, width = self.frozen.shape
        embedding = nn.Embedding(n_ids, width, device="meta")
        embedding.weight = self.merged()
        return embedding


class RowHead(TrainedRows):
    """Takes the place of an `nn.Linear` without bias."""

    def forward(self, hidden: Tensor) -> Tensor:
        logits = functional.linear(hidden, self.frozen)
        return logits.index_copy_(-1, self.ids, functional.linear(hidden, self.rows))

    def plain(self) -> nn.Linear:
        """A head with the trained rows in it."""
        n_ids, width = self.frozen.shape
        head = nn.Linear(width, n_ids, bias=False, device="meta")
        head.weight = self.merged()
        return head

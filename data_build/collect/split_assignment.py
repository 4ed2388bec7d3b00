"""Assigns items to splits: items that share anything stay in one split.

::

    items ─▶ keys: recording, near-duplicate, speaker, text, ... ─▶ groups (connected components)
    groups, rarest stratum first ─▶ the split that is furthest behind its weight in it

The order of the items makes no difference: a group goes by its content and the seed. The second
step is the iterative stratification of Sechidis, Tsoumakas and Vlahavas, "On the Stratification of
Multi-Label Data" (ECML PKDD 2011), over groups instead of examples, and with one rule before it:
a split that needs a stratum gets one of its groups, if there are enough.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# What joins the items of a scope, from the strictest rule to the loosest:
# everything; a speaker, while the few items whose text another split has are set aside; a text,
# while splits share speakers; recordings and near-duplicates alone.
Rule = Literal["all", "set_aside", "share_speakers", "recordings"]
_RULES: tuple[Rule, ...] = ("all", "set_aside", "share_speakers", "recordings")
_MOST_SET_ASIDE = 0.1  # of the items of a scope
SET_ASIDE = -1


@dataclass(frozen=True)
class Dealt:
    """The result.

    Attributes:
        homes: number of the split of each item, in the order they were added, or SET_ASIDE.
        rules: scope -> the rule that joined its items.
    """

    homes: Ints
    rules: dict[str, Rule]


@dataclass
class SplitAssignment:
    """Collects items, then assigns them.

    Attributes:
        weights: split -> share of the items; one of weight 0 gets none.
        needs: stratum -> the splits that cannot do without it.
    """

    weights: Mapping[str, float]
    seed: int
    needs: Mapping[str, Collection[str]] = field(default_factory=dict)
    _content: array[int] = field(default_factory=lambda: array("Q"))
    _scopes: array[int] = field(default_factory=lambda: array("l"))
    _scope_names: dict[str, int] = field(default_factory=dict)
    _strata: dict[str, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("l")))
    _always: _Edges = field(default_factory=lambda: _Edges())
    _speakers: _Edges = field(default_factory=lambda: _Edges())
    _texts: _Edges = field(default_factory=lambda: _Edges())

    def add(
        self,
        content: str,
        scope: str,
        strata: Iterable[str],
        *,
        always: Iterable[str] = (),
        speaker: str = "",
        texts: Iterable[str] = (),
    ) -> None:
        """Adds an item.

        Args:
            content: what it is, wherever and in which order it is listed.
            scope: items that follow one rule, as the speech of a language.
            strata: what is to be spread over the splits by weight.
            always: keys that no two splits may share.
            speaker, texts: keys that a scope may have to give up.
        """
        number = len(self._content)
        self._content.append(key_number(content))
        self._scopes.append(self._scope_names.setdefault(scope, len(self._scope_names)))
        for stratum in strata:
            self._strata[stratum].append(number)
        self._always.add(number, always)
        self._speakers.add(number, (speaker,) if speaker else ())
        self._texts.add(number, texts)

    def join(self, number: int, key: str) -> None:
        """Gives an item that was added a further key that no two splits may share."""
        self._always.add(number, (key,))

    def deal(self) -> Dealt:
        """Assigns every item.

        Raises:
            ValueError: if no weight is positive.
        """
        splits = [name for name, weight in self.weights.items() if weight > 0]
        if not splits:
            raise ValueError(f"no weight is positive in {dict(self.weights)}")
        names = list(self.weights)
        if len(splits) == 1 or not self._content:
            home = names.index(splits[0])
            return Dealt(np.full(len(self._content), home, np.int64), {})
        shares = np.array([self.weights[name] for name in splits])
        shares = shares / shares.sum()
        rules: list[Rule] = ["all"] * len(self._scope_names)
        groups = self._groups(rules)
        for scope in self._scope_names.values():
            rules[scope] = self._rule(scope, rules, groups, shares)
            if rules[scope] != "all":
                groups = self._groups(rules)
        chosen = self._spread(groups, splits, shares)
        homes = np.array([names.index(name) for name in splits])[chosen[groups]]
        self._set_aside(homes, rules, np.array([self.weights[name] for name in names]))
        return Dealt(homes, {name: rules[number] for name, number in self._scope_names.items()})

    def _rule(
        self, scope: int, rules: Sequence[Rule], joined: Ints, shares: npt.NDArray[np.float64]
    ) -> Rule:
        """The strictest rule under which a scope comes apart into enough groups.

        Args:
            joined: the groups while this scope has the rule "all".
        """
        mine = np.flatnonzero(np.array(self._scopes) == scope)
        groups = joined
        for rule in _RULES:
            if rule != "all":
                groups = self._groups([*rules[:scope], rule, *rules[scope + 1 :]])
            _, sizes = np.unique(groups[mine], return_counts=True)
            rest = 1 - sizes.max() / len(mine)
            if len(sizes) < len(shares) or rest < (1 - shares.max()) / 2:
                continue
            if rule != "set_aside" or self._contested(mine, groups) <= _MOST_SET_ASIDE:
                return rule
        more = len(np.unique(groups[mine])) > len(np.unique(joined[mine]))
        return "recordings" if more else "all"

    def _contested(self, mine: Ints, groups: Ints) -> float:
        """The share of these items that have a text of another group too."""
        items, keys = self._texts.arrays()
        pairs = np.unique(np.stack([keys, groups[items].astype(np.uint64)], axis=1), axis=0)
        texts, spread = np.unique(pairs[:, 0], return_counts=True)
        shared = np.isin(keys, texts[spread > 1])
        return len(np.intersect1d(items[shared], mine)) / len(mine)

    def _groups(self, rules: Sequence[Rule]) -> Ints:
        """The group of each item."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        rule = np.array([_RULES.index(rule) for rule in rules])[np.array(self._scopes)]
        parts = [self._always.arrays()]
        for edges, under in ((self._speakers, (0, 1)), (self._texts, (0, 2))):
            items, keys = edges.arrays()
            kept = np.isin(rule[items], under)
            parts.append((items[kept], keys[kept]))
        items = np.concatenate([items for items, _ in parts])
        _, key = np.unique(np.concatenate([keys for _, keys in parts]), return_inverse=True)
        n = len(self._content)
        size = n + int(key.max(initial=-1)) + 1
        joined = coo_array((np.ones(len(items), np.int8), (items, n + key)), shape=(size, size))
        _, component = connected_components(joined, directed=False)
        return np.unique(component[:n], return_inverse=True)[1].astype(np.int64)

    def _spread(self, groups: Ints, splits: list[str], shares: npt.NDArray[np.float64]) -> Ints:
        """The number of the split in ``splits`` of each group."""
        n_groups = int(groups.max()) + 1
        sizes = np.bincount(groups, minlength=n_groups)
        names = np.full(n_groups, np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(names, groups, np.array(self._content, np.uint64))
        order = {int(g): key_number(f"{self.seed}\0{names[g]}") for g in range(n_groups)}
        members = {
            stratum: np.unique(groups[items], return_counts=True)
            for stratum, items in self._strata.items()
        }
        behind = {s: shares * counts.sum() for s, (_, counts) in members.items()}
        overall = shares * len(groups)
        strata_of: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for stratum, (found, counts) in members.items():
            for group, count in zip(found.tolist(), counts.tolist(), strict=True):
                strata_of[group].append((stratum, count))
        chosen = np.full(n_groups, -1, np.int64)

        def put(group: int, split: int) -> None:
            chosen[group] = split
            overall[split] -= sizes[group]
            for stratum, count in strata_of[group]:
                behind[stratum][split] -= count

        needed = [s for s in members if self.needs.get(s)]
        others = [s for s in members if not self.needs.get(s)]
        for stratum in sorted(needed, key=lambda s: (len(members[s][0]), s)):
            found = members[stratum][0].tolist()
            lacking = [
                i for i in np.argsort(shares, kind="stable").tolist()
                if splits[i] in self.needs[stratum] and i not in chosen[found]
            ]  # fmt: skip
            free = sorted((g for g in found if chosen[g] < 0), key=lambda g: (sizes[g], order[g]))
            for split, group in zip(lacking, free, strict=False):
                if len(free) >= len(lacking):
                    put(group, split)
        for stratum in sorted((*needed, *others), key=lambda s: (len(members[s][0]), s)):
            free = [g for g in members[stratum][0].tolist() if chosen[g] < 0]
            for group in sorted(free, key=lambda g: (-sizes[g], order[g])):
                desire = np.lexsort((shares, -overall, -behind[stratum].round(9)))
                put(group, int(desire[0]))
        for group in sorted(np.flatnonzero(chosen < 0).tolist(), key=lambda g: order[g]):
            put(group, int(np.argmax(overall)))
        return chosen

    def _set_aside(
        self, homes: Ints, rules: Sequence[Rule], weights: npt.NDArray[np.float64]
    ) -> None:
        """Marks the items whose text lies in another split, of scopes that give them up.

        A text stays where other scopes have it, else in the smallest of its splits.
        """
        loose = np.array([rule == "set_aside" for rule in rules])[np.array(self._scopes)]
        items, keys = self._texts.arrays()
        contested = np.isin(keys, np.unique(keys[loose[items]]))
        by_text: dict[int, list[int]] = defaultdict(list)
        for item, key in zip(items[contested].tolist(), keys[contested].tolist(), strict=True):
            by_text[key].append(item)
        for among in by_text.values():
            present = [item for item in among if homes[item] != SET_ASIDE]
            fixed = [item for item in present if not loose[item]]
            kept = min(
                (int(homes[item]) for item in fixed or present),
                key=lambda split: (weights[split], split), default=None,
            )  # fmt: skip
            for item in present:
                if loose[item] and homes[item] != kept:
                    homes[item] = SET_ASIDE


@dataclass
class _Edges:
    """Keys of items, eight bytes each, since there may be many."""

    _items: array[int] = field(default_factory=lambda: array("l"))
    _keys: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, item: int, keys: Iterable[str]) -> None:
        for key in keys:
            self._items.append(item)
            self._keys.append(key_number(key))

    def arrays(self) -> tuple[Ints, npt.NDArray[np.uint64]]:
        return np.array(self._items, np.int64), np.array(self._keys, np.uint64)


def key_number(key: str) -> int:
    """Eight bytes of a key, which may be long."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")

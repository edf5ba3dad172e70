"""A call of the map family: checks its arguments, and runs it along the road."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, Unpack

from scoopsci.basics.codehash import Code, describe_code, identify, list_doubts
from scoopsci.estimation.estimates import DoubtfulEstimateWarning
from scoopsci.estimation.streams import STREAM, check_seed
from scoopsci.reporting.receipts import make_receipt
from scoopsci.road.blocks import Prefixes, Range
from scoopsci.road.chunks import CallEach, FoldBlocks, ListBlocks
from scoopsci.road.inputs import Columns
from scoopsci.road.options import RunOptions, split_options
from scoopsci.road.runs import Run, fold_run, hold_engine, merging, raising_users_own

__all__ = ["MapCall", "MapOptions", "OnError"]

OnError: TypeAlias = Literal["raise", "return"]

#: Items of a container that a captured generator is searched in, where no hash is needed.
N_SAMPLED = 1_000


class MapOptions(RunOptions, total=False):
    """Options of the map family: those of a run, and two more.

    Attributes
    ----------
    seed : int
        Gives each call its own random generator as the first argument, ``fn(rng, item)``, which
        depends on the seed and the item's index alone.
    receipt : callable
        Gets the receipt of the run, a dict, at the end of the run.
    """

    seed: int | None
    receipt: Callable[[dict[str, Any]], object]


class MapCall:
    """One call of the map family."""

    def __init__(
        self,
        workload: str,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        unpack: bool = False,
        merge: Callable[[Any, Any], Any] | None = None,
        /,
        *,
        seed: int | None = None,
        receipt: Callable[[dict[str, Any]], object] | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        if not callable(fn):
            raise TypeError(f"fn must be callable, got {fn!r}")
        if workload.startswith("map_") and not callable(merge):
            raise TypeError(f"merge must be callable as merge(left, right), got {merge!r}")
        if receipt is not None and not callable(receipt):
            raise TypeError(f"receipt must be callable, got {receipt!r}")
        self.options = options
        self._receipt = receipt
        seed = None if seed is None else check_seed(seed)
        self.each = CallEach(fn, unpack or len(iterables) > 1, seed)
        self.inputs = _side_by_side(iterables)
        self.n_items = _count_items(iterables)
        self._what: dict[str, Any] = {"workload": workload, "stream": STREAM}
        self._choices: dict[str, Any] = {"seed": seed, "unpack": self.each.unpack}
        identity = {**self._what, **self._choices}
        is_recorded = options.get("ledger") is not None
        codes = {"code": fn} if merge is None else {"code": fn, "merge": merge}
        if is_recorded or receipt is not None:  # nobody else asks, and a large table takes long
            identity |= self._identify(codes, warns=is_recorded or seed is not None)
        elif seed is not None:
            _warn_of_doubts({n: describe_code(c, most_items=N_SAMPLED) for n, c in codes.items()})
        self._known: dict[str, Any] = {"identity": identity, "n_blocks": self.n_items}

    def _identify(self, functions: dict[str, Callable[..., Any]], *, warns: bool) -> dict[str, Any]:
        """Add the hashes of the code, and return the identity's share of it."""
        codes = {name: describe_code(fn) for name, fn in functions.items()}
        self._what["code"] = codes["code"].hash
        if "merge" in codes:
            self._choices["merge"] = codes["merge"].hash
        if warns:
            _warn_of_doubts(codes, stacklevel=5)
        return {**{name: code.hash for name, code in codes.items()}, **identify(codes)}

    def parts(self, on_error: OnError, *, in_order: bool) -> Generator[list[Any], None, None]:
        """Run it, and yield lists of results."""
        if on_error not in ("raise", "return"):
            raise ValueError(f"on_error must be 'raise' or 'return', got {on_error!r}")
        run: Run[list[Any]] = Run(
            ListBlocks(self.each),
            self.inputs,
            self.options,
            stand_in=(lambda error: [error]) if on_error == "return" else None,
            **self._known,
        )
        return self._walk(run, in_order=in_order)

    def _walk(self, run: Run[list[Any]], *, in_order: bool) -> Generator[list[Any], None, None]:
        with (
            raising_users_own(),
            contextlib.closing(run.partials(in_order=in_order)) as partials,
        ):
            for _, part in partials:
                yield part
        self._write_receipt(run.description)

    def fold(self, merge: Callable[[Any, Any], Any]) -> Any:
        """Run it, and merge the results along the fixed tree."""
        return self._fold(self.each, merge)

    def fold_groups(self, merge: Callable[[Any, Any], Any]) -> Any:
        """Run it, and merge the values of each key."""
        each = CallEach(_GroupPairs(self.each.fn, merge), self.each.unpack, self.each.seed)
        return self._fold(each, _MergeGroups(merge), empty={})

    def _fold(self, each: CallEach, merge: Callable[[Any, Any], Any], empty: Any = None) -> Any:
        with raising_users_own():
            whole, done = fold_run(
                each, merge, self.inputs, self.options, empty=empty, **self._known
            )
        self._write_receipt(done)
        return whole

    def scan_parts(self, merge: Callable[[Any, Any], Any]) -> Generator[list[Any], None, None]:
        """Run it, and yield lists of the results merged up to each item."""
        split_options(self.options)  # refused here, not on iteration
        return self._scan(merge)

    def _scan(self, merge: Callable[[Any, Any], Any]) -> Generator[list[Any], None, None]:
        with raising_users_own(), hold_engine(self.options) as options:
            totals = FoldBlocks(_WithValue(self.each), _MergeWithValues(merge))
            up: Run[tuple[Any, list[Any]]] = Run(totals, self.inputs, options, **self._known)
            options["ledger"] = options["progress"] = None  # these are for the first sweep
            with contextlib.closing(_find_prefixes(up, merge)) as before:
                scan = ListBlocks(CallEach(_ScanRange(merge), unpack=True))
                down: Run[list[Any]] = Run(
                    scan, before, options, identity={"workload": "map_scan, second sweep"}
                )
                with contextlib.closing(down.partials(in_order=True)) as partials:
                    for _, scanned in partials:
                        yield from scanned
        self._write_receipt(up.description)

    def _write_receipt(self, done: dict[str, Any]) -> None:
        if self._receipt is not None:
            options = {**self._choices, "n_items": self.n_items}
            self._receipt(make_receipt(**self._what, options=options, result={}, **done))


def _warn_of_doubts(codes: Mapping[str, Code], stacklevel: int = 4) -> None:
    remedy = "draw from the rng that a call with seed= gives to each item"
    for doubt in list_doubts(codes, remedy):
        warnings.warn(doubt, DoubtfulEstimateWarning, stacklevel=stacklevel)


def _side_by_side(iterables: tuple[Iterable[Any], ...]) -> Iterable[Any]:
    if not iterables:
        raise TypeError("there must be at least one iterable, got none")
    for values in iterables:
        iter(values)  # refused here, not during the run
    if len(iterables) == 1:
        return iterables[0]
    if all(Columns.can_hold(values) for values in iterables):
        return Columns(iterables)
    return zip(*iterables, strict=False)


def _count_items(iterables: tuple[Iterable[Any], ...]) -> int | None:
    try:
        return min(len(values) for values in iterables)  # type: ignore[arg-type]
    except TypeError:  # one has no length, or not one that compares
        return None


@dataclass(frozen=True, slots=True)
class _GroupPairs:
    """Groups the pairs that a function yields for one item."""

    fn: Callable[..., Iterable[tuple[Any, Any]]]
    merge: Callable[[Any, Any], Any]

    def __call__(self, *arguments: Any) -> dict[Any, Any]:
        groups: dict[Any, Any] = {}
        for key, value in self.fn(*arguments):
            if key != key:  # such as NaN, which a dict finds by identity, on the same host only
                raise ValueError(f"a key must be equal to itself, got {key!r}")
            groups[key] = self.merge(groups[key], value) if key in groups else value
        return groups


@dataclass(frozen=True, slots=True)
class _MergeGroups:
    """Merges two dicts key by key, and modifies neither: a merge may be repeated."""

    merge: Callable[[Any, Any], Any]

    def __call__(self, left: dict[Any, Any], right: dict[Any, Any]) -> dict[Any, Any]:
        groups = left.copy()
        for key, value in right.items():
            groups[key] = self.merge(groups[key], value) if key in groups else value
        return groups


@dataclass(frozen=True, slots=True)
class _WithValue:
    """Pairs each result, as the total of its range, with the list of the range's results."""

    each: CallEach

    def __call__(self, start: int, inputs: Iterator[Any]) -> Iterator[tuple[Any, list[Any]]]:
        return ((value, [value]) for value in self.each(start, inputs))


@dataclass(frozen=True, slots=True)
class _MergeWithValues:
    """Merges the totals of two ranges, and joins their results."""

    merge: Callable[[Any, Any], Any]

    def __call__(
        self, left: tuple[Any, list[Any]], right: tuple[Any, list[Any]]
    ) -> tuple[Any, list[Any]]:
        return self.merge(left[0], right[0]), left[1] + right[1]


@dataclass(frozen=True, slots=True)
class _ScanRange:
    """Scans the results of one range, given the prefixes before it."""

    merge: Callable[[Any, Any], Any]

    def __call__(self, before: Prefixes[Any], start: int, values: list[Any]) -> list[Any]:
        return [
            before.add(self.merge, Range(block, block + 1), value)
            for block, value in enumerate(values, start)
        ]


def _find_prefixes(
    up: Run[tuple[Any, list[Any]]], merge: Callable[[Any, Any], Any]
) -> Generator[tuple[Prefixes[Any], int, list[Any]], None, None]:
    prefixes: Prefixes[Any] = Prefixes()
    with contextlib.closing(up.partials(in_order=True)) as partials:
        for blocks, (total, values) in partials:
            yield prefixes.copy(), blocks.start, values
            with merging():
                prefixes.add(merge, blocks, total)

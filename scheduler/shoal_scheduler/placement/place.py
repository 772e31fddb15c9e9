"""Place equal asks one after another: filter, rank, take, and see the result in the next round.

This is the plain form of the rules. It costs instances x asks; over-commitment is impossible because each
placement is subtracted before the next is looked for.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.candidate import Candidate
from shoal_scheduler.placement.filters import DYNAMIC, STATIC, Filter
from shoal_scheduler.placement.strategies import ranks


class Unplaceable(NamedTuple):
    """Why an ask fits nowhere: how many instances each rule refused."""

    reasons: Counter[str]

    @property
    def reason(self) -> str:
        """The one word ECS answers with: the rule that refused most; "no instances" has a word too."""
        if not self.reasons:
            return "INSTANCE:NONE"
        return max(sorted(self.reasons), key=lambda reason: self.reasons[reason])

    @property
    def detail(self) -> str:
        if not self.reasons:
            return "the cluster has no container instances"
        parts = [
            f"{reason} on {count} instance{'s' if count > 1 else ''}"
            for reason, count in sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
        ]
        return ", ".join(parts)


class Placed(NamedTuple):
    """The instance of each task that found one, in order, and why the rest did not."""

    instances: tuple[str, ...]
    unplaceable: Unplaceable | None


def place(ask: Ask, count: int, candidates: Sequence[Candidate], rng: Random) -> Placed:
    """Place up to `count` equal asks. Pure: the candidates are not changed."""
    reasons: Counter[str] = Counter()
    open_candidates: dict[str, Candidate] = {}
    for candidate in candidates:
        refusal = _first_refusal(STATIC, ask, candidate)
        if refusal is None:
            open_candidates[candidate.instance.id] = candidate
        else:
            reasons[refusal] += 1
    chosen: list[str] = []
    while len(chosen) < count:
        fitting, dynamic_reasons = _fitting(ask, open_candidates)
        if not fitting:
            return Placed(tuple(chosen), Unplaceable(reasons + dynamic_reasons))
        best = _best(ask, fitting, rng)
        chosen.append(best.instance.id)
        open_candidates[best.instance.id] = best._replace(used=best.used.plus(ask.resources, ask.group))
    return Placed(tuple(chosen), None)


def _first_refusal(filters: Sequence[Filter], ask: Ask, candidate: Candidate) -> str | None:
    for check in filters:
        refusal = check(ask, candidate)
        if refusal is not None:
            return refusal
    return None


def _fitting(ask: Ask, candidates: dict[str, Candidate]) -> tuple[list[Candidate], Counter[str]]:
    fitting = []
    reasons: Counter[str] = Counter()
    for candidate in candidates.values():
        refusal = _first_refusal(DYNAMIC, ask, candidate)
        if refusal is None:
            fitting.append(candidate)
        else:
            reasons[refusal] += 1
    return fitting, reasons


def _best(ask: Ask, candidates: list[Candidate], rng: Random) -> Candidate:
    """Each strategy keeps its equals for the next; what is left after the last is drawn by the seed."""
    for strategy in ask.strategies:
        ranked = ranks(strategy, ask, candidates)
        best = min(ranked)
        candidates = [c for c, rank in zip(candidates, ranked, strict=True) if rank == best]
        if len(candidates) == 1:
            break
    return candidates[0] if len(candidates) == 1 else rng.choice(candidates)

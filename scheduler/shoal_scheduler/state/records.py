"""Records that are stored alone, each under its kind and its names, and that nothing is derived from here.

A new kind of record is a line in KINDS. The first of its names is its cluster; what all names but the last say is its
parent, by which it is listed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from shoal_scheduler.model.rebalance import Rebalance
from shoal_scheduler.model.scaling import ScalableTarget, ScalingActivities, ScalingPolicy, ScheduledAction
from shoal_scheduler.model.service import Deployment, Service, ServiceEvents, ServiceRevision
from shoal_scheduler.model.traffic import ListenerRule, TargetGroup

Key = tuple[str, ...]
Record = TypeVar("Record", bound=msgspec.Struct)


class Kind(NamedTuple):
    """`names`: the fields by which a record is known."""

    record: type[msgspec.Struct]
    names: tuple[str, ...]


# By the word for it in the keys of the store: see `state.keys`.
KINDS: Mapping[str, Kind] = {
    "services": Kind(Service, ("cluster", "name")),
    "service-revisions": Kind(ServiceRevision, ("cluster", "service", "id")),
    "service-deployments": Kind(Deployment, ("cluster", "service", "id")),
    "service-events": Kind(ServiceEvents, ("cluster", "service")),
    "target-groups": Kind(TargetGroup, ("cluster", "name")),
    "listener-rules": Kind(ListenerRule, ("cluster", "name")),
    "scalable-targets": Kind(ScalableTarget, ("cluster", "service")),
    "scaling-policies": Kind(ScalingPolicy, ("cluster", "service", "name")),
    "scheduled-actions": Kind(ScheduledAction, ("cluster", "service", "name")),
    "scaling-activities": Kind(ScalingActivities, ("cluster", "service")),
    "rebalances": Kind(Rebalance, ("cluster", "id")),
}
WORDS: Mapping[type[msgspec.Struct], str] = {kind.record: word for word, kind in KINDS.items()}
_KEYS = {kind.record: attrgetter(*kind.names) for kind in KINDS.values()}


def key_of(record: msgspec.Struct) -> Key:
    """Its names."""
    return cast(Key, _KEYS[type(record)](record))


@dataclass(frozen=True, slots=True)
class PutRecord:
    record: msgspec.Struct


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    kind: type[msgspec.Struct]
    key: Key


class Records:
    """All of them. Changed through `put` and `delete` alone."""

    def __init__(self) -> None:
        self._by_kind: dict[type[msgspec.Struct], dict[Key, Any]] = {kind.record: {} for kind in KINDS.values()}
        self._children: dict[type[msgspec.Struct], dict[Key, dict[Key, None]]] = {
            kind.record: {} for kind in KINDS.values()
        }

    def get(self, kind: type[Record], *key: str) -> Record | None:
        return cast("Record | None", self._by_kind[kind].get(key))

    def of(self, kind: type[Record], *parent: str) -> list[Record]:
        """Those of a parent, in no order that would be the same after a load."""
        known = self._by_kind[kind]
        return [known[key] for key in self._children[kind].get(parent, ())]

    def all(self, kind: type[Record]) -> Iterator[Record]:
        return iter(self._by_kind[kind].values())

    def put(self, record: msgspec.Struct) -> None:
        kind, key = type(record), key_of(record)
        self._by_kind[kind][key] = record
        self._children[kind].setdefault(key[:-1], {})[key] = None

    def delete(self, kind: type[msgspec.Struct], key: Key) -> None:
        self._by_kind[kind].pop(key, None)
        family = self._children[kind].get(key[:-1], {})
        family.pop(key, None)
        if not family:
            self._children[kind].pop(key[:-1], None)

    def __len__(self) -> int:
        return sum(map(len, self._by_kind.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Records) and self._by_kind == other._by_kind

    __hash__ = None  # type: ignore[assignment]  # it changes


class RecordsOverlay:
    """The records as they will be after what was proposed."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._proposed: dict[type[msgspec.Struct], dict[Key, Any]] = {}

    def get(self, kind: type[Record], *key: str) -> Record | None:
        proposed = self._proposed.get(kind, {})
        return cast("Record | None", proposed[key]) if key in proposed else self._records.get(kind, *key)

    def of(self, kind: type[Record], *parent: str) -> list[Record]:
        proposed = self._proposed.get(kind)
        if not proposed:
            return self._records.of(kind, *parent)
        known = {key_of(record): record for record in self._records.of(kind, *parent)}
        known |= {key: record for key, record in proposed.items() if key[:-1] == parent}
        return [record for record in known.values() if record is not None]

    def all(self, kind: type[Record]) -> list[Record]:
        known = {key_of(record): record for record in self._records.all(kind)} | self._proposed.get(kind, {})
        return [record for record in known.values() if record is not None]

    def propose(self, change: PutRecord | DeleteRecord) -> set[object]:
        """What stands for the key that the change writes."""
        match change:
            case PutRecord(record):
                kind, key = type(record), key_of(record)
                self._proposed.setdefault(kind, {})[key] = record
            case DeleteRecord(kind, key):
                self._proposed.setdefault(kind, {})[key] = None
        return {(kind, key)}

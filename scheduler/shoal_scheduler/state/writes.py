"""Between changes and the store: which keys a step writes, and tables from what the store holds. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.join_token import JoinToken
from shoal_scheduler.model.task import Launch, Task
from shoal_scheduler.model.usage import UsageMonth
from shoal_scheduler.state import batch_writes, codec, keys, record_writes
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.store import Gap, KeyRange, Stored, Transaction, Write, prefix_range
from shoal_scheduler.state.tables import Tables


def write_of(tables: Tables, changes: Sequence[c.Change], step: str) -> Write | None:
    """The one transaction of a step; None if nothing in it is durable. Each touched chunk is written once."""
    puts: dict[bytes, bytes] = {}
    deletes: dict[bytes | KeyRange, None] = {}
    changed_tasks: dict[tuple[str, int], dict[int, Task]] = {}
    for change in changes:
        if isinstance(change, c.PutTask):
            task = change.task
            chunk = (task.launch.id, task.index // keys.TASKS_PER_CHUNK)
            changed_tasks.setdefault(chunk, {})[task.index] = task
        elif put := _put_of(change) or batch_writes.put_of(change) or record_writes.put_of(change):
            puts[put[0]] = put[1]
            deletes.pop(put[0], None)  # a transaction names a key once: what comes last holds
        else:
            for key in _deletes(tables, change):
                deletes[key] = None
                if isinstance(key, bytes):
                    puts.pop(key, None)
    for (launch_id, number), tasks in changed_tasks.items():
        launch = next(iter(tasks.values())).launch
        puts[keys.chunk(launch.cluster, launch_id, number)] = codec.encode_chunk(_chunk(tables, launch, number, tasks))
    return Write(step, puts, list(deletes)) if puts or deletes else None


def _put_of(change: c.Change) -> tuple[bytes, bytes] | None:
    """Key and value, of what is stored alone and is not of batch."""
    match change:
        case c.PutLaunch(launch):
            return keys.launch(launch.cluster, launch.id), codec.encode(launch)
        case c.PutInstance(instance):
            return keys.instance(instance.cluster, instance.id), codec.encode(instance)
        case c.PutJoinToken(token):
            return keys.join_token(token.cluster, token.hash), codec.encode(token)
        case c.PutDefinition(definition):
            return keys.definition(definition.family, definition.revision), codec.encode(definition)
        case c.PutCluster(cluster):
            return keys.cluster(cluster.name), codec.encode(cluster)
        case c.PutAlarm(alarm):
            return keys.alarm(alarm.name), codec.encode(alarm)
        case c.PutUsage(usage):
            return keys.usage(usage.cluster, usage.month, usage.group), codec.encode(usage)
        case _:
            return None


def _chunk(tables: Tables, launch: Launch, number: int, changed: dict[int, Task]) -> Iterable[Task]:
    entry = tables.launches.get(launch.id)
    known = entry.tasks if entry else {}
    start = number * keys.TASKS_PER_CHUNK
    for index in range(start, min(start + keys.TASKS_PER_CHUNK, launch.count)):
        task = changed.get(index) or known.get(index)
        if task is not None:
            yield task


def _deletes(tables: Tables, change: c.Change) -> Iterable[bytes | KeyRange]:
    match change:
        case c.DeleteLaunch(launch_id):
            launch = tables.launches[launch_id].launch
            yield keys.launch(launch.cluster, launch_id)
            yield prefix_range(keys.chunk(launch.cluster, launch_id, 0)[:-4])
        case c.DeleteJoinToken(cluster, token_hash):
            yield keys.join_token(cluster, token_hash)
        case c.DeleteDefinition(family, revision):
            yield keys.definition(family, revision)
        case c.DeleteAlarm(name):
            yield keys.alarm(name)
        case c.DeleteUsage(cluster, group, month):
            yield keys.usage(cluster, month, group)
        case _:
            if (key := record_writes.delete_of(change)) is not None:
                yield key
            yield from batch_writes.deletes_of(change)


def changes_of(records: Iterable[Stored], known: Tables | None = None) -> Iterable[tuple[c.Change, int]]:
    """What to apply to empty tables, or to those that are known, to have what the store holds; with the revision of
    each. Definitions come before launches and launches before tasks, whatever the order of keys."""
    by_kind: dict[str, list[Stored]] = {}
    for record in records:
        by_kind.setdefault(keys.kind(record.key), []).append(record)
    for record in by_kind.get("clusters", ()):
        yield c.PutCluster(codec.decode(Cluster, record.value)), record.mod_revision
    for record in by_kind.get("definitions", ()):
        yield c.PutDefinition(codec.decode(Definition, record.value)), record.mod_revision
    for record in by_kind.get("instances", ()):
        yield c.PutInstance(codec.decode(Instance, record.value)), record.mod_revision
    for record in by_kind.get("usage", ()):
        yield c.PutUsage(codec.decode(UsageMonth, record.value)), record.mod_revision
    for record in by_kind.get("alarms", ()):
        yield c.PutAlarm(codec.decode(Alarm, record.value)), record.mod_revision
    for record in by_kind.get("tokens", ()):
        yield c.PutJoinToken(codec.decode(JoinToken, record.value)), record.mod_revision
    yield from batch_writes.changes_of(by_kind)
    yield from record_writes.changes_of(by_kind)
    launches = {}
    stored_launches = [(codec.decode(Launch, r.value), r.mod_revision) for r in by_kind.get("launches", ())]
    for launch, revision in sorted(stored_launches, key=lambda item: (item[0].created_at, item[0].id)):
        launches[launch.id] = launch
        yield c.PutLaunch(launch), revision
    for record in by_kind.get("tasks", ()):
        launch_id = keys.parts(record.key)[0]
        launch = launches.get(launch_id) or (known.launches[launch_id].launch if known else launches[launch_id])
        for task in codec.decode_chunk(launch, record.value, record.mod_revision):
            yield c.PutTask(task), record.mod_revision


def changes_in(tables: Tables, transaction: Transaction) -> list[c.Change]:
    """What a leader's transaction changed: applied to tables that hold everything before it, they are the leader's.

    A chunk is stored whole, whichever of its tasks were changed. Raises Gap where it does not fit to the tables.
    """
    try:
        found = [change for change, _ in changes_of(transaction.puts, tables) if not _is_known(tables, change)]
    except KeyError as error:
        raise Gap(f"a task of a launch that is not known: {error}") from error
    puts = [as_proposed(change, transaction.revision) for change in found]
    return [*puts, *(change for key in transaction.deletes for change in _deleted(key))]


def _is_known(tables: Tables, change: c.Change) -> bool:
    """Of tasks only: all else is stored alone, and so because it changed."""
    match change:
        case c.PutTask(task):
            entry = tables.launches.get(task.launch.id)
            return entry is not None and entry.tasks.get(task.index) == task
        case _:
            return False


def as_proposed(change: c.Change, revision: int) -> c.Change:
    """As the step of that revision proposed it: a task that it assigned had no fence before it."""
    match change:
        case c.PutTask(task) if task.fence == revision:
            return c.PutTask(msgspec.structs.replace(task, fence=0))
        case _:
            return change


def _deleted(key: bytes) -> Iterator[c.Change]:
    names = keys.parts(key)
    match keys.kind(key):
        case "launches":
            yield c.DeleteLaunch(names[0])
        case "definitions":
            yield c.DeleteDefinition(names[0], int(names[1]))
        case "tasks":  # they go with their launch
            return
        case "tokens":
            yield c.DeleteJoinToken(keys.cluster_of(key), names[0])
        case "usage":
            yield c.DeleteUsage(keys.cluster_of(key), "/".join(names[1:]), names[0])
        case "alarms":
            yield c.DeleteAlarm("/".join(names))
        case kind if kind in batch_writes.GO_WITH_THEIR_JOB:
            return
        case _:
            gone = batch_writes.deleted(key) or record_writes.deleted(key)
            if gone is None:
                raise Gap(f"{key!r} was deleted, which no leader does")
            yield gone


class Compared(NamedTuple):
    """How many records the tables hold just so, of the kinds that are compared, a task being one; the keys of what they
    do not, and never what it says: that may be secret."""

    equal: int
    different: list[str]


def compared(tables: Tables, record: Stored) -> Compared:
    try:
        held = [_holds(tables, change) for change, _ in changes_of([record], tables)]
    except KeyError:  # of a launch that the tables do not know
        held = [False]
    return Compared(held.count(True), [record.key.decode()] if False in held else [])


def size(tables: Tables) -> int:
    """How many records they hold of the kinds that are compared, a task being one."""
    definitions = sum(map(len, tables.definitions.values()))
    tasks = sum(len(entry.tasks) for entry in tables.launches.values())
    launches, instances = len(tables.launches), len(tables.instances)
    named = len(tables.clusters) + len(tables.usage) + len(tables.alarms) + len(tables.join_tokens)
    named += len(tables.records)
    return launches + instances + named + definitions + tasks + batch_writes.size(tables.batch)


def _holds(tables: Tables, change: c.Change) -> bool | None:
    """None for what is not compared."""
    match change:
        case c.PutTask():
            return _is_known(tables, change)
        case c.PutCluster(cluster):
            return tables.clusters.get(cluster.name) == cluster
        case c.PutDefinition(definition):
            return tables.definition(definition.family, definition.revision) == definition
        case c.PutInstance(instance):
            return tables.instances.get(instance.id) == instance
        case c.PutLaunch(launch):
            return tables.launch(launch.id) == launch
        case c.PutJoinToken(token):
            return tables.join_tokens.get(token.hash) == token
        case c.PutUsage(usage):
            return tables.usage.get((usage.cluster, usage.group, usage.month)) == usage
        case c.PutAlarm(alarm):
            return tables.alarms.get(alarm.name) == alarm
        case _:
            held = batch_writes.holds(tables.batch, change)
            return record_writes.holds(tables.records, change) if held is None else held


def loaded(records: Iterable[Stored], revision: int) -> Tables:
    tables = Tables()
    for change, changed_at in changes_of(records):
        tables.apply([change], changed_at)
    tables.revision = max(tables.revision, revision)
    tables.finished = dict(sorted(tables.finished.items(), key=lambda item: item[1]))
    tables.batch.finished = dict(sorted(tables.batch.finished.items(), key=lambda item: item[1]))
    for jobs in tables.batch.waiting.values():
        jobs.forget_counts()
    return tables

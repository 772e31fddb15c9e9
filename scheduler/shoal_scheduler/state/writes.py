"""Between changes and the store: which keys a step writes, and tables from what the store holds. Pure."""

from collections.abc import Iterable, Sequence

from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Launch, Task
from shoal_scheduler.model.usage import UsageMonth
from shoal_scheduler.state import changes as c
from shoal_scheduler.state import codec, keys
from shoal_scheduler.state.store import KeyRange, Stored, Write, prefix_range
from shoal_scheduler.state.tables import Tables


def write_of(tables: Tables, changes: Sequence[c.Change], step: str) -> Write | None:
    """The one transaction of a step; None if nothing in it is durable. Each touched chunk is written once."""
    puts: dict[bytes, bytes] = {}
    deletes: list[bytes | KeyRange] = []
    changed_tasks: dict[tuple[str, int], dict[int, Task]] = {}
    for change in changes:
        match change:
            case c.PutTask(task):
                chunk = (task.launch.id, task.index // keys.TASKS_PER_CHUNK)
                changed_tasks.setdefault(chunk, {})[task.index] = task
            case c.PutLaunch(launch):
                puts[keys.launch(launch.cluster, launch.id)] = codec.encode(launch)
            case c.PutInstance(instance):
                puts[keys.instance(instance.cluster, instance.id)] = codec.encode(instance)
            case c.PutDefinition(definition):
                puts[keys.definition(definition.family, definition.revision)] = codec.encode(definition)
            case c.PutCluster(cluster):
                puts[keys.cluster(cluster.name)] = codec.encode(cluster)
            case c.PutUsage(usage):
                puts[keys.usage(usage.cluster, usage.month, usage.group)] = codec.encode(usage)
            case _:
                deletes.extend(_deletes(tables, change))
    for (launch_id, number), tasks in changed_tasks.items():
        launch = next(iter(tasks.values())).launch
        puts[keys.chunk(launch.cluster, launch_id, number)] = codec.encode_chunk(_chunk(tables, launch, number, tasks))
    return Write(step, puts, deletes) if puts or deletes else None


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
        case c.DeleteDefinition(family, revision):
            yield keys.definition(family, revision)
        case c.DeleteUsage(cluster, group, month):
            yield keys.usage(cluster, month, group)
        case _:
            return


def changes_of(records: Iterable[Stored]) -> Iterable[tuple[c.Change, int]]:
    """What to apply to empty tables to have what the store holds, with the revision of each. Definitions come
    before launches and launches before tasks, whatever the order of keys."""
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
    launches = {}
    stored_launches = [(codec.decode(Launch, r.value), r.mod_revision) for r in by_kind.get("launches", ())]
    for launch, revision in sorted(stored_launches, key=lambda item: (item[0].created_at, item[0].id)):
        launches[launch.id] = launch
        yield c.PutLaunch(launch), revision
    for record in by_kind.get("tasks", ()):
        launch = launches[record.key.decode().split("/")[5]]
        for task in codec.decode_chunk(launch, record.value, record.mod_revision):
            yield c.PutTask(task), record.mod_revision


def loaded(records: Iterable[Stored], revision: int) -> Tables:
    tables = Tables()
    for change, changed_at in changes_of(records):
        tables.apply([change], changed_at)
    tables.revision = max(tables.revision, revision)
    tables.finished = dict(sorted(tables.finished.items(), key=lambda item: item[1]))
    return tables

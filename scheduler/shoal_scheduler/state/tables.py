"""All state of the control plane, in memory. The only thing here that changes, and only through `apply`.

What placement subtracts (`used`) is derived from the tasks that are not STOPPED; the indexes are derived from the
records. Loading the store and applying the history give equal tables.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.ask import Ask, Resources
from shoal_scheduler.model.candidate import Candidate
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.held_image import HeldImage
from shoal_scheduler.model.instance import Health, Instance
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_definition import task_definition_of
from shoal_scheduler.model.join_token import JoinToken
from shoal_scheduler.model.task import Launch, Task, TaskKey, ask_of, ask_of_job
from shoal_scheduler.model.usage import UsageMonth
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.batch_changes import PutJob
from shoal_scheduler.state.batch_tables import BatchTables
from shoal_scheduler.state.capacity import holds, put_instance, recount, used_by
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.records import DeleteRecord, PutRecord, Records
from shoal_scheduler.state.seen import shape_of
from shoal_scheduler.state.service_tables import ServiceTables, SetServiceLooked, SetTargetHealth


@dataclass(slots=True)
class LaunchEntry:
    launch: Launch
    ask: Ask
    tasks: dict[int, Task] = field(default_factory=dict)

    # How many of its tasks are not STOPPED.
    live: int = 0


class Held(NamedTuple):
    """An instance is kept for a launch that waits: nothing else is placed there."""

    instance: str
    launch: str


@dataclass(slots=True)
class Tables:
    clusters: dict[str, Cluster] = field(default_factory=dict)
    definitions: dict[str, dict[int, Definition]] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)

    # By hash.
    join_tokens: dict[str, JoinToken] = field(default_factory=dict)

    # In the order of their times; `newest` is the time of the last.
    launches: dict[str, LaunchEntry] = field(default_factory=dict)
    newest: int = 0

    alarms: dict[str, Alarm] = field(default_factory=dict)
    batch: BatchTables = field(default_factory=BatchTables)
    records: Records = field(default_factory=Records)
    services: ServiceTables = field(default_factory=ServiceTables)

    # By cluster, group and month.
    usage: dict[tuple[str, str, str], UsageMonth] = field(default_factory=dict)

    # Store revision up to which all of this is true.
    revision: int = 0

    # Derived: launches all of whose tasks are STOPPED, in the order in which that came, with the time of the last.
    finished: dict[str, int] = field(default_factory=dict)
    finished_tasks: int = 0

    # Derived: launch ids by (cluster, client token); what is free on the instances of each cluster; tasks that are not
    # STOPPED by instance.
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    rooms: dict[str, InstanceTable] = field(default_factory=dict)
    live_tasks: dict[str, dict[TaskKey, None]] = field(default_factory=dict)

    # Derived: by the id of a task that was lost with its instance, the launch that takes its place.
    replacements: dict[str, str] = field(default_factory=dict)

    # Derived: tasks that wait for room, by cluster and launch, in the order in which they came.
    waiting: dict[str, dict[str, dict[int, None]]] = field(default_factory=dict)
    waiting_count: Counter[str] = field(default_factory=Counter)

    # Volatile: incarnation of the open session of each connected instance, and its engine's health; see SetHeld and
    # SetUnsettled.
    sessions: dict[str, int] = field(default_factory=dict)
    health: dict[str, Health] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    unsettled: dict[str, None] = field(default_factory=dict)

    # -- reading -------------------------------------------------------------------------------------------

    def task(self, key: TaskKey) -> Task | None:
        entry = self.launches.get(key.launch)
        return entry.tasks.get(key.ordinal) if entry else None

    def definition(self, family: str, revision: int) -> Definition | None:
        return self.definitions.get(family, {}).get(revision)

    def revisions(self, family: str) -> Mapping[int, Definition]:
        return self.definitions.get(family, {})

    def launch(self, launch_id: str) -> Launch | None:
        entry = self.launches.get(launch_id)
        return entry.launch if entry else None

    def launch_by_token(self, cluster: str, token: str) -> Launch | None:
        launch_id = self.tokens.get((cluster, token))
        return self.launch(launch_id) if launch_id else None

    def resources(self, launch_id: str) -> Resources:
        return self.launches[launch_id].ask.resources

    def tasks(self) -> Iterator[Task]:
        for entry in self.launches.values():
            yield from entry.tasks.values()

    def tasks_on(self, instance_id: str) -> list[Task]:
        """Tasks of the instance that are not STOPPED."""
        found = (self.task(key) for key in self.live_tasks.get(instance_id, ()))
        return [task for task in found if task is not None]

    def room(self, cluster: str) -> InstanceTable:
        """What is free on the instances of the cluster. Take from a copy."""
        found = self.rooms.get(cluster)
        return InstanceTable() if found is None else found

    def candidate(self, instance: Instance) -> Candidate:
        """Counted from its tasks: for one instance at a time."""
        tasks = ((task, self.resources(task.launch.id)) for task in self.tasks_on(instance.id))
        return Candidate(instance, used_by(tasks), instance.id in self.sessions, self.health.get(instance.id))

    def images_on(self, instance: Instance) -> list[HeldImage]:
        """Those that the agent of its open session has reported."""
        room = self.room(instance.cluster)
        row = room.rows.get(instance.id)
        return [] if row is None else room.images.on(row)

    def instances_of(self, cluster: str) -> list[Instance]:
        """All but deregistered ones, in the order in which they came."""
        return [each for each in self.room(cluster).instances if each is not None]

    @property
    def is_unsettled(self) -> bool:
        """Whether the next step has something to do that nobody asks for."""
        return bool(self.unsettled or self.services.unsettled) or self.batch.is_unsettled

    # -- changing ------------------------------------------------------------------------------------------

    def apply(self, changes: Iterable[c.Change], revision: int) -> None:
        """Make committed changes true. `revision` is the store's after the commit."""
        self.revision = max(self.revision, revision)
        for change in changes:
            self._apply(change, revision)

    def _apply(self, change: c.Change, revision: int) -> None:
        match change:
            case c.PutTask(task):
                self._put_task(task if task.fence or not task.instance else _fenced(task, revision))
            case c.PutLaunch(launch):
                self._put_launch(launch)
            case c.DeleteLaunch(launch_id):
                self._delete_launch(launch_id)
            case c.PutInstance(instance):
                self._put_instance(instance)
            case c.PutDefinition(definition):
                self.definitions.setdefault(definition.family, {})[definition.revision] = definition
            case c.DeleteDefinition(family, number):
                self.definitions.get(family, {}).pop(number, None)
            case c.PutCluster(cluster):
                self.clusters[cluster.name] = cluster
            case c.PutJoinToken(token):
                self.join_tokens[token.hash] = token
            case c.DeleteJoinToken(_, token_hash):
                self.join_tokens.pop(token_hash, None)
            case _:
                self._apply_observed(change)

    def _apply_observed(self, change: c.Change) -> None:
        match change:
            case c.PutAlarm(alarm):
                before, self.alarms[alarm.name] = self.alarms.get(alarm.name), alarm
                if before is None or before.state != alarm.state:
                    self.services.stir_alarm(alarm.name, self.records)
            case c.DeleteAlarm(name):
                self.alarms.pop(name, None)
            case PutRecord(record):
                self.records.put(record)
                self.services.put(record)
            case DeleteRecord(kind, key):
                self.records.delete(kind, key)
                self.services.delete(kind, key)
            case c.PutUsage(usage):
                self.usage[usage.cluster, usage.group, usage.month] = usage
            case c.DeleteUsage(cluster_name, group, month):
                self.usage.pop((cluster_name, group, month), None)
            case _:
                self._apply_volatile(change)

    def _apply_volatile(self, change: c.Change) -> None:
        match change:
            case c.SetSession(instance_id, incarnation):
                self._set_session(instance_id, incarnation)
            case c.SetHealth(instance_id, health):
                self._set_health(instance_id, health)
            case c.SetImages():
                self._set_images(change)
            case c.SetHeld(cluster, instance_id, launch_id):
                self.held.pop(cluster, None)
                if instance_id:
                    self.held[cluster] = Held(instance_id, launch_id)
                self.batch.stir(cluster)
            case c.SetUnsettled(cluster, unsettled):
                self.unsettled.pop(cluster, None)
                if unsettled:
                    self.unsettled[cluster] = None
                self.batch.stir(cluster)
            case SetServiceLooked():
                self.services.set_looked(change)
            case SetTargetHealth(key):
                self.services.set_target_health(change, self.task(key))
            case PutJob(job):
                self.batch.put_job(job, self._ask_of_job(job))
            case _:
                self.batch.apply(change)

    def _ask_of_job(self, job: Job) -> Ask:
        family, _, number = task_definition_of(job.definition).rpartition(":")
        return ask_of_job(job, self.definitions[family][int(number)])

    def _put_instance(self, instance: Instance) -> None:
        before, self.instances[instance.id] = self.instances.get(instance.id), instance
        self.services.put_instance(before, instance, self.tasks_on(instance.id))
        room = self.rooms.setdefault(instance.cluster, InstanceTable())
        if instance.status == "INACTIVE":
            self._forget_images(instance.id)
        tasks = ((task, self.resources(task.launch.id)) for task in self.tasks_on(instance.id))
        put_instance(room, instance, connected=instance.id in self.sessions, tasks=tasks)
        self.batch.stir(instance.cluster)

    def _set_session(self, instance_id: str, incarnation: int) -> None:
        if incarnation:
            self.sessions[instance_id] = incarnation
        else:
            self.sessions.pop(instance_id, None)
            self.health.pop(instance_id, None)
            self._forget_images(instance_id)
        instance = self.instances.get(instance_id)
        if instance is not None:
            self.rooms[instance.cluster].set_connected(instance_id, bool(incarnation))
            self.services.stir_daemons(instance.cluster)
            self.batch.stir(instance.cluster)

    def _set_health(self, instance_id: str, health: Health) -> None:
        self.health[instance_id] = health
        instance = self.instances.get(instance_id)
        if instance is not None:
            self.rooms[instance.cluster].set_impaired(instance_id, health.is_impaired)
            self.batch.stir(instance.cluster)

    def _set_images(self, change: c.SetImages) -> None:
        instance = self.instances.get(change.instance)
        room = self.room(instance.cluster) if instance is not None else InstanceTable()
        row = room.rows.get(change.instance)
        if row is not None:
            room.images.change(row, change.images, change.removed, full=change.full)

    def _forget_images(self, instance_id: str) -> None:
        self._set_images(c.SetImages(instance_id, (), full=True))

    def _put_launch(self, launch: Launch) -> None:
        family, _, number = launch.definition.rpartition(":")
        definition = self.definitions[family][int(number)]
        self.launches[launch.id] = LaunchEntry(launch, ask_of(launch, definition))
        self.newest = max(self.newest, launch.created_at)
        room = self.rooms.setdefault(launch.cluster, InstanceTable())
        room.seen.add(shape_of(self.resources(launch.id)), launch.count)
        if launch.client_token:
            self.tokens[launch.cluster, launch.client_token] = launch.id
        if launch.replaces:
            self.replacements[launch.replaces] = launch.id
        if launch.job is not None:
            self.batch.put_launch(launch)

    def _delete_launch(self, launch_id: str) -> None:
        entry = self.launches.pop(launch_id, None)
        if entry:
            self.rooms[entry.launch.cluster].seen.remove(shape_of(entry.ask.resources), entry.launch.count)
        if entry and self.finished.pop(launch_id, None) is not None:
            self.finished_tasks -= len(entry.tasks)
        if entry and entry.launch.client_token:
            self.tokens.pop((entry.launch.cluster, entry.launch.client_token), None)
        if entry and entry.launch.replaces:
            self.replacements.pop(entry.launch.replaces, None)
        if entry and entry.launch.job is not None:
            self.batch.delete_launch(entry.launch)

    def _put_task(self, task: Task) -> None:
        entry = self.launches[task.launch.id]
        before = entry.tasks.get(task.index)
        last_stop = self.finished.pop(entry.launch.id, None)
        if last_stop is not None:
            self.finished_tasks -= len(entry.tasks)
        entry.tasks[task.index] = task
        entry.live += (not task.is_stopped) - (before is not None and not before.is_stopped)
        if not entry.live:
            self.finished[entry.launch.id] = max(last_stop or 0, task.stopped_at)
            self.finished_tasks += len(entry.tasks)
        if task.launch.job is not None:
            self.batch.put_task(task, entry.ask.resources.cpu)
        if task.launch.service is not None:
            self.services.put_task(task)
        if not task.instance:
            self._set_waiting(task, not task.is_stopped)
            return
        if before is not None and not before.instance:
            self._set_waiting(task, False)
        recount(self.rooms[task.launch.cluster], entry.ask.resources, before, task)
        held = before is not None and holds(before)
        if held != holds(task):
            self.batch.stir(task.launch.cluster, came=not held)
        live = self.live_tasks.setdefault(task.instance, {})
        if holds(task):
            live[task.key] = None
        else:
            live.pop(task.key, None)

    def _set_waiting(self, task: Task, waits: bool) -> None:
        launches = self.waiting.setdefault(task.launch.cluster, {})
        indexes = launches.setdefault(task.launch.id, {})
        before = len(indexes)
        if waits:
            indexes[task.index] = None
        else:
            indexes.pop(task.index, None)
        self.waiting_count[task.launch.cluster] += len(indexes) - before
        if not indexes:
            launches.pop(task.launch.id, None)


def _fenced(task: Task, revision: int) -> Task:
    """The write that assigned the task is the one just committed."""
    return msgspec.structs.replace(task, fence=revision)

"""The tables as they will be after the changes a step has proposed so far. Reading never mutates them."""

from collections.abc import Iterator, Mapping, Sequence

from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Health, Instance
from shoal_scheduler.model.join_token import JoinToken
from shoal_scheduler.model.task import Launch, Task, TaskKey, ask_of
from shoal_scheduler.model.traffic import TargetHealth
from shoal_scheduler.model.usage import UsageMonth
from shoal_scheduler.state import changes as c
from shoal_scheduler.state import keys
from shoal_scheduler.state.batch_overlay import BatchOverlay
from shoal_scheduler.state.capacity import put_instance, recount
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.records import DeleteRecord, PutRecord, RecordsOverlay
from shoal_scheduler.state.service_tables import ServiceKey, service_of
from shoal_scheduler.state.tables import Held, Tables
from shoal_scheduler.state.weight import BYTES_PER_KEY, chunk_bytes, record_bytes


class Overlay:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._tasks: dict[TaskKey, Task] = {}
        self._launches: dict[str, Launch] = {}
        self._gone: set[str] = set()
        self._asks: dict[str, Ask] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        self._definitions: dict[tuple[str, int], Definition | None] = {}
        self._clusters: dict[str, Cluster] = {}
        self._instances: dict[str, Instance] = {}
        self._join_tokens: dict[str, JoinToken | None] = {}
        self._sessions: dict[str, int] = {}
        self._alarms: dict[str, Alarm | None] = {}
        self._usage: dict[tuple[str, str, str], UsageMonth] = {}
        self._held: dict[str, Held | None] = {}
        self.batch = BatchOverlay(tables.batch)
        self.records = RecordsOverlay(tables.records)
        self._service_tasks: dict[ServiceKey, dict[TaskKey, None]] = {}
        self._unsettled: dict[str, bool] = {}
        self._rooms: dict[str, InstanceTable] = {}
        self.changes: list[c.Change] = []

        # By cluster, instances where this step made room or changed a fact: what waits may fit there now.
        self.stirred: dict[str, dict[str, None]] = {}

        # What stands for each key that the step writes so far.
        self.touched: set[object] = set()
        self._weight = 0

    # -- reading -------------------------------------------------------------------------------------------

    def task(self, key: TaskKey) -> Task | None:
        if key.launch in self._gone:
            return None
        return self._tasks.get(key) or self._tables.task(key)

    def launch_by_token(self, cluster: str, token: str) -> Launch | None:
        launch_id = self._tokens.get((cluster, token))
        if launch_id:
            return self._launches[launch_id]
        known = self._tables.launch_by_token(cluster, token)
        return None if known is None or known.id in self._gone else known

    def tasks_of_launch(self, launch: Launch) -> list[Task]:
        found = (self.task(TaskKey(launch.id, index)) for index in range(launch.count))
        return [task for task in found if task is not None]

    def tasks_on(self, instance_id: str) -> list[Task]:
        """Tasks of the instance that are not STOPPED."""
        keys_ = {task.key: None for task in self._tables.tasks_on(instance_id)}
        keys_ |= {key: None for key, task in self._tasks.items() if task.instance == instance_id}
        found = (self.task(key) for key in keys_)
        return [task for task in found if task is not None and not task.is_stopped]

    def tasks_of_service(self, service: ServiceKey) -> list[Task]:
        """Those that are not STOPPED."""
        keys_ = {**self._tables.services.live.get(service, {}), **self._service_tasks.get(service, {})}
        found = (self.task(key) for key in keys_)
        return [task for task in found if task is not None and not task.is_stopped]

    def services_to_look_at(self, now: int, limit: int) -> list[ServiceKey]:
        """As it was when the step began."""
        return self._tables.services.to_look_at(now, limit)

    def target_health(self, key: TaskKey) -> Mapping[str, TargetHealth]:
        """By target group, as it was when the step began."""
        return self._tables.services.target_health.get(key, {})

    def known_targets(self) -> list[TaskKey]:
        """Tasks of which the ingress has said something, as it was when the step began."""
        return list(self._tables.services.target_health)

    def definition(self, family: str, revision: int) -> Definition | None:
        key = (family, revision)
        return self._definitions[key] if key in self._definitions else self._tables.definition(family, revision)

    def revisions(self, family: str) -> Mapping[int, Definition]:
        if not self._definitions:
            return self._tables.revisions(family)
        found: dict[int, Definition] = dict(self._tables.revisions(family))
        for (name, number), definition in self._definitions.items():
            if name == family and definition is not None:
                found[number] = definition
            elif name == family:
                found.pop(number, None)
        return found

    def cluster(self, name: str) -> Cluster | None:
        return self._clusters.get(name) or self._tables.clusters.get(name)

    def instance(self, instance_id: str) -> Instance | None:
        return self._instances.get(instance_id) or self._tables.instances.get(instance_id)

    def alarm(self, name: str) -> Alarm | None:
        return self._alarms[name] if name in self._alarms else self._tables.alarms.get(name)

    def alarms_count(self) -> int:
        """Counted when the step began, with those it made since."""
        new = sum(name not in self._tables.alarms for name, alarm in self._alarms.items() if alarm is not None)
        return len(self._tables.alarms) + new

    def usage(self, cluster: str, group: str, month: str) -> UsageMonth | None:
        key = (cluster, group, month)
        return self._usage.get(key) or self._tables.usage.get(key)

    def join_token(self, token_hash: str) -> JoinToken | None:
        if token_hash in self._join_tokens:
            return self._join_tokens[token_hash]
        return self._tables.join_tokens.get(token_hash)

    def join_tokens(self, cluster: str) -> list[JoinToken]:
        found = map(self.join_token, {**self._tables.join_tokens, **self._join_tokens})
        return [token for token in found if token is not None and token.cluster == cluster]

    def session(self, instance_id: str) -> int:
        """Incarnation of the instance's open session, 0 if it has none."""
        return self._sessions.get(instance_id, self._tables.sessions.get(instance_id, 0))

    def room(self, cluster: str) -> InstanceTable:
        """What is free on the instances of the cluster: this step's own copy. Whoever takes from it proposes the
        tasks with `placed`."""
        found = self._rooms.get(cluster)
        if found is None:
            found = self._rooms[cluster] = self._tables.room(cluster).copy()
        return found

    def room_to_read(self, cluster: str) -> InstanceTable:
        """The same, only to be read: as long as nothing is taken there it is the tables' own, which costs no copy."""
        found = self._rooms.get(cluster)
        return self._tables.room(cluster) if found is None else found

    def ask(self, launch: Launch) -> Ask:
        """What each task of the launch wants."""
        known = self._asks.get(launch.id)
        return self._tables.launches[launch.id].ask if known is None else known

    def waiting(self, cluster: str) -> list[Launch]:
        """Launches with tasks that wait for room, the oldest first."""
        known = self._tables.waiting.get(cluster, {})
        found = (self._tables.launch(launch_id) for launch_id in known)
        older = [launch for launch in found if launch is not None and launch.id not in self._gone]
        newer = [launch for launch in self._launches.values() if launch.queue and launch.cluster == cluster]
        return [*older, *newer]

    def waiting_tasks(self, launch: Launch) -> Iterator[Task]:
        known = self._tables.waiting.get(launch.cluster, {}).get(launch.id)
        indexes = range(launch.count) if known is None else known
        found = (self.task(TaskKey(launch.id, index)) for index in indexes)
        return (task for task in found if task is not None and not task.instance and not task.is_stopped)

    def waiting_count(self, cluster: str) -> int:
        """Tasks that waited when the step began."""
        return self._tables.waiting_count.get(cluster, 0)

    def held(self, cluster: str) -> Held | None:
        """The instance that is kept for a launch, if any."""
        return self._held[cluster] if cluster in self._held else self._tables.held.get(cluster)

    @property
    def unsettled(self) -> list[str]:
        """Clusters whose queue was not looked at to its end."""
        known = {**dict.fromkeys(self._tables.unsettled, True), **self._unsettled}
        return [cluster for cluster, unsettled in known.items() if unsettled]

    @property
    def weight(self) -> int:
        """About how many bytes the step writes so far."""
        return self._weight + self.batch.weight

    def is_full(self, keys_max: int) -> bool:
        """Whether the step writes as many keys, or as many bytes as go with them."""
        return len(self.touched) >= keys_max or self.weight >= keys_max * BYTES_PER_KEY

    # -- proposing -----------------------------------------------------------------------------------------

    def propose(self, changes: Sequence[c.Change], *, placed: bool = False) -> None:
        """`placed`: what the tasks take is already taken from `room`."""
        for change in changes:
            self._propose(change, placed=placed)
        self.changes.extend(changes)

    def _propose(self, change: c.Change, *, placed: bool) -> None:
        match change:
            case c.PutTask(task):
                self._put_task(task, placed=placed)
                self._weigh(task)
            case c.PutLaunch(launch):
                self._put_launch(launch)
                self.touched.add(launch.id)
            case c.DeleteLaunch(launch_id):
                self._gone.add(launch_id)
                # One delete for the launch, one for the range of its chunks.
                self.touched |= {launch_id, (launch_id, -1)}
            case c.PutInstance(instance):
                self._put_instance(instance)
                self.touched.add(instance.id)
            case c.PutDefinition(definition):
                self._definitions[definition.family, definition.revision] = definition
                self.touched.add((definition.family, definition.revision))
            case c.DeleteDefinition(family, revision):
                self._definitions[family, revision] = None
                self.touched.add((family, revision))
            case c.PutCluster(cluster):
                self._clusters[cluster.name] = cluster
                self.touched.add(f"cluster {cluster.name}")
            case c.PutJoinToken(token):
                self._set_join_token(token.hash, token)
            case c.DeleteJoinToken(_, token_hash):
                self._set_join_token(token_hash, None)
            case _:
                self._propose_observed(change)

    def _propose_observed(self, change: c.Change) -> None:
        match change:
            case c.PutAlarm(alarm):
                self._alarms[alarm.name] = alarm
                self.touched.add(f"alarm {alarm.name}")
            case c.DeleteAlarm(name):
                self._alarms[name] = None
                self.touched.add(f"alarm {name}")
            case PutRecord() | DeleteRecord():
                self.touched |= self.records.propose(change)
                self._weight += record_bytes(change.record) if isinstance(change, PutRecord) else 0
            case c.PutUsage(usage):
                key = (usage.cluster, usage.group, usage.month)
                self._usage[key] = usage
                self.touched.add(key)
            case c.DeleteUsage(cluster_name, group, month):
                self.touched.add((cluster_name, group, month))
            case _:
                self._propose_volatile(change)

    def _propose_volatile(self, change: c.Change) -> None:
        match change:
            case c.SetSession(instance_id, incarnation):
                self._set_session(instance_id, incarnation)
            case c.SetHealth(instance_id, health):
                self._set_health(instance_id, health)
            case c.SetImages():
                pass  # placement prefers by what was known when the step began
            case c.SetHeld(cluster, instance_id, launch_id):
                self._held[cluster] = Held(instance_id, launch_id) if instance_id else None
            case c.SetUnsettled(cluster, unsettled):
                self._unsettled[cluster] = unsettled
            case _:
                self.touched |= self.batch.propose(change)

    def _weigh(self, task: Task) -> None:
        chunk = (task.launch.id, task.index // keys.TASKS_PER_CHUNK)
        if chunk not in self.touched:
            self.touched.add(chunk)
            self._weight += chunk_bytes(task.launch, task.index, is_new=task.launch.id in self._launches)

    def _set_join_token(self, token_hash: str, token: JoinToken | None) -> None:
        self._join_tokens[token_hash] = token
        self.touched.add(f"token {token_hash}")

    def _put_launch(self, launch: Launch) -> None:
        self._launches[launch.id] = launch
        family, _, number = launch.definition.rpartition(":")
        definition = self.definition(family, int(number))
        assert definition is not None, "a launch names a definition that exists"
        self._asks[launch.id] = ask_of(launch, definition)
        if launch.client_token:
            self._tokens[launch.cluster, launch.client_token] = launch.id

    def _put_task(self, task: Task, *, placed: bool) -> None:
        key = task.key
        if task.launch.job is not None:
            self.batch.put_task(task, self.ask(task.launch).resources.cpu)
        if task.instance and not placed:
            recount(self.room(task.launch.cluster), self.ask(task.launch).resources, self.task(key), task)
        if (service := service_of(task)) is not None:
            self._service_tasks.setdefault(service, {})[key] = None
        # Each task that comes or goes may change what an expression says of its instance's groups.
        stirred = self.stirred.setdefault(task.launch.cluster, {})
        if task.instance and task.is_stopped:
            stirred[task.instance] = None
        self._tasks[key] = task

    def _stir(self, cluster: str, instance_id: str) -> None:
        self.stirred.setdefault(cluster, {})[instance_id] = None

    def _put_instance(self, instance: Instance) -> None:
        self._instances[instance.id] = instance
        tasks = ((task, self.ask(task.launch).resources) for task in self.tasks_on(instance.id))
        connected = bool(self.session(instance.id))
        put_instance(self.room(instance.cluster), instance, connected=connected, tasks=tasks)
        self._stir(instance.cluster, instance.id)

    def _set_session(self, instance_id: str, incarnation: int) -> None:
        self._sessions[instance_id] = incarnation
        instance = self.instance(instance_id)
        if instance is not None:
            self.room(instance.cluster).set_connected(instance_id, bool(incarnation))
            if incarnation:
                self._stir(instance.cluster, instance_id)

    def _set_health(self, instance_id: str, health: Health) -> None:
        instance = self.instance(instance_id)
        if instance is not None:
            self.room(instance.cluster).set_impaired(instance_id, health.is_impaired)
            if not health.is_impaired:
                self._stir(instance.cluster, instance_id)

"""The tables as they will be after the changes a step has proposed so far. Reading never mutates them."""

from collections.abc import Sequence

from shoal_scheduler.model.ask import Resources, resources_of
from shoal_scheduler.model.candidate import Candidate, Used
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Launch, Task, TaskKey
from shoal_scheduler.state import changes as c
from shoal_scheduler.state import keys
from shoal_scheduler.state.capacity import NOTHING_USED, recounted
from shoal_scheduler.state.tables import Tables


class Overlay:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._tasks: dict[TaskKey, Task] = {}
        self._launches: dict[str, Launch] = {}
        self._gone: set[str] = set()
        self._resources: dict[str, Resources] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        self._definitions: dict[tuple[str, int], Definition | None] = {}
        self._clusters: dict[str, Cluster] = {}
        self._instances: dict[str, Instance | None] = {}
        self._sessions: dict[str, int] = {}
        self._used: dict[str, Used] = {}
        self.changes: list[c.Change] = []
        self.touched: set[bytes] = set()

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

    def definition(self, family: str, revision: int) -> Definition | None:
        key = (family, revision)
        return self._definitions[key] if key in self._definitions else self._tables.definition(family, revision)

    def revisions(self, family: str) -> dict[int, Definition]:
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
        if instance_id in self._instances:
            return self._instances[instance_id]
        return self._tables.instances.get(instance_id)

    def session(self, instance_id: str) -> int:
        """Incarnation of the instance's open session, 0 if it has none."""
        return self._sessions.get(instance_id, self._tables.sessions.get(instance_id, 0))

    def candidates(self, cluster: str) -> list[Candidate]:
        ids = dict.fromkeys([*self._tables.instances, *self._instances])
        found = (self.instance(instance_id) for instance_id in ids)
        return [
            self.candidate(instance)
            for instance in found
            if instance is not None and instance.cluster == cluster and instance.status != "INACTIVE"
        ]

    def candidate(self, instance: Instance) -> Candidate:
        return Candidate(instance, self._use(instance.id), bool(self.session(instance.id)))

    def resources(self, launch: Launch) -> Resources:
        """What each task of the launch takes."""
        if launch.id in self._resources:
            return self._resources[launch.id]
        return self._tables.resources(launch.id)

    def _use(self, instance_id: str) -> Used:
        return self._used.get(instance_id) or self._tables.used.get(instance_id, NOTHING_USED)

    # -- proposing -----------------------------------------------------------------------------------------

    def propose(self, changes: Sequence[c.Change]) -> None:
        for change in changes:
            self._propose(change)
            self.changes.append(change)

    def _propose(self, change: c.Change) -> None:
        match change:
            case c.PutTask(task):
                self._put_task(task)
                number = task.index // keys.TASKS_PER_CHUNK
                self.touched.add(keys.chunk(task.launch.cluster, task.launch.id, number))
            case c.PutLaunch(launch):
                self._put_launch(launch)
                self.touched.add(keys.launch(launch.cluster, launch.id))
            case c.DeleteLaunch(launch_id):
                self._gone.add(launch_id)
                # One delete for the launch, one for the range of its chunks.
                self.touched |= {launch_id.encode(), launch_id.encode() + b"/tasks"}
            case c.PutInstance(instance):
                self._instances[instance.id] = instance
                self.touched.add(keys.instance(instance.cluster, instance.id))
            case c.DeleteInstance(cluster_name, instance_id):
                self._instances[instance_id] = None
                self.touched.add(keys.instance(cluster_name, instance_id))
            case c.PutDefinition(definition):
                self._definitions[definition.family, definition.revision] = definition
                self.touched.add(keys.definition(definition.family, definition.revision))
            case c.DeleteDefinition(family, revision):
                self._definitions[family, revision] = None
                self.touched.add(keys.definition(family, revision))
            case c.PutCluster(cluster):
                self._clusters[cluster.name] = cluster
                self.touched.add(keys.cluster(cluster.name))
            case c.SetSession(instance_id, incarnation):
                self._sessions[instance_id] = incarnation

    def _put_launch(self, launch: Launch) -> None:
        self._launches[launch.id] = launch
        family, _, number = launch.definition.rpartition(":")
        definition = self.definition(family, int(number))
        assert definition is not None, "a launch names a definition that exists"
        self._resources[launch.id] = resources_of(definition, launch.overrides)
        if launch.client_token:
            self._tokens[launch.cluster, launch.client_token] = launch.id

    def _put_task(self, task: Task) -> None:
        before = self.task(task.key)
        if task.instance:
            used = self._use(task.instance)
            self._used[task.instance] = recounted(used, self.resources(task.launch), before, task)
        self._tasks[task.key] = task

"""The Cluster service from memory, over real gRPC and mutual TLS: enough of it to test clients against.

Tasks are placed at once and then live as the test says (`advance`), or run to their end by themselves
(`exits_with`). Synchronous, in threads of its own, so that commands with an event loop of their own can call it.
"""

# ruff: noqa: N802 - the methods' names are the contract's
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.rpc import code_pb2
from shoal import arn
from shoal.v1 import (
    cluster_pb2,
    cluster_pb2_grpc,
    container_instance_pb2,
    event_pb2,
    image_pb2,
    log_pb2,
    placement_pb2,
    resource_pb2,
    task_definition_pb2,
    task_pb2,
)

from tests.fakes import cluster_records
from tests.fakes.cluster_records import cluster_of, copy_into, event_of, family_of, instance_of, key_of, missing_of
from tests.fakes.serving import CLUSTER, refuse

INSTANCE_ID = "1f" * 16
LIFE = ("PENDING", "RUNNING", "STOPPED")


def now_millis() -> int:
    return int(time.time() * 1000)


@dataclass
class State:
    """What tests look at, and what they set to have things go wrong."""

    definitions: dict[str, list[task_definition_pb2.TaskDefinition]] = field(default_factory=dict)
    tasks: dict[str, task_pb2.Task] = field(default_factory=dict)
    events: list[event_pb2.Event] = field(default_factory=list)
    instances: dict[str, container_instance_pb2.ContainerInstance] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    clusters: list[str] = field(default_factory=lambda: [CLUSTER])
    attributes: list[resource_pb2.Attribute] = field(default_factory=list)
    agent_attributes: list[resource_pb2.Attribute] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    logs: list[log_pb2.LogEvent] = field(default_factory=list)
    task_logs: dict[str, list[log_pb2.LogEvent]] = field(default_factory=dict)  # of some tasks, others
    failures: list[resource_pb2.Failure] = field(default_factory=list)
    warnings: list[task_definition_pb2.Warning] = field(default_factory=list)
    unavailable: int = 0  # how many calls are answered as a follower does
    leader: str = ""  # and who leads, as it says
    breaks: int = 0  # how many calls are done, and then answered as a broken connection is
    delay_seconds: float = 0.0
    exits_with: int | None = 0  # None: RUNNING
    waiting_reason: str = ""  # why tasks that are queued wait; empty if there is room
    explanation: placement_pb2.ExplainPlacementResponse = field(default_factory=placement_pb2.ExplainPlacementResponse)
    page_size: int = 100
    pulls: list[list[image_pb2.ImagePull]] = field(default_factory=list)  # the answers to PullImage


class ClusterService(cluster_pb2_grpc.ClusterServicer):
    def __init__(self) -> None:
        self.state = State()
        self.changed = threading.Condition()
        self.add_instance(INSTANCE_ID)

    # Task definitions

    def RegisterTaskDefinition(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        if not request.container_definitions:
            refuse(context, "containerDefinitions must not be empty.", fields={"containerDefinitions": "is missing"})
        revisions = self.state.definitions.setdefault(request.family, [])
        definition = task_definition_pb2.TaskDefinition()
        for descriptor, value in request.ListFields():
            if descriptor.name in definition.DESCRIPTOR.fields_by_name:
                copy_into(definition, descriptor.name, value)
        definition.revision = len(revisions) + 1
        definition.task_definition_arn = arn.task_definition_arn(request.family, definition.revision)
        definition.status, definition.registered_at = "ACTIVE", now_millis()
        revisions.append(definition)
        self._break(context)
        warnings = self.state.warnings
        return task_definition_pb2.RegisterTaskDefinitionResponse(task_definition=definition, warnings=warnings)

    def DescribeTaskDefinition(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        return task_definition_pb2.DescribeTaskDefinitionResponse(
            task_definition=self._definition(request.task_definition, context)
        )

    def DeregisterTaskDefinition(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        definition = self._definition(request.task_definition, context)
        definition.status = "INACTIVE"
        return task_definition_pb2.DeregisterTaskDefinitionResponse(task_definition=definition)

    def ListTaskDefinitions(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        arns = [
            each.task_definition_arn
            for family, revisions in sorted(self.state.definitions.items())
            for each in revisions
            if each.status == request.status and request.family_prefix in ("", family)
        ]
        page, token = self._page(arns, request)
        return task_definition_pb2.ListTaskDefinitionsResponse(task_definition_arns=page, next_token=token)

    def ListTaskDefinitionFamilies(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        return task_definition_pb2.ListTaskDefinitionFamiliesResponse(families=sorted(self.state.definitions))

    # Tasks

    def RunTask(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        definition = self._definition(request.task_definition, context)
        if self.state.failures:
            return task_pb2.RunTaskResponse(failures=self.state.failures)
        submission = uuid.uuid4().hex[:24]
        count = request.count or 1
        made = [self._place(f"{submission}{number:08x}", definition, request) for number in range(count)]
        if self.state.exits_with is not None:
            threading.Thread(target=self._live, args=([arn.short(each.task_arn) for each in made],)).start()
        ids = task_pb2.TaskIdRange(prefix=submission, first=0, last=count - 1)
        self._break(context)
        return task_pb2.RunTaskResponse(tasks=made[:100], task_id_ranges=[ids])

    def PullImage(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        for pulls in self.state.pulls:
            yield image_pb2.PullImageResponse(pulls=pulls)

    def ExplainPlacement(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        return self.state.explanation

    def StopTask(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        task = self._task(request.task, context)
        self.advance(arn.short(task.task_arn), "STOPPED", exit_code=143, reason=request.reason)
        return task_pb2.StopTaskResponse(task=task)

    def ListTasks(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        arns = [
            task.task_arn
            for task in self.state.tasks.values()
            if task.desired_status == (request.desired_status or "RUNNING")
            and request.family in ("", family_of(task))
            and request.group in ("", task.group)
        ]
        page, token = self._page(arns, request)
        return task_pb2.ListTasksResponse(task_arns=page, next_token=token)

    def DescribeTasks(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        known = self.state.tasks
        with self.changed:
            return task_pb2.DescribeTasksResponse(
                tasks=[known[arn.short(name)] for name in request.tasks if arn.short(name) in known],
                failures=missing_of([arn.short(name) for name in request.tasks], known),
            )

    # Events and logs

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:
        self._begin(request, context)
        wanted = {arn.short(name) for name in request.tasks}
        at = request.after_revision if request.HasField("after_revision") else len(self.state.events)
        yield event_pb2.WatchResponse(revision=at)
        while context.is_active():
            with self.changed:
                self.changed.wait_for(partial(self._has_news, at), timeout=0.2)
                fresh = self.state.events[at:]
            at += len(fresh)
            heard = [each for each in fresh if not wanted or arn.short(each.task.task_arn) in wanted]
            if heard:
                yield event_pb2.WatchResponse(events=heard, revision=at)

    def ListEvents(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        wanted = {arn.short(name) for name in request.tasks}
        heard = [each for each in self.state.events if not wanted or arn.short(each.task.task_arn) in wanted]
        return event_pb2.ListEventsResponse(events=heard)

    def ReadLogs(self, request: Any, context: Any) -> Iterator[Any]:
        self._begin(request, context)
        at_once = int(request.after.partition(".")[2] or 0)
        for number, event in enumerate(self.state.task_logs.get(request.task, self.state.logs), 1):
            if event.timestamp >= request.since and number > at_once:
                event.position = f"{event.timestamp * 1_000_000}.{number}"
                yield log_pb2.ReadLogsResponse(events=[event])
                self._break(context)

    # Instances, attributes, clusters, tags

    def ListContainerInstances(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        name, _, value = request.filter.removeprefix("attribute:").partition(" == ")
        arns = [
            each.container_instance_arn
            for key, each in self.state.instances.items()
            if not request.filter or (name, value) in self._attributes_of(key)
        ]
        return container_instance_pb2.ListContainerInstancesResponse(container_instance_arns=arns)

    def DescribeContainerInstances(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        ids = [arn.short(name) for name in request.container_instances]
        return container_instance_pb2.DescribeContainerInstancesResponse(
            container_instances=[self.state.instances[each] for each in ids if each in self.state.instances],
            failures=[
                resource_pb2.Failure(arn=each, reason="MISSING") for each in ids if each not in self.state.instances
            ],
        )

    def UpdateContainerInstancesState(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        ids = [arn.short(each) for each in request.container_instances]
        found = [self.state.instances[each] for each in ids if each in self.state.instances]
        for instance in found:
            cluster_records.set_state(instance, request, now_millis())
        return container_instance_pb2.UpdateContainerInstancesStateResponse(
            container_instances=found, failures=missing_of(ids, self.state.instances)
        )

    def PutAttributes(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        self.state.attributes = [
            each for each in self.state.attributes if key_of(each) not in map(key_of, request.attributes)
        ]
        self.state.attributes += request.attributes
        return container_instance_pb2.PutAttributesResponse(attributes=request.attributes)

    def DeleteAttributes(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        gone = set(map(key_of, request.attributes))
        self.state.attributes = [each for each in self.state.attributes if key_of(each) not in gone]
        return container_instance_pb2.DeleteAttributesResponse()

    def ListAttributes(self, request: Any, context: Any) -> Any:
        """What was put, over what the agents say."""
        self._begin(request, context)
        put = set(map(key_of, self.state.attributes))
        known = [*(each for each in self.state.agent_attributes if key_of(each) not in put), *self.state.attributes]
        found = [
            each
            for each in known
            if request.attribute_name in ("", each.name) and request.attribute_value in ("", each.value)
        ]
        return container_instance_pb2.ListAttributesResponse(attributes=found)

    def ListClusters(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        return cluster_pb2.ListClustersResponse(cluster_arns=[arn.cluster_arn(each) for each in self.state.clusters])

    def DescribeClusters(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        names = [arn.short(each) for each in request.clusters]
        return cluster_pb2.DescribeClustersResponse(
            clusters=[cluster_of(each) for each in names if each in self.state.clusters],
            failures=[
                resource_pb2.Failure(arn=each, reason="MISSING") for each in names if each not in self.state.clusters
            ],
        )

    def CreateCluster(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        self.state.clusters.append(request.cluster_name)
        return cluster_pb2.CreateClusterResponse(cluster=cluster_of(request.cluster_name))

    def TagResource(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        self.state.tags.setdefault(request.resource_arn, {}).update({each.key: each.value for each in request.tags})
        return resource_pb2.TagResourceResponse()

    def UntagResource(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        for key in request.tag_keys:
            self.state.tags.get(request.resource_arn, {}).pop(key, None)
        return resource_pb2.UntagResourceResponse()

    def ListTagsForResource(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        tags = self.state.tags.get(request.resource_arn, {})
        return resource_pb2.ListTagsForResourceResponse(
            tags=[resource_pb2.Tag(key=key, value=value) for key, value in tags.items()]
        )

    def DescribeControlPlane(self, request: Any, context: Any) -> Any:
        self._begin(request, context)
        return cluster_pb2.DescribeControlPlaneResponse(
            version="0.1.0", protocol_version=1, epoch=1, store_version="3.4.23", now_millis=now_millis()
        )

    # What tests call

    def advance(self, task_id: str, status: str, exit_code: int | None = None, reason: str = "") -> None:
        """Moves a task on, and tells every watcher."""
        with self.changed:
            task = self.state.tasks[task_id]
            task.last_status, task.version = status, task.version + 1
            task.ClearField("waiting_reason")
            container = task.containers[0]
            container.last_status = status
            if status == "RUNNING":
                task.started_at = now_millis()
            if status == "STOPPED":
                task.desired_status, task.stopped_at = "STOPPED", now_millis()
                task.stopped_reason = reason or "Essential container in task exited"
                if exit_code is not None:
                    container.exit_code = exit_code
            self._tell(task)

    def add_instance(self, instance_id: str) -> None:
        self.state.instances[instance_id] = instance_of(instance_id, now_millis())

    def _attributes_of(self, instance_id: str) -> list[tuple[str, str]]:
        return [(each.name, each.value) for each in self.state.attributes if each.target_id == instance_id]

    def _has_news(self, after: int) -> bool:
        return len(self.state.events) > after

    def _live(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            for status in LIFE[1:]:
                self.advance(task_id, status, self.state.exits_with if status == "STOPPED" else None)

    def _place(self, task_id: str, definition: Any, request: Any) -> task_pb2.Task:
        containers = [
            task_pb2.Container(name=each.name, image=each.image, last_status="PENDING")
            for each in definition.container_definitions
        ]
        task = task_pb2.Task(
            task_arn=arn.task_arn(CLUSTER, task_id),
            cluster_arn=arn.cluster_arn(CLUSTER),
            container_instance_arn=arn.container_instance_arn(CLUSTER, INSTANCE_ID),
            task_definition_arn=definition.task_definition_arn,
            containers=containers,
            last_status="PENDING",
            desired_status="RUNNING",
            group=request.group or f"family:{definition.family}",
            created_at=now_millis(),
            version=1,
            overrides=request.overrides,
        )
        if request.queue and self.state.waiting_reason:
            task.ClearField("container_instance_arn")
            task.last_status, task.waiting_reason = "PROVISIONING", self.state.waiting_reason
        with self.changed:
            self.state.tasks[task_id] = task
            self._tell(task)
        return task

    def _tell(self, task: task_pb2.Task) -> None:
        self.state.events.append(event_of(task, len(self.state.events) + 1, now_millis()))
        self.changed.notify_all()

    def _begin(self, request: Any, context: Any) -> None:
        self.state.requests.append(request)
        if self.state.delay_seconds:
            time.sleep(self.state.delay_seconds)
        if self.state.unavailable:
            self.state.unavailable -= 1
            refuse(context, "not the leader", code_pb2.UNAVAILABLE, "ServerException", leader=self.state.leader)

    def _break(self, context: Any) -> None:
        if self.state.breaks:
            self.state.breaks -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    def _definition(self, name: str, context: Any) -> task_definition_pb2.TaskDefinition:
        family, _, revision = arn.short(name).partition(":")
        revisions = [each for each in self.state.definitions.get(family, []) if each.status == "ACTIVE" or revision]
        found = [each for each in revisions if not revision or each.revision == int(revision)]
        if not found:
            refuse(context, "Unable to describe task definition.", code=code_pb2.NOT_FOUND)
        return found[-1]

    def _task(self, name: str, context: Any) -> task_pb2.Task:
        if arn.short(name) not in self.state.tasks:
            refuse(context, f"Task {name} was not found.", code=code_pb2.NOT_FOUND, reason="InvalidParameterException")
        return self.state.tasks[arn.short(name)]

    def _page(self, items: Sequence[str], request: Any) -> tuple[Sequence[str], str | None]:
        begin = int(request.next_token or 0)
        end = begin + self.state.page_size
        return items[begin:end], str(end) if end < len(items) else None

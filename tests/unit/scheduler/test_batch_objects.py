"""Job definitions, queues, compute environments and consumable resources: what each rule makes, keeps and refuses."""

from typing import Any

import pytest
from shoal import arn
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch import inputs as b
from shoal_scheduler.control.batch.definitions import enables_execute_command, find, submittable
from shoal_scheduler.control.batch.task_definition import task_definition_of
from shoal_scheduler.model.job import Job, JobState
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import (
    DISABLED,
    NON_REPLENISHABLE,
    ComputeEnvironment,
    ConsumableResource,
    JobQueue,
    TimeLimit,
)
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state.batch_changes import (
    PutComputeEnvironment,
    PutConsumableResource,
    PutJob,
    PutJobQueue,
    PutJobState,
)
from shoal_scheduler.state.overlay import Overlay

from tests.unit.scheduler.plane import DEFINITION, Plane

SIZES = [{"type": "VCPU", "value": "0.5"}, {"type": "MEMORY", "value": "256"}]
DOCUMENT: dict[str, Any] = {
    "jobDefinitionName": "flip",
    "type": "container",
    "containerProperties": {"image": "flip", "command": ["flip", "Ref::in"], "resourceRequirements": SIZES},
}


def register(document: dict[str, Any] | None = None) -> b.RegisterJobDefinition:
    document = document or DOCUMENT
    return b.RegisterJobDefinition(document["jobDefinitionName"], document, {"team": "blue"}, "test")


async def prepared() -> Plane:
    """With the environment `hosts` and the queue `main` on it."""
    plane = Plane()
    await plane.one(i.PutClusterDocument("default", {}, create=True))
    await plane.one(b.CreateComputeEnvironment(ComputeEnvironment(name="hosts", created_at=0)))
    await plane.one(b.CreateJobQueue(queue()))
    return plane


def queue(**more: Any) -> JobQueue:
    return JobQueue(**{"name": "main", "created_at": 0, "priority": 1, "environments": ("hosts",), **more})


async def refused(plane: Plane, request: Any, *words: str) -> Refused:
    """The refusal, with these words in it; nothing is stored."""
    before = plane.store.revision
    with pytest.raises(Refused) as caught:
        await plane.one(request)
    assert plane.store.revision == before
    for word in words:
        assert word in caught.value.message
    return caught.value


# Job definitions.


async def test_a_revision_comes_with_the_task_definition_of_its_tasks() -> None:
    plane = await prepared()
    first, second = await plane.run([register(), register()])
    assert [each.full_name for each in (first, second)] == ["flip:1", "flip:2"]
    for tables in (plane.tables, await plane.reloaded()):
        assert tables.batch.definitions["flip"] == {1: first, 2: second}
        runs_as = tables.definition("batch:flip", 2)
        assert runs_as is not None
        assert runs_as.document == {
            "family": "batch:flip",
            "containerDefinitions": [
                {
                    "name": "default",
                    "image": "flip",
                    "command": ["flip", "Ref::in"],
                    "essential": True,
                    "cpu": 512,
                    "memory": 256,
                }
            ],
        }
        assert (runs_as.name, runs_as.tags) == (second.task_definition, {"team": "blue"})


async def test_what_is_deregistered_takes_no_jobs_and_keeps_its_number_and_its_task_definition() -> None:
    plane = await prepared()
    await plane.run([register(), register()])
    gone = await plane.one(b.DeregisterJobDefinition("flip:2"))
    assert (gone.status, gone.deregistered_at) == ("INACTIVE", plane.now)
    plane.now += 5
    assert await plane.one(b.DeregisterJobDefinition(arn.job_definition_arn("flip", 2))) == gone
    view = Overlay(plane.tables).batch
    assert submittable(view, "flip").revision == 1
    assert find(view, "flip:2") == gone
    with pytest.raises(Refused, match="INACTIVE"):
        submittable(view, "flip:2")
    runs_as = plane.tables.definition("batch:flip", 2)
    assert runs_as is not None and runs_as.status == "ACTIVE"
    assert (await plane.one(register())).revision == 3


@pytest.mark.parametrize("name", ["flip:9", "flop:1", "flop", "flip:x", "flip:-1", "flip:１", "flip:99999999999", ""])
async def test_a_definition_that_is_not_there(name: str) -> None:
    plane = await prepared()
    await plane.one(register())
    await refused(plane, b.DeregisterJobDefinition(name), "jobDefinition")
    with pytest.raises(Refused):
        find(Overlay(plane.tables).batch, name)


async def test_only_a_revision_is_deregistered() -> None:
    plane = await prepared()
    await plane.one(register())
    await refused(plane, b.DeregisterJobDefinition("flip"), "flip:1")


async def test_the_task_definition_of_a_job_definition_is_not_to_be_used_alone() -> None:
    plane = await prepared()
    await plane.one(register())
    for request in (
        i.RunTask(cluster="default", definition="batch:flip"),
        i.RunTask(cluster="default", definition=arn.task_definition_arn("batch:flip", 1)),
        i.DeregisterTaskDefinition("batch:flip:1"),
    ):
        await refused(plane, request, "batch:flip:1", "job definition flip:1")
    deleted = await plane.one(i.DeleteTaskDefinitions(("batch:flip:1",)))
    assert [failure.reason for failure in deleted.failures] == ["ACTIVE"]


async def test_a_role_is_registered_and_not_run() -> None:
    plane = await prepared()
    container = {**DOCUMENT["containerProperties"], "jobRoleArn": "arn:aws:iam::1:role/x"}
    await plane.one(register({**DOCUMENT, "containerProperties": container}))
    with pytest.raises(Refused, match="jobRoleArn"):
        submittable(Overlay(plane.tables).batch, "flip")


# The derived task definition.


def test_several_containers_keep_their_names_and_order() -> None:
    side = {"name": "side", "image": "b", "essential": False, "resourceRequirements": SIZES[1:]}
    main = {
        "name": "main",
        "image": "a",
        "dependsOn": [{"containerName": "side", "condition": "START"}],
        "resourceRequirements": [{"type": "GPU", "value": "1"}, *SIZES, {"type": "licence", "value": "2"}],
    }
    task = {"containers": [main, side], "ipcMode": "task", "volumes": [{"name": "x"}], "enableExecuteCommand": True}
    document = {"jobDefinitionName": "two", "ecsProperties": {"taskProperties": [task]}}
    derived = task_definition_of(document)
    assert derived.document == {
        "ipcMode": "task",
        "volumes": [{"name": "x"}],
        "containerDefinitions": [
            {
                "name": "main",
                "image": "a",
                "dependsOn": [{"containerName": "side", "condition": "START"}],
                "resourceRequirements": [{"type": "GPU", "value": "1"}, {"type": "licence", "value": "2"}],
                "cpu": 512,
                "memory": 256,
            },
            {"name": "side", "image": "b", "essential": False, "memory": 256},
        ],
    }
    path = "ecsProperties.taskProperties[0]"
    assert [
        derived.path(field)
        for field in (
            "containerDefinitions",
            "containerDefinitions[1].image",
            "containerDefinitions[0].cpu",
            "containerDefinitions[0].resourceRequirements[1].type",
            "volumes[0].name",
            "family",
        )
    ] == [
        f"{path}.containers",
        f"{path}.containers[1].image",
        f"{path}.containers[0].resourceRequirements[1].value",
        f"{path}.containers[0].resourceRequirements[3].type",
        f"{path}.volumes[0].name",
        "family",
    ]
    assert enables_execute_command(JobDefinition(name="two", revision=1, registered_at=0, document=document))


def test_the_fields_that_were_there_before_resource_requirements() -> None:
    derived = task_definition_of({"containerProperties": {"image": "a", "vcpus": 2, "memory": 100}})
    (container,) = derived.document["containerDefinitions"]
    assert (container["cpu"], container["memory"]) == (2048, 100)
    assert derived.path("containerDefinitions[0].memory") == "containerProperties.memory"


# Queues and compute environments.


async def test_a_queue_is_stored_and_changed_only_where_it_is_said() -> None:
    plane = await prepared()
    limit = TimeLimit("no room", 600)
    plane.now += 1000
    changed = await plane.one(b.UpdateJobQueue(arn.job_queue_arn("main"), {"state": DISABLED, "time_limits": (limit,)}))
    assert changed == queue(created_at=1_000_000, state=DISABLED, time_limits=(limit,))
    assert (await plane.one(b.UpdateJobQueue("main", {"max_concurrent": 3}))).time_limits == (limit,)
    assert (await plane.reloaded()).batch.queues == plane.tables.batch.queues
    assert (await plane.one(b.UpdateJobQueue("main", {"time_limits": ()}))).time_limits == ()


async def test_creating_the_same_twice_is_once() -> None:
    plane = await prepared()
    before = plane.store.revision
    plane.now += 1000
    assert (await plane.one(b.CreateJobQueue(queue()))).created_at == 1_000_000
    assert (await plane.one(b.CreateComputeEnvironment(ComputeEnvironment(name="hosts", created_at=0)))).name == "hosts"
    assert plane.store.revision == before
    error = await refused(plane, b.CreateJobQueue(queue(priority=2, tags={"a": "b"})), "priority, tags")
    assert error.kind == "conflict"
    other = ComputeEnvironment(name="hosts", created_at=0, max_vcpus=4)
    await refused(plane, b.CreateComputeEnvironment(other), "unmanagedvCpus")


async def test_a_queue_names_environments_that_are_there() -> None:
    plane = await prepared()
    missing = queue(name="other", environments=("hosts", "nowhere"))
    await refused(plane, b.CreateJobQueue(missing), "computeEnvironmentOrder[1].computeEnvironment", "nowhere")
    await refused(plane, b.UpdateJobQueue("main", {"environments": ("nowhere",)}), "nowhere")
    await refused(plane, b.UpdateJobQueue("nobody", {}), "nobody")
    await refused(plane, b.DeleteJobQueue("nobody"), "nobody")


async def test_an_environment_names_a_cluster_that_is_there() -> None:
    plane = await prepared()
    lost = ComputeEnvironment(name="lost", created_at=0, cluster="nowhere")
    await refused(plane, b.CreateComputeEnvironment(lost), "nowhere")
    await refused(plane, b.UpdateComputeEnvironment("hosts", {"cluster": "nowhere"}), "nowhere")
    changed = await plane.one(b.UpdateComputeEnvironment("hosts", {"expression": "attribute:a == b", "max_vcpus": 9}))
    assert (changed.cluster, changed.expression, changed.max_vcpus) == ("default", "attribute:a == b", 9)


async def test_an_environment_is_deleted_when_no_queue_has_it_and_it_is_disabled() -> None:
    plane = await prepared()
    await refused(plane, b.DeleteComputeEnvironment("hosts"), "1 job queues", "main")
    await plane.one(b.CreateComputeEnvironment(ComputeEnvironment(name="others", created_at=0)))
    await plane.one(b.UpdateJobQueue("main", {"environments": ("others",)}))
    await refused(plane, b.DeleteComputeEnvironment("hosts"), "ENABLED")
    await plane.one(b.UpdateComputeEnvironment("hosts", {"state": DISABLED}))
    await plane.one(b.DeleteComputeEnvironment("hosts"))
    assert set((await plane.reloaded()).batch.environments) == {"others"} == set(plane.tables.batch.environments)
    await refused(plane, b.DeleteComputeEnvironment("hosts"), "hosts")


async def test_a_queue_is_deleted_when_it_is_disabled_and_its_jobs_are_over() -> None:
    plane = await prepared()
    await plane.one(register())
    jobs = [Job(id=f"j{n}", name="j", queue="main", definition="flip:1", created_at=1) for n in range(3)]
    await plane.run([], due=[PutJob(job) for job in jobs])
    await refused(plane, b.DeleteJobQueue("main"), "ENABLED")
    await plane.one(b.UpdateJobQueue("main", {"state": DISABLED}))
    await plane.run([], due=[PutJobState(JobState(job="j0", outcome="SUCCEEDED"))])
    await refused(plane, b.DeleteJobQueue("main"), "2 jobs")
    await plane.run([], due=[PutJobState(JobState(job=each, outcome="FAILED")) for each in ("j1", "j2")])
    await plane.one(b.DeleteJobQueue("main"))
    assert plane.tables.batch.queues == {} == (await plane.reloaded()).batch.queues


async def test_an_update_that_changes_nothing_writes_nothing() -> None:
    plane = await prepared()
    before = plane.store.revision
    assert (await plane.one(b.UpdateJobQueue("main", {"priority": 1}))).priority == 1
    assert (await plane.one(b.UpdateComputeEnvironment("hosts", {}))).name == "hosts"
    assert plane.store.revision == before


async def test_there_are_no_more_than_every_step_can_look_at() -> None:
    plane = await prepared()
    many = range(999)
    await plane.run([], due=[PutJobQueue(queue(name=f"q{number}")) for number in many])
    await plane.run(
        [], due=[PutComputeEnvironment(ComputeEnvironment(name=f"e{number}", created_at=0)) for number in many]
    )
    await plane.run([], due=[PutConsumableResource(licence(name=f"c{number}")) for number in range(1000)])
    for request in (
        b.CreateJobQueue(queue(name="more")),
        b.CreateComputeEnvironment(ComputeEnvironment(name="more", created_at=0)),
        b.CreateConsumableResource(licence(name="more")),
    ):
        assert (await refused(plane, request, "1000")).kind == "exhausted"
    assert (await plane.one(b.CreateJobQueue(queue()))).name == "main"


# Consumable resources.


def licence(**more: Any) -> ConsumableResource:
    return ConsumableResource(**{"name": "licence", "created_at": 0, "total": 10, **more})


async def test_a_consumable_resource_is_set_added_to_and_taken_from() -> None:
    plane = Plane()
    await plane.one(b.CreateConsumableResource(licence(type=NON_REPLENISHABLE)))
    totals = [
        (await plane.one(b.UpdateConsumableResource("licence", operation, quantity))).total
        for operation, quantity in (("ADD", 5), ("REMOVE", 15), ("SET", 7), ("SET", 0))
    ]
    assert totals == [15, 0, 7, 0]
    await refused(plane, b.UpdateConsumableResource("licence", "REMOVE", 1), "quantity", "-1")
    await refused(plane, b.UpdateConsumableResource("licence", "ADD", 2**53), "quantity")
    assert (await plane.reloaded()).batch.consumables == plane.tables.batch.consumables
    await plane.one(b.DeleteConsumableResource("licence"))
    assert plane.tables.batch.consumables == {}
    await refused(plane, b.DeleteConsumableResource("licence"), "licence")
    await refused(plane, b.UpdateConsumableResource("licence", "SET", 1), "licence")


async def test_a_change_with_a_token_is_made_once_also_by_a_new_leader() -> None:
    plane = Plane()
    await plane.one(b.CreateConsumableResource(licence()))
    add = b.UpdateConsumableResource("licence", "ADD", 5, "t")
    first, second = await plane.run([add, add])
    assert (first.total, second.total) == (15, 15)
    await plane.one(b.UpdateConsumableResource("licence", "SET", 1, "u"))
    plane.tables = await plane.reloaded()
    assert (await plane.one(add)).total == 15
    assert plane.tables.batch.consumables["licence"].total == 1
    await refused(plane, b.UpdateConsumableResource("licence", "ADD", 6, "t"), "clientToken")
    for number in range(40):
        await plane.one(b.UpdateConsumableResource("licence", "ADD", 0, str(number)))
    assert len(plane.tables.batch.consumables["licence"].changed) == 32


async def test_a_resource_that_jobs_wait_for_stays() -> None:
    plane = await prepared()
    await plane.one(register())
    await plane.one(b.CreateConsumableResource(licence()))
    takes = (("licence", 1),)
    job = Job(id="j", name="j", queue="main", definition="flip:1", created_at=1, consumables=takes)
    await plane.run([], due=[PutJob(job)])
    await refused(plane, b.DeleteConsumableResource("licence"), "1 jobs")
    await plane.run([], due=[PutJobState(JobState(job="j", outcome="FAILED"))])
    await plane.one(b.DeleteConsumableResource("licence"))


# Tags.


async def test_everything_has_tags() -> None:
    plane = await prepared()
    await plane.one(register())
    await plane.one(b.CreateConsumableResource(licence()))
    await plane.run([], due=[PutJob(Job(id="j", name="j", queue="main", definition="flip:1", created_at=1))])
    for name in (
        arn.job_definition_arn("flip", 1),
        arn.job_queue_arn("main"),
        arn.compute_environment_arn("hosts"),
        arn.consumable_resource_arn("licence"),
        arn.job_arn("j"),
    ):
        assert (await plane.one(i.ChangeTags(name, {"a": "b"})))["a"] == "b"
        await plane.one(i.ChangeTags(name, {"a": None, "c": "d"}))
    for tables in (plane.tables.batch, (await plane.reloaded()).batch):
        assert tables.definitions["flip"][1].tags == {"team": "blue", "c": "d"}
        tagged = (tables.queues["main"], tables.environments["hosts"], tables.consumables["licence"])
        assert [each.tags for each in (*tagged, tables.jobs["j"].job)] == [{"c": "d"}] * 4


@pytest.mark.parametrize("name", ["job-queue/x", "job/x", "job/x:1", "compute-environment/x", "job-definition/x", "x"])
async def test_what_is_not_there_has_no_tags(name: str) -> None:
    await refused(await prepared(), i.ChangeTags(arn.BATCH_PREFIX + name, {"a": "b"}))


async def test_an_ordinary_definition_is_as_before() -> None:
    plane = Plane()
    await plane.prepare(document=DEFINITION)
    assert (await plane.one(i.DeregisterTaskDefinition("web:1"))).status == "INACTIVE"

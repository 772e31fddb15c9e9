"""What an agent offers, what it is handed and what it tells, as messages and as records."""

import msgspec
import pytest
from shoal.v1 import agent_pb2, resource_pb2
from shoal_scheduler.api.agent_checks import check_hello
from shoal_scheduler.api.agent_convert import assignment_messages, hello_input
from shoal_scheduler.api.convert import instance_message, task_message
from shoal_scheduler.control import inputs as i
from shoal_scheduler.model.ask import Port
from shoal_scheduler.model.candidate import Candidate, Used
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.job import JobPart
from shoal_scheduler.model.task import ContainerState
from shoal_scheduler.state.changes import PutLaunch, PutTask

from tests.unit.scheduler.plane import Plane, instance


def offered(*resources: resource_pb2.Resource) -> i.AgentHello:
    hello = agent_pb2.Hello(incarnation=1, resources=resources)
    check_hello(hello)
    return hello_input(hello, "1f")


def integer(name: str, amount: int) -> resource_pb2.Resource:
    return resource_pb2.Resource(name=name, type="INTEGER", integer_value=amount)


def test_resources_of_ones_own_are_apart_from_those_of_every_instance() -> None:
    found = offered(integer("CPU", 1024), integer("licence", 10), integer("fpga", 2), integer("none", 0))
    assert (found.cpu, found.custom) == (1024, {"licence": 10, "fpga": 2})


def test_what_a_newer_agent_says_is_no_resource_of_ones_own() -> None:
    assert offered(resource_pb2.Resource(name="gpu", type="LONG", long_value=1)).custom == {}


def test_a_gpu_that_is_told_twice_is_one() -> None:
    gpus = resource_pb2.Resource(name="GPU", type="STRINGSET", string_set_value=["GPU-1", "GPU-2", "GPU-1"])
    assert offered(gpus).gpu_ids == ("GPU-1", "GPU-2")


def test_an_instance_shows_what_it_offers() -> None:
    record = Instance(id="1f", cluster="default", registered_at=0, custom={"licence": 10, "fpga": 2})
    used = Used(ports=(Port("tcp", 8000, 8002), Port("udp", 53, 53)))
    message = instance_message(Candidate(record, used, True))
    registered = {each.name: each for each in message.registered_resources}
    assert (registered["licence"].type, registered["licence"].integer_value) == ("INTEGER", 10)
    remaining = {each.name: list(each.string_set_value) for each in message.remaining_resources}
    assert (remaining["PORTS"], remaining["PORTS_UDP"]) == (["8000", "8001", "8002"], ["53"])


async def test_gpus_of_a_task_go_to_its_agent_and_are_shown() -> None:
    plane = Plane()
    await plane.prepare(instance("1f"))
    (task,) = (await plane.one(i.RunTask("default", "web", 1))).tasks
    plane.tables.apply([PutTask(msgspec.structs.replace(task, gpu_ids={"app": ("GPU-1",)}))], plane.tables.revision)
    (encoded,) = assignment_messages(plane.tables, [task.key], full=True)
    (assignment,) = agent_pb2.SchedulerMessage.FromString(encoded).assignments.assignments
    assert {name: list(ids.values) for name, ids in assignment.gpu_ids.items()} == {"app": ["GPU-1"]}
    shown = task_message(plane.tables, next(iter(plane.tables.tasks())))
    assert list(shown.containers[0].gpu_ids) == ["GPU-1"]


async def test_an_agent_is_told_the_tags_of_a_task() -> None:
    plane = Plane()
    await plane.prepare(instance("1f"))
    (task,) = (await plane.one(i.RunTask("default", "web", 1, tags={"a": "b"}))).tasks
    for tags, told in ((None, {"a": "b"}), ({"c": "d"}, {"c": "d"}), ({}, {})):
        plane.tables.apply([PutTask(msgspec.structs.replace(task, tags=tags))], plane.tables.revision)
        (encoded,) = assignment_messages(plane.tables, [task.key], full=True)
        (assignment,) = agent_pb2.SchedulerMessage.FromString(encoded).assignments.assignments
        assert {tag.key: tag.value for tag in assignment.tags} == told


async def test_an_agent_is_told_which_child_of_which_job_a_task_is() -> None:
    plane = Plane()
    await plane.prepare(instance("1f"))
    first, last = (await plane.one(i.RunTask("default", "web", 2))).tasks
    part = JobPart("j" * 36, "pictures", "here", attempt=2, array_size=200, children=((5, 5), (199, 199)))
    launch = msgspec.structs.replace(first.launch, job=part)
    tasks = [PutTask(msgspec.structs.replace(task, launch=launch)) for task in (first, last)]
    plane.tables.apply([PutLaunch(launch), *tasks], plane.tables.revision)
    (encoded,) = assignment_messages(plane.tables, [first.key, last.key], full=True)
    told = [each.job for each in agent_pb2.SchedulerMessage.FromString(encoded).assignments.assignments]
    assert [(job.array_index, job.array_size, job.attempt) for job in told] == [(5, 200, 2), (199, 200, 2)]
    assert {(job.job_id, job.job_queue, job.compute_environment) for job in told} == {("j" * 36, "pictures", "here")}
    assert max(job.ByteSize() for job in told) <= 70


@pytest.mark.parametrize(
    ("app", "second", "side", "expected"),
    [
        ("HEALTHY", "HEALTHY", "UNHEALTHY", "HEALTHY"),
        ("HEALTHY", "UNKNOWN", "HEALTHY", "UNKNOWN"),
        ("UNKNOWN", "UNHEALTHY", "HEALTHY", "UNHEALTHY"),
        ("HEALTHY", "", "", "HEALTHY"),
        ("", "", "UNHEALTHY", "UNKNOWN"),
        ("", "", "", "UNKNOWN"),
    ],
)
async def test_the_health_of_a_task_is_the_worst_of_its_essential_containers(
    app: str, second: str, side: str, expected: str
) -> None:
    plane = Plane()
    names = {"app": True, "second": True, "side": False}
    containers = [{"name": name, "image": "i", "memory": 6, "essential": it} for name, it in names.items()]
    document = {"family": "web", "containerDefinitions": containers}
    await plane.prepare(instance("1f"), document=document)
    (task,) = (await plane.one(i.RunTask("default", "web", 1))).tasks
    states = tuple(
        ContainerState(name, "RUNNING", health_status=health, restart_count=2)
        for name, health in zip(names, (app, second, side), strict=True)
    )
    plane.tables.apply([PutTask(msgspec.structs.replace(task, containers=states))], plane.tables.revision)
    shown = task_message(plane.tables, next(iter(plane.tables.tasks())))
    assert shown.health_status == expected
    assert {each.restart_count for each in shown.containers} == {2}

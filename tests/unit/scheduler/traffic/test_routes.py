"""Which tasks are sent requests, where they are, and by which names they are found."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from shoal.v1 import traffic_pb2 as pb
from shoal_scheduler.api.traffic.ingress import Parts, encoded_routes
from shoal_scheduler.control.traffic import inputs as i
from shoal_scheduler.control.traffic.routes import endpoints_of, routed_services, routes_of, targets_by_group
from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.service import LoadBalancer, ServiceRegistry
from shoal_scheduler.model.task import Binding, ContainerState, Task
from shoal_scheduler.model.traffic import Forward, ListenerRule, TargetGroup, TargetHealth
from shoal_scheduler.routing import Routing
from shoal_scheduler.state.changes import Change, PutInstance, PutTask
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.service_tables import SetTargetHealth

from tests.unit.scheduler.plane import instance, report
from tests.unit.scheduler.services.stage import Stage

HOSTS = (
    instance("a", attributes={"shoal.address": "10.0.0.1"}),
    instance("b", attributes={"shoal.address": "10.0.0.2"}),
)
REVISION = {
    "load_balancers": (LoadBalancer("web", "app", 80),),
    "registries": (ServiceRegistry("Shop", "app", 81),),
}


async def publish(stage: Stage, task: Task, *bindings: Binding, health: str = "") -> None:
    containers = (ContainerState(task.containers[0].name, "RUNNING", bindings=bindings, health_status=health),)
    await stage.one(report(task, "RUNNING", started_at=stage.now, containers=containers))
    await stage.settle()


@pytest.fixture
async def stage() -> Stage:
    """Two tasks that run, one at 10.0.0.x:32768, the other's port not known yet; behind group web."""
    stage = Stage()
    await stage.open(*HOSTS)
    await stage.one(i.CreateTargetGroup(TargetGroup(name="web", cluster="default", created_at=0)))
    await stage.create(2, revision=REVISION)
    first, second = stage.tasks
    await publish(stage, first, Binding(80, 32768), Binding(81, 32769), Binding(80, 9, "udp"))
    await publish(stage, second)
    return stage


def places(stage: Stage) -> list[tuple[str, str, int]]:
    return [
        (each.target_group, each.task.id, each.place.port) for each in routes_of(stage.tables, stage.service).targets
    ]


async def test_a_target_is_where_its_host_is_at_the_port_it_was_given(stage: Stage) -> None:
    first, second = stage.tasks
    assert places(stage) == [("web", first.id, 32768)]
    (target,) = routes_of(stage.tables, stage.service).targets
    assert target.place.host == stage.tables.instances[first.instance].attribute("shoal.address")
    await publish(stage, second, Binding(80, 32770))
    assert {task for _, task, _ in places(stage)} == {first.id, second.id}
    assert targets_by_group(stage.tables, stage.service) == {"web": 2}
    assert routed_services(stage.tables, "default") == [stage.service]
    assert routed_services(stage.tables, "other") == []


async def test_a_task_that_is_to_stop_is_out_at_once(stage: Stage) -> None:
    first, second = stage.tasks
    await publish(stage, second, Binding(80, 32770))
    for task in (first, second):
        await stage.tell_target(task, "healthy")
    await stage.change(desired_count=1)
    (leaving,) = (task for task in stage.tasks if task.desired_status == "STOPPED")
    assert leaving.last_status == "DEACTIVATING"
    assert [task for _, task, _ in places(stage)] == [each.id for each in stage.wanted]


async def test_names_lead_to_ports_and_leave_out_who_is_ill(stage: Stage) -> None:
    first, second = stage.tasks
    known = endpoints_of(stage.tables, stage.service)
    assert set(known) == {"web.default.shoal.internal", "shop.default.shoal.internal"}
    ports = {each.task.id: each.place.port for each in known["shop.default.shoal.internal"]}
    assert ports == {first.id: 32769, second.id: 0}
    await stage.tell_target(first, "unhealthy")
    named = routes_of(stage.tables, stage.service).names["web.default.shoal.internal"]
    assert [each.task.id for each in named] == [second.id]
    await stage.tell_target(second, "unhealthy")
    assert len(routes_of(stage.tables, stage.service).names["web.default.shoal.internal"]) == 2


async def test_what_the_ingress_says_is_kept_until_it_says_otherwise(stage: Stage) -> None:
    first, second = stage.tasks
    known = stage.tables.services.target_health

    async def said(**states: str) -> None:
        tasks = {"first": first, "second": second}
        health = {tasks[name].key: {"web": TargetHealth(state, since=5)} for name, state in states.items()}
        await stage.one(i.ReportTargets("default", health))

    began = stage.now
    await said(first="initial", second="healthy")
    stage.now += 1000
    await said(first="healthy", second="healthy")
    assert known[first.key]["web"] == TargetHealth("healthy", since=began + 1000)
    assert known[second.key]["web"] == TargetHealth("healthy", since=began)
    await stage.one(i.ReportTargets("other", {}))
    assert set(known) == {first.key, second.key}
    await said(second="healthy")
    assert set(known) == {second.key}


def test_a_rule_says_what_keeps_it_from_being_served() -> None:
    routing, began = Routing(), now_millis()
    rule = ListenerRule(name="all", cluster="default", created_at=began + 60_000)
    assert routing.problem(rule, began + 70_000) == ""  # it is not known for long
    assert "said nothing for 30 s" in routing.problem(rule, began + 90_000)
    routing.heard("default", {"all": "port taken"}, began + 90_000)
    assert routing.problem(rule, began + 95_000) == "port taken"
    routing.heard("default", {}, began + 95_000)
    assert routing.problem(rule, began + 96_000) == ""
    assert "said nothing for 25 s" in routing.problem(rule, began + 120_000)


async def test_only_what_may_change_routes_is_news(stage: Stage) -> None:
    routing, first = Routing(), stage.tasks[0]
    rule = ListenerRule(name="all", cluster="default", created_at=0, forwards=(Forward("web"),))
    news: list[Change] = [PutRecord(rule), SetTargetHealth(first.key, "web", None), PutTask(first)]
    for number, change in enumerate(news, 1):
        routing.on_commit([change], stage.tables)
        assert await routing.wait_beyond(number - 1) == number
    assert (routing.touched_at("default"), routing.touched_at("default", "web")) == (1, 3)
    routing.on_commit([], stage.tables)
    assert await routing.wait_beyond(2) == 3
    routing.on_commit([PutInstance(stage.tables.instances[first.instance])], stage.tables)
    assert routing.touched_at("default", "another") == 4


async def test_what_is_told_in_parts_is_the_whole(stage: Stage) -> None:
    """However it came about, and whatever of it was told before."""
    plane: Any = SimpleNamespace(tables=stage.tables, routing=Routing())
    told: Parts = {}

    async def check(*changes: Change) -> pb.WatchRoutesResponse:
        await stage.run([], changes)
        plane.routing.on_commit(changes, stage.tables)
        whole = encoded_routes(plane, "default", told)
        assert whole == encoded_routes(plane, "default", {})
        return pb.WatchRoutesResponse.FromString(whole)

    first, second = stage.tasks
    assert len((await check()).targets) == 1
    moved = msgspec.structs.replace(
        second, containers=(ContainerState("app", "RUNNING", bindings=(Binding(80, 32770),)),)
    )
    assert sorted(each.port for each in (await check(PutTask(moved))).targets) == [32768, 32770]
    other = TargetGroup(name="api", cluster="default", created_at=0)
    assert [each.target_group_name for each in (await check(PutRecord(other))).target_groups] == ["api", "web"]
    host = msgspec.structs.replace(
        stage.tables.instances[first.instance], custom_attributes={"shoal.address": "10.9.9.9"}
    )
    assert "10.9.9.9" in {each.host for each in (await check(PutInstance(host))).targets}
    ill = await check(SetTargetHealth(first.key, "web", TargetHealth("unhealthy")))
    (named,) = [each for each in ill.names if each.name == "web.default.shoal.internal"]
    assert [each.task_id for each in named.endpoints] == [second.id]
    gone = await check(PutRecord(msgspec.structs.replace(stage.service, status="INACTIVE")))
    assert not gone.targets and not gone.names

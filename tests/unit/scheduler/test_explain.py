"""Explanations in words, one more instance, why a task goes where it goes, and where it stands in the queue."""

from random import Random

import pytest
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.explain import dry_run, queue_position, reason_of_waiting, why_waiting
from shoal_scheduler.control.run_task import active_definition
from shoal_scheduler.model.ask import Port, Resources, Strategy
from shoal_scheduler.placement.choices import EXPLAINED_MAX, Choice, Ranked, choices
from shoal_scheduler.placement.demands import ANY, Least
from shoal_scheduler.placement.explain import NEXT_TURN, Explanation, explain, waiting_reason
from shoal_scheduler.placement.place import place
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.overlay import Overlay

from tests.unit.scheduler.plane import Plane, instance
from tests.unit.scheduler.test_place import ask, host, table
from tests.unit.scheduler.test_queue import plane_with, run, stop


def explained(hosts: InstanceTable, **wanted: object) -> Explanation:
    found = explain(ask(**wanted), hosts)  # type: ignore[arg-type]
    assert found is not None
    return found


def changes(found: Explanation) -> list[tuple[str, str, str | None]]:
    assert found.suggestion is not None
    return [(change.field, change.before, change.after) for change in found.suggestion.changes]


def test_what_fits_needs_no_explanation() -> None:
    assert explain(ask(), table(host("x"))) is None
    assert waiting_reason(ask(), table(host("x"))) == NEXT_TURN


def test_no_instances() -> None:
    found = explained(table())
    assert found.reason == "the cluster has no container instances"
    assert (found.instances, found.nearest, found.suggestion, found.kept_away) == (0, (), None, ())
    assert (found.one_more.cpu, found.one_more.memory_mib, found.one_more.like) == (100, 100, None)


def test_the_nearest_lacks_the_least_and_the_sentence_says_what() -> None:
    hosts = table(
        host("far", memory=200),
        host("near", memory=900, hostname="host-7"),
        host("other", cpu=50, memory=900),
        host("drains", memory=4000, status="DRAINING"),
    )
    found = explained(hosts, memory=1024)
    assert [near.instance.id for near in found.nearest] == ["near", "far", "drains", "other"]
    counts = "RESOURCE:MEMORY on 2 instances, INSTANCE:DRAINING on 1 instance, RESOURCE:CPU on 1 instance"
    assert found.reason == f"{counts}; the nearest, host-7, lacks 124 MiB of memory"
    assert changes(found) == [("memory", "1024", "900")]
    assert [near.instance.id for near in found.kept_away] == ["drains"]


def test_several_rules_in_a_sentence() -> None:
    hosts = table(host("x", cpu=99, gpu_ids=("g",), hostname="h"), away=("x",))
    wanted = {"gpus": 2, "ports": (Port("tcp", 22, 22),), "custom": (("licence", 1),)}
    found = explained(
        hosts, resources=wanted, expressions=("attribute:zone == b",), required_attributes=(("ecs.os-type", "linux"),)
    )
    assert found.reason == (
        "AGENT on 1 instance; the nearest, h, has no agent connected, is not ecs.os-type linux, does not match"
        " attribute:zone == b, lacks 1 cpu unit, 1 GPU, 1 licence and has port 22/tcp reserved"
    )
    assert found.suggestion is None
    lacks = {lack.field: lack.has for lack in found.nearest[0].shortfalls}
    assert (lacks["memberOf"], lacks["ecs.os-type"], lacks["licence"]) == ("zone=a", "", "0")


@pytest.mark.parametrize(
    ("wanted", "taken", "after"),
    [
        ((2, 1000), [], None),
        ((4, 1000), [(1, 1000)], "1"),
        ((1, 1000), [(1, 300), (1, 1000)], "0.7"),
        ((1, 500), [(1, 600), (1, 800)], "0.4"),
        ((1, 500), [(1, 1000), (1, 1000)], None),
        ((3, 400), [], "2 x 0.4"),
    ],
)
def test_less_of_gpus_is_fewer_or_a_share(
    wanted: tuple[int, int], taken: list[tuple[int, int]], after: str | None
) -> None:
    hosts = table(host("x", gpu_ids=("g0", "g1") if taken or wanted[1] < 1000 else ()))
    for number, milli in taken:
        place(ask(1, 1, resources={"gpus": number, "gpu_milli": milli}), 1, hosts, Random(1))
    found = explained(hosts, resources={"gpus": wanted[0], "gpu_milli": wanted[1]})
    ((field, _, value),) = changes(found)
    assert (field, value) == ("GPU", after)


def test_what_cannot_be_asked_for_is_not_suggested() -> None:
    hosts = table(host("x", cpu=100, memory=5))
    assert explained(hosts).suggestion is None
    hosts = table(host("x", cpu=100))
    assert changes(explained(hosts, cpu=200)) == [("cpu", "200", "100")]
    found = explain(ask(cpu=200), hosts, least=Least(cpu=128))
    assert found is not None
    assert found.suggestion is None


def test_a_rule_counts_as_much_as_all_of_an_amount() -> None:
    hosts = table(host("a", memory=10), host("b", zone="b"))
    found = explained(hosts, memory=1000, expressions=("attribute:zone == a",))
    assert changes(found) == [("memory", "1000", "10")]


def test_one_more_of_the_smallest_kind_that_takes_it() -> None:
    big = {"ecs.instance-type": "big"}
    hosts = table(
        host("s", custom_attributes={"ecs.instance-type": "small"}),
        *(host(f"b{number}", cpu=9000, memory=9000, custom_attributes=big) for number in range(3)),
        host("huge", cpu=9000, memory=99_000),
    )
    place(ask(8000, 8000), 4, hosts, Random(1))
    kind = explained(hosts, cpu=5000, memory=5000).one_more
    assert (kind.type, kind.number, kind.cpu, kind.memory_mib) == ("big", 3, 9000, 9000)
    assert explained(hosts, cpu=99_000).one_more.like is None


@pytest.mark.parametrize(
    ("expression", "is_one"),
    [
        ("not (task:group == family:db)", True),
        ("runningTasksCount == 0", True),
        ("task:group == family:db", False),
        ("ec2InstanceId == h", False),
        ("registeredAt < 2020-01-01", False),
        ("registeredAt > 2020-01-01", True),
        ("attribute:zone == a", True),
        ("attribute:zone == b", False),
    ],
)
def test_one_more_instance_is_empty_and_new_and_has_the_same_attributes(expression: str, is_one: bool) -> None:
    hosts = table(host("x", hostname="h", cpu=100))
    place(ask(), 1, hosts, Random(1))
    hosts.take(0, Resources(), "family:db", running=True)
    assert (explained(hosts, expressions=(expression,)).one_more.like is not None) == is_one


def test_a_port_is_free_on_one_more_instance_unless_it_is_reserved() -> None:
    hosts = table(host("x"))
    place(ask(resources={"ports": (Port("tcp", 80, 80),)}), 1, hosts, Random(1))
    assert explained(hosts, resources={"ports": (Port("tcp", 80, 80),)}).one_more.like is not None
    assert explained(hosts, resources={"ports": (Port("tcp", 22, 22),)}).one_more.like is None


def test_why_each_of_several_goes_where_it_goes() -> None:
    hosts = table(host("a1"), host("a2", memory=900), host("a3", memory=900), host("b", zone="b", memory=5000))
    strategies = (Strategy("spread", "attribute:zone"), Strategy("binpack", "memory"), Strategy("random"))
    wanted = ask(memory=400, strategies=strategies)
    hosts.take(3, Resources(), "family:web")
    spots = place(wanted, 3, hosts.copy(), Random(1)).spots
    found = list(choices(wanted, spots, hosts.copy()).values())
    assert found[0] in [
        Choice(
            row,
            4,
            (
                Ranked(strategies[0], "0 tasks of family:web where zone is a", 3),
                Ranked(strategies[1], "500 MiB of memory left after it", 2),
                Ranked(strategies[2], "all are alike to it", 2),
            ),
        )
        for row in (1, 2)
    ]
    assert found[0].equal == 2
    assert "1 task of family:web where zone is" in found[1].ranked[0].value


def test_why_where_there_are_no_strategies_and_many_instances() -> None:
    hosts = table(*(host(f"h{number}") for number in range(30)))
    wanted = ask(strategies=(Strategy("spread", "host"),))
    found = choices(wanted, place(wanted, 60, hosts.copy(), Random(1)).spots, hosts.copy())
    assert len(found) == EXPLAINED_MAX
    assert {choice.ranked[0].value for choice in found.values()} == {"0 tasks of family:web on it"}
    assert [choice.equal for choice in found.values()] == list(range(30, 20, -1))
    (only,) = choices(ask(), place(ask(), 1, hosts.copy(), Random(1)).spots, hosts.copy()).values()
    assert (only.fit, only.equal, only.ranked) == (30, 30, ())


async def test_a_dry_run_places_as_a_run_does_and_changes_nothing() -> None:
    plane = Plane()
    await plane.prepare(instance("x", memory_mib=1200), instance("y"), instance("z", memory_mib=700))
    request = i.RunTask("default", "web", 7, strategies=(Strategy("binpack", "memory"),))
    definition = active_definition(Overlay(plane.tables), "web")
    room = plane.tables.room("default")
    before = (plane.tables.revision, room.free_cpu.tolist(), room.pending.tolist())
    planned = dry_run(plane.tables, request, definition, ANY)
    assert dry_run(plane.tables, request, definition, ANY) == planned
    assert (plane.tables.revision, room.free_cpu.tolist(), room.pending.tolist()) == before
    launched = await plane.one(request)
    there = [room.instances[spot.row] for spot in planned.spots]
    assert [each.id for each in there if each is not None] == [task.instance for task in launched.tasks]
    assert planned.unplaced is None
    rest = dry_run(plane.tables, request, definition, ANY)
    assert not rest.spots[1:]
    assert rest.unplaced is not None


async def test_where_a_task_stands_in_the_queue_and_why_it_waits() -> None:
    plane = await plane_with(instance("x", cpu=1000))
    small = (await plane.one(run("small", 11))).tasks
    big, other = (await plane.one(run("big", 2))).tasks
    places = [queue_position(plane.tables, task) for task in (small[0], small[10], big, other)]
    assert places == [0, 1, 2, 3]
    assert (
        reason_of_waiting(plane.tables, big)
        == "RESOURCE:CPU on 1 instance; the nearest, host-x, is held for another task"
        " that waits and lacks 900 cpu units"
    )
    found = why_waiting(plane.tables, small[10], ANY)
    assert found is not None
    assert found.reason == "RESOURCE:CPU on 1 instance; the nearest, host-x, lacks 100 cpu units"
    await stop(plane, small[0])
    assert [queue_position(plane.tables, task) for task in (big, other)] == [1, 2]

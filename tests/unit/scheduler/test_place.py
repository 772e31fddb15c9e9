"""Filters with counted reasons, and the strategies."""

from collections import Counter
from random import Random

from shoal_scheduler.model.ask import Ask, Port, Resources, Strategy
from shoal_scheduler.model.candidate import Candidate, Used
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.placement.place import place


def candidate(name: str, *, cpu: int = 1024, memory: int = 1024, connected: bool = True, **more: object) -> Candidate:
    attributes = {"zone": str(more.pop("zone", "a"))}
    used = more.pop("used", Used())
    assert isinstance(used, Used)
    instance = Instance(
        id=name,
        cluster="default",
        registered_at=0,
        cpu=cpu,
        memory_mib=memory,
        agent_attributes=attributes,
        reserved_tcp=(22,),
        status=str(more.pop("status", "ACTIVE")),
    )
    return Candidate(instance, used, connected)


def ask(cpu: int = 100, memory: int = 100, **more: object) -> Ask:
    ports = more.pop("ports", ())
    return Ask(Resources(cpu, memory, 0, tuple(ports)), group="family:web", **more)  # type: ignore[arg-type]


def test_binpack_takes_the_least_that_still_fits() -> None:
    hosts = [candidate("big", memory=4000), candidate("small", memory=150), candidate("tiny", memory=99)]
    placed = place(ask(strategies=(Strategy("binpack", "memory"),)), 3, hosts, Random(1))
    assert placed.instances == ("small", "big", "big")


def test_spread_by_zone_then_binpack() -> None:
    hosts = [candidate("a1", zone="a"), candidate("a2", zone="a", cpu=500), candidate("b1", zone="b")]
    strategies = (Strategy("spread", "attribute:zone"), Strategy("binpack", "cpu"))
    placed = place(ask(strategies=strategies), 4, hosts, Random(1))
    zones = Counter(name[0] for name in placed.instances)
    assert zones == {"a": 2, "b": 2}
    assert Counter(placed.instances)["a2"] == 2


def test_distinct_instance_and_the_reasons_of_the_rest() -> None:
    hosts = [
        candidate("x"),
        candidate("y"),
        candidate("gone", connected=False),
        candidate("draining", status="DRAINING"),
        candidate("small", cpu=50),
    ]
    placed = place(ask(distinct_instance=True), 3, hosts, Random(1))
    assert sorted(placed.instances) == ["x", "y"]
    assert placed.unplaceable is not None
    assert placed.unplaceable.reasons == {
        "DISTINCT_INSTANCE": 2,
        "AGENT": 1,
        "INSTANCE:DRAINING": 1,
        "RESOURCE:CPU": 1,
    }
    assert placed.unplaceable.reason == "DISTINCT_INSTANCE"
    assert "RESOURCE:CPU on 1 instance" in placed.unplaceable.detail


def test_a_port_is_given_once_and_reserved_ports_never() -> None:
    hosts = [candidate("x"), candidate("y")]
    placed = place(ask(ports=[Port("tcp", 80)]), 3, hosts, Random(1))
    assert sorted(placed.instances) == ["x", "y"]
    assert place(ask(ports=[Port("tcp", 22)]), 1, hosts, Random(1)).instances == ()
    assert len(place(ask(ports=[Port("udp", 22)]), 1, hosts, Random(1)).instances) == 1


def test_member_of_affinity_to_a_group() -> None:
    hosts = [candidate("x", used=Used(groups={"service:db": 1})), candidate("y")]
    wanted = ask(expressions=("task:group == service:db",))
    assert place(wanted, 1, hosts, Random(1)).instances == ("x",)


def test_no_instances_is_a_reason_too() -> None:
    placed = place(ask(), 1, [], Random(1))
    assert placed.unplaceable is not None
    assert placed.unplaceable.reason == "INSTANCE:NONE"


def test_the_same_seed_gives_the_same_placement() -> None:
    hosts = [candidate(f"h{number}") for number in range(50)]
    assert place(ask(), 200, hosts, Random(7)) == place(ask(), 200, hosts, Random(7))
    assert place(ask(), 200, hosts, Random(7)) != place(ask(), 200, hosts, Random(8))

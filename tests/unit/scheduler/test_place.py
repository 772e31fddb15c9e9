"""Rules with counted reasons, and the strategies."""

from collections import Counter
from random import Random

from shoal_scheduler.model.ask import Ask, Port, Resources, Strategy
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.placement.place import Placed, Unplaceable, place, place_on
from shoal_scheduler.state.instance_table import InstanceTable


def host(name: str, *, cpu: int = 1024, memory: int = 1024, zone: str = "a", **more: object) -> Instance:
    return Instance(
        id=name,
        cluster="default",
        registered_at=0,
        cpu=cpu,
        memory_mib=memory,
        agent_attributes={"zone": zone},
        reserved_tcp=(22,),
        **more,  # type: ignore[arg-type]
    )


def table(*instances: Instance, away: tuple[str, ...] = ()) -> InstanceTable:
    made = InstanceTable()
    for instance in instances:
        made.put(instance, connected=instance.id not in away)
    return made


def ask(cpu: int = 100, memory: int = 100, **more: object) -> Ask:
    resources = Resources(cpu, memory, **more.pop("resources", {}))  # type: ignore[arg-type]
    return Ask(resources, **{"group": "family:web", **more})  # type: ignore[arg-type]


def names(placed: Placed, hosts: InstanceTable) -> tuple[str, ...]:
    found = [hosts.instances[spot.row] for spot in placed.spots]
    return tuple(each.id for each in found if each is not None)


def test_binpack_takes_the_least_that_still_fits() -> None:
    hosts = table(host("big", memory=4000), host("small", memory=150), host("tiny", memory=99))
    placed = place(ask(strategies=(Strategy("binpack", "memory"),)), 3, hosts, Random(1))
    assert names(placed, hosts) == ("small", "big", "big")


def test_spread_by_zone_then_binpack() -> None:
    hosts = table(host("a1", zone="a"), host("a2", zone="a", cpu=500), host("b1", zone="b"))
    strategies = (Strategy("spread", "attribute:zone"), Strategy("binpack", "cpu"))
    placed = place(ask(strategies=strategies), 4, hosts, Random(1))
    zones = Counter(name[0] for name in names(placed, hosts))
    assert zones == {"a": 2, "b": 2}
    assert Counter(names(placed, hosts))["a2"] == 2


def test_distinct_instance_and_the_reasons_of_the_rest() -> None:
    hosts = table(
        host("x"), host("y"), host("gone"), host("draining", status="DRAINING"), host("small", cpu=50), away=("gone",)
    )
    placed = place(ask(distinct_instance=True), 3, hosts, Random(1))
    assert sorted(names(placed, hosts)) == ["x", "y"]
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
    hosts = table(host("x"), host("y"))
    placed = place(ask(resources={"ports": (Port("tcp", 80, 80),)}), 3, hosts, Random(1))
    assert sorted(names(placed, hosts)) == ["x", "y"]
    assert not place(ask(resources={"ports": (Port("tcp", 22, 22),)}), 1, hosts, Random(1)).spots
    assert not place(ask(resources={"ports": (Port("tcp", 70, 90),)}), 1, hosts, Random(1)).spots
    assert len(place(ask(resources={"ports": (Port("udp", 22, 22),)}), 1, hosts, Random(1)).spots) == 1


def test_member_of_affinity_to_a_group() -> None:
    hosts = table(host("x"), host("y"))
    hosts.take(0, Resources(1, 1), "service:db")
    wanted = ask(expressions=("task:group == service:db",))
    assert names(place(wanted, 1, hosts, Random(1)), hosts) == ("x",)


def test_an_instance_of_one_s_own_choice() -> None:
    hosts = table(host("x"), host("y", cpu=50))
    assert place_on(ask(), 0, hosts) == (0, ())
    refused = place_on(ask(), 1, hosts)
    assert isinstance(refused, Unplaceable)
    assert refused.reasons == {"RESOURCE:CPU": 1}


def test_shares_of_a_gpu_fill_one_before_the_next_and_whole_ones_are_kept() -> None:
    hosts = table(host("x", gpu_ids=("g0", "g1")))
    half = ask(resources={"gpus": 1, "gpu_milli": 500})
    whole = ask(resources={"gpus": 1})
    assert [spot.gpus for spot in place(half, 2, hosts, Random(1)).spots] == [(0,), (0,)]
    assert [spot.gpus for spot in place(whole, 1, hosts, Random(1)).spots] == [(1,)]
    refused = place(half, 1, hosts, Random(1)).unplaceable
    assert refused is not None
    assert refused.reasons == {"RESOURCE:GPU": 1}


def test_no_instances_is_a_reason_too() -> None:
    placed = place(ask(), 1, table(), Random(1))
    assert placed.unplaceable is not None
    assert placed.unplaceable.reason == "INSTANCE:NONE"


def test_the_same_seed_gives_the_same_placement() -> None:
    hosts = table(*(host(f"h{number}") for number in range(50)))
    assert place(ask(), 200, hosts.copy(), Random(7)) == place(ask(), 200, hosts.copy(), Random(7))
    assert place(ask(), 200, hosts.copy(), Random(7)) != place(ask(), 200, hosts.copy(), Random(8))


def test_an_instance_that_leaves_takes_what_is_counted_with_it() -> None:
    hosts = table(host("x", gpu_ids=("g0",)), host("y"))
    taken = ask(resources={"ports": (Port("tcp", 80, 80),), "gpus": 1})
    place(taken, 1, hosts, Random(1))
    hosts.put(host("x", status="INACTIVE"), connected=False)
    hosts.put(host("z", gpu_ids=("g0",)), connected=True)
    assert hosts.registered == 2
    assert names(place(taken, 1, hosts, Random(1)), hosts) == ("z",)


def test_a_group_is_forgotten_with_its_last_task() -> None:
    """Groups are named by users: what was once named must not stay."""
    hosts = table(host("x"))
    hosts.take(0, Resources(1, 1), "family:once")
    hosts.give_back(0, Resources(1, 1), "family:once")
    assert list(hosts.groups) == []

"""Which hosts there are: nobody's networks and names are taken, and what was chosen is found again."""

import random
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from shoal.hosts import plan


def test_hosts_have_addresses_and_networks_of_their_own() -> None:
    made = plan.choose(plan.HOSTS_MAX, [], [], random.Random(1))
    networks = [made.address.network, *(host.containers.network for host in made.hosts)]
    assert len(made.hosts) == plan.HOSTS_MAX
    assert not [(a, b) for at, a in enumerate(networks) for b in networks[:at] if a.overlaps(b)]
    assert len({made.address.ip, *(host.address.ip for host in made.hosts)}) == plan.HOSTS_MAX + 1
    assert all(host.address in made.address.network for host in made.hosts)
    assert len({host.instance_id for host in made.hosts}) == plan.HOSTS_MAX


def test_names_of_devices_fit_the_kernel() -> None:
    made = plan.choose(plan.HOSTS_MAX, [], [], random.Random(1))
    assert max(len(name) for name in (made.bridge, *(host.link for host in made.hosts))) <= 15


def test_what_is_taken_is_not_chosen() -> None:
    free = IPv4Network("10.231.64.0/19")
    taken = [each for each in plan.POOL.subnets(new_prefix=plan.PREFIX) if each != free]
    first = plan.choose(1, [], [], random.Random(7))
    again = plan.choose(1, taken, [first.bridge], random.Random(7))
    assert again.address.network.subnet_of(free)
    assert again.bridge != first.bridge


def test_where_nothing_is_free_it_says_so() -> None:
    with pytest.raises(ValueError, match=r"no network is free in 10\.224\.0\.0/11"):
        plan.choose(1, [IPv4Network("10.0.0.0/8")], [], random.Random(1))


@pytest.mark.parametrize("count", [0, -1, plan.HOSTS_MAX + 1])
def test_a_count_that_cannot_be(count: int) -> None:
    with pytest.raises(ValueError, match="take 1 to"):
        plan.choose(count, [], [], random.Random(1))


def test_what_was_chosen_is_found_again(tmp_path: Path) -> None:
    made = plan.choose(3, [], [], random.Random(1))
    plan.save(tmp_path / "hosts.json", made)
    assert plan.load(tmp_path / "hosts.json") == made
    assert plan.load(tmp_path / "none.json") is None


def test_a_file_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    (tmp_path / "hosts.json").write_text('{"bridge": "shoal-1"}')
    with pytest.raises(ValueError, match=r"hosts\.json is not a list of hosts: KeyError\('network'\)"):
        plan.load(tmp_path / "hosts.json")

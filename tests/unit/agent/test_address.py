"""Where a host is reached: as its operator says, else as it reaches the scheduler."""

import pytest
from shoal_agent.address import ADDRESS_ATTRIBUTE, attributes_towards
from shoal_agent.configuration import BadConfiguration, parse
from shoal_agent.fingerprint import Host, fingerprint

HOST = Host(cores=2, memory_mib=1024, disk_mib=1, gpus=(), system="Linux", machine="x86_64", hostname="h")


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [("127.0.0.1:7600", "127.0.0.1"), ("127.0.0.3:1", "127.0.0.1"), ("localhost:7600", "127.0.0.1")],
)
async def test_it_is_the_one_on_the_way_there(endpoint: str, address: str) -> None:
    found = await attributes_towards(endpoint)
    assert found.get(ADDRESS_ATTRIBUTE) in (address, "::1" if endpoint.startswith("localhost") else address)


@pytest.mark.parametrize("endpoint", ["nobody.invalid:7600", "no port", "127.0.0.1:seven"])
async def test_what_is_not_known_is_not_said(endpoint: str) -> None:
    assert dict(await attributes_towards(endpoint)) == {}


def test_an_operator_may_say_another_one() -> None:
    found = fingerprint(HOST, parse({"address": "10.0.0.7"}))
    assert found.attributes[ADDRESS_ATTRIBUTE] == "10.0.0.7"
    assert ADDRESS_ATTRIBUTE not in fingerprint(HOST, parse({})).attributes
    with pytest.raises(BadConfiguration, match=r"address: must be an IP address such as 10\.0\.0\.2"):
        parse({"address": "web-1.example"})

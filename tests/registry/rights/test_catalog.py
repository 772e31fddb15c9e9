"""The list of repositories has those that the caller may pull from, and no others."""

from tests.registry.client import Client
from tests.registry.rights.conftest import AccountFactory


async def test_catalog(stranger: Client, operator: Client, account: AccountFactory) -> None:
    ours, theirs = f"{stranger.repository}/ours", f"{stranger.repository}/theirs"
    for name in (ours, theirs):
        await operator.of(name).push_blob(b"x")
    assert (await stranger.call("GET", "/v2/_catalog")).status == 401
    caller = await account(f"{ours}*", "pull")
    assert (await caller.call("GET", "/v2/_catalog")).json["repositories"] == [ours]
    everything = (await operator.call("GET", "/v2/_catalog")).json["repositories"]
    assert {ours, theirs} <= set(everything)

"""What an agent gets for one pull of its engine: as long as that lasts, and for its repository alone."""

import json
from urllib.parse import urlencode

from shoal.registry import RegistryClient

from tests.registry.client import Answer, Client

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def refresh_token(client: Client, scope: str) -> str | None:
    answer = await client.call("GET", f"/token?scope={scope}&offline_token=true")
    assert answer.status == 200, answer
    found: str | None = answer.json.get("refresh_token")
    return found


async def redeemed(client: Client, token: str, scope: str) -> Answer:
    form = {"grant_type": "refresh_token", "service": "shoal-registry", "refresh_token": token, "scope": scope}
    return await client.call("POST", "/token", urlencode(form), FORM)


async def test_an_engine_gets_tokens_by_it_for_that_repository_alone(agent: Client, stranger: Client) -> None:
    mine = f"repository:{agent.repository}:pull"
    token = await refresh_token(agent, mine)
    assert token is not None
    assert (await redeemed(stranger, token, mine)).json["scope"] == mine
    for other in (f"repository:{agent.repository}:push", f"repository:{agent.repository}/more:pull"):
        answer = await redeemed(stranger, token, other)
        assert (answer.status, answer.json["scope"]) == (200, "")


async def test_it_is_no_token_to_pull_with_and_no_word_for_anything_else(agent: Client, operator: Client) -> None:
    await operator.push_image("v1", b"layer")
    token = await refresh_token(agent, f"repository:{agent.repository}:pull")
    assert token is not None
    bearing = {"Authorization": f"Bearer {token}"}
    assert (await agent.call("GET", "manifests/v1", headers=bearing)).status == 401
    answer = await redeemed(operator, token, f"repository:{agent.repository}:pull")
    bearing = {"Authorization": f"Bearer {answer.json['token']}"}
    assert (await operator.call("GET", "manifests/v1", headers=bearing)).status == 200
    assert (await operator.call("DELETE", "manifests/v1", headers=bearing)).status == 401


async def test_it_gets_nothing_that_lasts_longer(agent: Client, stranger: Client) -> None:
    token = await refresh_token(agent, f"repository:{agent.repository}:pull")
    form = {"grant_type": "password", "username": "AWS", "password": token or "", "access_type": "offline"}
    answer = await stranger.call("POST", "/token", urlencode(form), FORM)
    assert (answer.status, "refresh_token" in answer.json) == (200, False)


async def test_it_gets_nothing_that_a_policy_has_denied_since(
    agent: Client, stranger: Client, operator: Client, ecr: RegistryClient
) -> None:
    await operator.push_image("v1", b"layer")
    scope = f"repository:{agent.repository}:pull"
    token = await refresh_token(agent, scope) or ""
    policy = {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "ecr:*"}}
    await ecr.call("SetRepositoryPolicy", {"repositoryName": agent.repository, "policyText": json.dumps(policy)})
    assert (await redeemed(stranger, token, scope)).json["scope"] == ""
    await ecr.call("DeleteRepositoryPolicy", {"repositoryName": agent.repository})
    assert (await redeemed(stranger, token, scope)).json["scope"] == scope


async def test_nobody_else_is_given_one_for_a_certificate(stranger: Client, operator: Client) -> None:
    for client in (stranger, operator):
        assert await refresh_token(client, f"repository:{client.repository}:pull") is None

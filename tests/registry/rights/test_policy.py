"""Policies of repositories, in ECR's JSON: what they give, what they take away, and what is not taken for one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shoal import errors
from shoal.registry import RegistryClient
from shoal_registry.names import Repository
from shoal_registry.rights import policy
from shoal_registry.rights.callers import STRANGER, Caller, Right, may
from shoal_registry.rights.patterns import Pattern
from shoal_registry.rights.policy import OPERATIONS, Action, InvalidPolicyError

from tests.registry.client import Client
from tests.registry.rights.conftest import AccountFactory, token

PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
PUSH = [f"ecr:{each}" for each in sorted(OPERATIONS["push"])]
DELETE = "ecr:BatchDeleteImage"
WEB = Repository("team/web")
CI, ANN = Caller("account", "ci"), Caller("account", "ann")
AGENT, OPERATOR = Caller("agent", "agent/i-1"), Caller("operator", "operator/ann")
OWNER = Caller("account", "owner", [Right(Pattern.parse("team/*"), frozenset(OPERATIONS))])


def statement(effect: str, principal: Any, action: Any, **fields: Any) -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": action, **fields}


def text_of(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allowed(caller: Caller, *statements: Any) -> set[Action]:
    parsed = policy.parse(text_of(*statements)) if statements else None
    return {action for action in OPERATIONS if may(caller, action, WEB, parsed)}


EVERYTHING: set[Action] = set(OPERATIONS)
DECISIONS: list[tuple[Caller, list[Any], set[Action]]] = [
    # Without a policy.
    (STRANGER, [], set()),
    (CI, [], set()),
    (OWNER, [], EVERYTHING),
    (AGENT, [], {"pull"}),
    (OPERATOR, [], EVERYTHING),
    # What is allowed.
    (STRANGER, [statement("Allow", "*", PULL)], {"pull"}),
    (STRANGER, [statement("Allow", {"AWS": "*"}, "ecr:*")], EVERYTHING),
    (CI, [statement("Allow", {"AWS": ["ann", "ci"]}, [*PULL, *PUSH])], {"pull", "push"}),
    (CI, [statement("Allow", {"AWS": "arn:aws:iam::000000000000:user/ci"}, DELETE)], {"delete"}),
    (ANN, [statement("Allow", {"AWS": "ci"}, "ecr:*")], set()),
    (CI, [statement("Allow", {"AWS": "arn:aws:iam::000000000000:root"}, PULL)], {"pull"}),
    (STRANGER, [statement("Allow", {"AWS": "000000000000"}, PULL)], set()),
    (CI, [statement("Allow", "*", "ecr:Batch*")], {"delete"}),
    (CI, [statement("Allow", "*", PULL[0])], set()),
    (CI, [statement("Allow", "*", PULL[0]), statement("Allow", {"AWS": "ci"}, PULL[1])], {"pull"}),
    (CI, [statement("Allow", "*", ["ecr:DescribeImages", *PULL])], {"pull"}),
    # What is denied, whoever allows it, in whichever order.
    (OWNER, [statement("Deny", "*", DELETE)], {"pull", "push"}),
    (OWNER, [statement("Deny", {"AWS": "owner"}, PULL[:1])], {"push", "delete"}),
    (OWNER, [statement("Deny", {"AWS": "ci"}, "ecr:*")], EVERYTHING),
    (CI, [statement("Allow", "*", "ecr:*"), statement("Deny", {"AWS": "ci"}, "ecr:Put*")], {"pull", "delete"}),
    (CI, [statement("Deny", {"AWS": "ci"}, "ecr:Put*"), statement("Allow", "*", "ecr:*")], {"pull", "delete"}),
    (AGENT, [statement("Deny", "*", "*")], set()),
    (AGENT, [statement("Deny", {"AWS": "agent"}, "*")], {"pull"}),
    (OPERATOR, [statement("Deny", "*", "*")], EVERYTHING),
]


@pytest.mark.parametrize(("caller", "statements", "expected"), DECISIONS)
def test_decisions(caller: Caller, statements: list[Any], expected: set[Action]) -> None:
    assert allowed(caller, *statements) == expected


ALLOW = statement("Allow", "*", PULL)
INVALID: list[tuple[str, str]] = [
    ("", "JSON"),
    ("[]", "policy: must be an object"),
    ("{}", "Statement"),
    ('{"Statement": []}', "Statement"),
    ('{"Statement": [{"Effect": "Allow", "Effect": "Deny"}]}', "twice"),
    (json.dumps({"Version": "2020-01-01", "Statement": ALLOW}), "Version"),
    (json.dumps({"Statement": ALLOW, "Else": 1}), "policy.Else: is not obeyed"),
    (text_of({**ALLOW, "Effect": "allow"}), r"Statement\[0\].Effect"),
    (text_of(ALLOW, {**ALLOW, "Condition": {}}), r"Statement\[1\].Condition: is not obeyed"),
    (text_of({**ALLOW, "Resource": "*"}), "Resource: is not obeyed"),
    (text_of({"Effect": "Allow", "NotPrincipal": "*", "Action": PULL}), "NotPrincipal: is not obeyed"),
    (text_of({"Effect": "Deny", "Principal": "*", "NotAction": PULL}), "NotAction: is not obeyed"),
    (text_of({"Effect": "Allow", "Action": PULL}), "Principal"),
    (text_of(statement("Allow", {"Service": "x"}, PULL)), "Principal.Service: is not obeyed"),
    (text_of(statement("Allow", {"AWS": []}, PULL)), "Principal"),
    (text_of(statement("Allow", {"AWS": "ci*"}, PULL)), "Principal"),
    (text_of(statement("Allow", {"AWS": "arn:aws:iam::000000000000:role/x"}, PULL)), "Principal"),
    (text_of(statement("Allow", {"AWS": 7}, PULL)), "Principal"),
    (text_of(statement("Allow", "*", [])), "Action"),
    (text_of(statement("Allow", "*", "s3:GetObject")), "Action"),
    (text_of(statement("Allow", "*", "BatchGetImage")), "Action"),
    (text_of(statement("Allow", "*", 7)), "Action"),
    (text_of(statement("Deny", "*", "ecr:DescribeImages")), "cannot be denied by itself"),
    (text_of(statement("Deny", "*", [*PULL, "ecr:batchGetImage"])), "cannot be denied by itself"),
    (" " * 10_241, "10240 characters"),
    ('{"a":' * 10_000, "10240 characters"),
    ("[" * 10_000, "JSON"),
]


@pytest.mark.parametrize(("text", "said"), INVALID, ids=[said for _, said in INVALID])
def test_what_would_not_be_obeyed_is_no_policy(text: str, said: str) -> None:
    with pytest.raises(InvalidPolicyError, match=said):
        policy.parse(text)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "Effect": st.sampled_from(["Allow", "Deny"]) | ANY_JSON,
        "Principal": st.sampled_from(["*", {"AWS": "ci"}]) | ANY_JSON,
        "Action": st.sampled_from(["ecr:*", PULL]) | ANY_JSON,
        "Sid": ANY_JSON,
    },
)


@given(ANY_JSON | st.fixed_dictionaries({"Statement": st.lists(FIELDS, max_size=3) | ANY_JSON}))
def test_whatever_comes_is_a_policy_or_is_refused(document: Any) -> None:
    try:
        parsed = policy.parse(json.dumps(document))
    except InvalidPolicyError:
        return
    for action in OPERATIONS:
        assert may(OPERATOR, action, WEB, parsed)
        if parsed.denies(None, action):
            assert not may(STRANGER, action, WEB, parsed)


@given(st.text("ab*/", min_size=1, max_size=12), st.text("ab/", max_size=12))
def test_patterns(pattern: str, name: str) -> None:
    """As one would go about it by hand: each part between stars is found after the one before."""
    first, *rest = pattern.split("*")
    at, fits = len(first), name.startswith(first)
    for number, part in enumerate(rest):
        is_last = number == len(rest) - 1
        at = len(name) - len(part) if is_last and name[at:].endswith(part) else name.find(part, at)
        fits = fits and at >= 0 and (not is_last or name[at:] == part)
        at += len(part)
    if not rest:
        fits = name == pattern
    assert Pattern.parse(pattern).matches(name) == fits


async def test_everybody_pulls(
    ecr: RegistryClient, stranger: Client, operator: Client, account: AccountFactory
) -> None:
    """While the policy says so, with a stranger's token and without; nobody pushes by it."""
    name = stranger.repository
    await operator.push_image("v1", b"layer")
    request = {"repositoryName": name, "policyText": text_of(statement("Allow", "*", PULL))}
    assert (await ecr.call("SetRepositoryPolicy", request))["policyText"] == request["policyText"]
    assert (await ecr.call("GetRepositoryPolicy", {"repositoryName": name}))["policyText"] == request["policyText"]
    with_token = stranger.bearer(await token(stranger, f"repository:{name}:pull,push"))
    other = await account("elsewhere/*", "pull")
    for caller in (stranger, with_token, other):
        assert (await caller.call("GET", "manifests/v1")).status == 200
        assert (await caller.call("POST", "blobs/uploads/")).status in (401, 403)
    await ecr.call("DeleteRepositoryPolicy", {"repositoryName": name})
    assert (await stranger.call("GET", "manifests/v1")).status == 401
    assert (await other.call("GET", "manifests/v1")).status == 403
    with pytest.raises(errors.NotFound) as missing:
        await ecr.call("GetRepositoryPolicy", {"repositoryName": name})
    assert missing.value.reason == "RepositoryPolicyNotFoundException"


async def test_a_policy_denies_an_account_its_own_right(
    ecr: RegistryClient, stranger: Client, operator: Client, account: AccountFactory
) -> None:
    await operator.push_image("v1", b"layer")
    owner = await account(stranger.repository, "pull", "push", "delete")
    text = text_of(statement("Deny", "*", DELETE))
    await ecr.call("SetRepositoryPolicy", {"repositoryName": stranger.repository, "policyText": text})
    assert (await owner.call("DELETE", "manifests/v1")).status == 403
    by_token = stranger.bearer(await token(owner, f"repository:{stranger.repository}:*"))
    assert (await by_token.call("DELETE", "manifests/v1")).status == 401
    assert (await by_token.call("GET", "manifests/v1")).status == 200
    assert (await operator.call("DELETE", "manifests/v1")).status == 202


async def test_no_policy_is_kept(ecr: RegistryClient, stranger: Client) -> None:
    name = {"repositoryName": stranger.repository}
    with pytest.raises(errors.NotFound):
        await ecr.call("SetRepositoryPolicy", {**name, "policyText": text_of(ALLOW)})
    await ecr.call("CreateRepository", name)
    with pytest.raises(errors.InvalidInput, match="policyText: Statement"):
        await ecr.call("SetRepositoryPolicy", {**name, "policyText": "{}"})
    with pytest.raises(errors.NotFound):
        await ecr.call("DeleteRepositoryPolicy", name)

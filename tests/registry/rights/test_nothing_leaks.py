"""Who may not see a repository learns nothing of it, by whichever way: not even whether there is one."""

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
from shoal.arn import repository_arn
from shoal.registry import RegistryClient
from shoal_registry.ecr.operations import OPERATIONS
from shoal_registry.rights.callers import ACTIONS
from shoal_registry.routes import ROUTES

from tests.registry.client import BYTES, IMAGE, Answer, Client, digest_of
from tests.registry.rights.conftest import AccountFactory, token

LAYER = b"a layer of somebody else's"
ABSENT = digest_of(b"of nobody")
# Of the whole registry, not of a repository; they are tried below.
ELSEWHERE = ("/token", "/accounts", "/v2", "/ecr/", "/lifecycle")
WAYS = [(method, path, need) for methods, path, need, _ in ROUTES for method in methods.split() if "{name}" in path]


def test_all_routes_are_here() -> None:
    left = [path for _, path, _, _ in ROUTES if "{name}" not in path and not path.startswith(ELSEWHERE)]
    assert not left, "try these below, too"
    assert {need for _, _, need in WAYS} == set(ACTIONS)


async def called(caller: Client, method: str, path: str, repository: str, digest: str, upload: str) -> Answer:
    parts = {"name": repository, "digest": digest, "reference": digest, "upload": upload}
    body = None if method in ("GET", "HEAD") else b"{}"
    return await caller.call(method, path.format(**parts), body, {"Content-Type": IMAGE} if body else None)


def seen(answer: Answer, *names: str) -> tuple[int, str]:
    """What the answer says, but for the name that was asked for."""
    kept = {name: value for name, value in answer.headers.items() if name not in ("Date", "Content-Length")}
    text = repr((answer.body.decode(), kept))
    for name in names:
        text = text.replace(name, "NAME")
    return answer.status, text


@pytest.mark.parametrize("by_token", [False, True], ids=["themselves", "by token"])
async def test_routes(
    stranger: Client, operator: Client, agent: Client, account: AccountFactory, by_token: bool
) -> None:
    """All routes, all callers, a repository that is there and one that is not."""
    there, absent = f"{stranger.repository}/there", f"{stranger.repository}/never"
    await operator.of(there).push_image("v1", LAYER)
    upload = (await operator.of(there).begin()).rpartition("/")[2]
    callers: dict[str, tuple[Client, set[str]]] = {
        "stranger": (stranger, set()),
        "agent": (agent, {"pull"}),
        "operator": (operator, set(ACTIONS)),
        "without rights": (await account(""), set()),
        "of another repository": (await account("other/*", *ACTIONS), set()),
        **{action: (await account(f"{stranger.repository}/*", action), {action}) for action in ACTIONS},
    }
    if by_token:
        asked = [f"repository:{each}:pull,push,delete" for each in (there, absent)]
        callers = {
            name: (stranger.bearer(await token(each, *asked)), rights) for name, (each, rights) in callers.items()
        }
    for (name, (caller, rights)), (method, path, need) in product(callers.items(), WAYS):
        if need in rights:
            answer = await called(caller, method, path, absent, ABSENT, upload)
            assert answer.status not in (401, 403), f"{name}: {method} {path}"
            continue
        one = await called(caller, method, path, there, digest_of(LAYER), upload)
        other = await called(caller, method, path, absent, ABSENT, upload)
        assert one.status in (401, 403), f"{name}: {method} {path}"
        assert seen(one, there, digest_of(LAYER)) == seen(other, absent, ABSENT), f"{name}: {method} {path}"
    assert (await operator.of(there).call("GET", "tags/list")).json["tags"] == ["v1"], "nobody changed anything"


async def test_an_upload_of_another_repository(stranger: Client, account: AccountFactory) -> None:
    """Is unknown to who may push elsewhere, and goes on for whose it is."""
    theirs, ours = f"{stranger.repository}/theirs", f"{stranger.repository}/ours"
    owner, other = await account(theirs, "pull", "push"), await account(ours, "pull", "push")
    location = await owner.of(theirs).begin()
    for where, status in ((location, 403), (location.replace(theirs, ours), 404)):
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            answer = await other.call(method, f"{where}?digest={digest_of(b'x')}", b"x", BYTES)
            assert answer.status == status
    assert (await owner.call("GET", location)).headers["Range"] == "0-0"
    assert (await owner.call("PUT", location, LAYER, BYTES, digest=digest_of(LAYER))).status == 201


@pytest.mark.parametrize("by_token", [False, True], ids=["themselves", "by token"])
async def test_a_mount_needs_the_right_to_pull(
    stranger: Client, operator: Client, account: AccountFactory, by_token: bool
) -> None:
    """With it the blob is mounted; without, it has to be sent, as if nobody had it."""
    private, shared, ours = (f"{stranger.repository}/{each}" for each in ("private", "shared", "ours"))
    content = f"only in {private}".encode()
    digest = await operator.of(private).push_blob(content)
    mounter = await account(ours, "pull", "push")
    if by_token:
        asked = (f"repository:{ours}:pull,push", f"repository:{private}:pull", f"repository:{shared}:pull")
        mounter = stranger.bearer(await token(mounter, *asked))
    for source in (f"&from={private}", f"&from={private}-absent", ""):
        answer = await mounter.of(ours).call("POST", f"blobs/uploads/?mount={digest}{source}")
        assert answer.status == 202, "an upload was begun instead"
        assert (await mounter.of(ours).call("HEAD", f"blobs/{digest}")).status == 404
    both = await account(f"{stranger.repository}/*", "pull", "push")
    if by_token:
        both = stranger.bearer(await token(both, *asked))
    assert (await both.of(ours).call("POST", "blobs/uploads/", mount=digest)).status == 201
    assert (await mounter.of(ours).call("GET", f"blobs/{digest}")).body == content


async def test_operations(stranger: Client, operator: Client, account: AccountFactory, agent: Client) -> None:
    """Of ECR's API: who may not is told so before anything is looked up."""
    there, absent = f"{stranger.repository}/there", f"{stranger.repository}/never"
    await operator.of(there).push_image("v1", LAYER)
    callers = {
        "stranger": stranger,
        "outsider": await account("other/*", *ACTIONS),
        "agent": agent,
        "token": stranger.bearer(await token(operator, f"repository:{there}:pull,push,delete")),
    }
    for (name, operation), (who, caller) in product(OPERATIONS.items(), callers.items()):
        if not is_refused(who, name, operation.need):
            continue
        one, other = [
            await caller.call("POST", f"/ecr/{name}", json.dumps(request(name, operation.request, repository)))
            for repository in (there, absent)
        ]
        assert one.status == (401 if who == "stranger" else 400), (name, who, one.body)
        assert b"AccessDenied" in one.body or b"UNAUTHORIZED" in one.body, (name, who, one.body)
        assert seen(one, there) == seen(other, absent)


# By its ARN, not by its name, and what they need then.
BY_ARN: Mapping[str, str] = {"TagResource": "admin", "UntagResource": "admin", "ListTagsForResource": "pull"}


def is_refused(who: str, operation: str, need: str) -> bool:
    needed = BY_ARN.get(operation, need)
    if who == "stranger" or needed == "admin":
        return True
    if who == "outsider":
        return needed in ACTIONS
    return who == "agent" and needed in ("push", "delete")


_IMAGES = {"imageIds": [{"imageDigest": digest_of(LAYER)}]}
_FURTHER: Mapping[str, Mapping[str, Any]] = {
    "BatchCheckLayerAvailability": {"layerDigests": [digest_of(LAYER)]},
    "BatchDeleteImage": _IMAGES,
    "BatchGetImage": _IMAGES,
    "ListImageReferrers": {"subjectId": {"imageDigest": digest_of(LAYER)}},
    "PutImage": {"imageManifest": "{}"},
    "TagResource": {"tags": []},
    "UntagResource": {"tagKeys": []},
}


def request(name: str, shape: Any, repository: str) -> Mapping[str, Any]:
    """Names the repository as that operation does."""
    further = _FURTHER.get(name, {})
    if name in BY_ARN:
        return {"resourceArn": repository_arn(repository), **further}
    if "repository_name" in shape.__struct_fields__:
        return {"repositoryName": repository, **further}
    return {"repositoryNames": [repository]} if "repository_names" in shape.__struct_fields__ else further


async def test_a_list_of_repositories(stranger: Client, operator: Client, account: AccountFactory) -> None:
    """Has those that its reader may pull from."""
    for name in ("a", "b", "c"):
        await operator.of(f"{stranger.repository}/{name}").push_image("v1", name.encode())
    reader = await account(f"{stranger.repository}/b", "pull")
    answer = await reader.call("POST", "/ecr/DescribeRepositories", b"{}")
    assert [each["repositoryName"] for each in answer.json["repositories"]] == [f"{stranger.repository}/b"]


async def test_accounts_are_for_operators(
    stranger: Client, agent: Client, account: AccountFactory, operator: Client
) -> None:
    by_token = stranger.bearer(await token(operator, f"repository:{stranger.repository}:pull,push,delete"))
    callers = [(stranger, 401), (agent, 403), (await account("*", *ACTIONS), 403), (by_token, 401)]
    ways = [("GET", ""), ("POST", ""), ("PATCH", "/ci"), ("DELETE", "/ci"), ("POST", "/ci/secret")]
    before = (await operator.call("GET", "/accounts")).body
    for (caller, status), (method, path) in product(callers, ways):
        answer = await caller.call(method, f"/accounts{path}", None if method == "GET" else b'{"name": "mine"}')
        assert answer.status == status
    assert (await operator.call("GET", "/accounts")).body == before


async def test_the_client_of_an_operator(ecr: RegistryClient, stranger: Client) -> None:
    """Certificates are asked for nothing more."""
    await ecr.call("CreateRepository", {"repositoryName": stranger.repository})
    described = await ecr.call("DescribeRepositories", {"repositoryNames": [stranger.repository]})
    assert len(described["repositories"]) == 1

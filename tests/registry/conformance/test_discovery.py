"""Workflow "Content Discovery" of the OCI Distribution Specification 1.1: each test names the sentence it holds to."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.registry.client import BYTES, CONFIG, IMAGE, INDEX, Client, descriptor, digest_of, index

TAGS = ["0.1", "1.0", "Latest", "_x", "a", "b", "latest"]


async def with_tags(client: Client) -> None:
    manifest = await client.image(b"layer")
    for tag in reversed(TAGS):
        await client.push_manifest(tag, manifest)


async def test_tags_are_listed_in_order(client: Client) -> None:
    """Listing Tags: 200 and the tags, which MUST be in lexical (ASCII) order."""
    await with_tags(client)
    answer = await client.call("GET", "tags/list")
    assert (answer.status, answer.json) == (200, {"name": client.repository, "tags": TAGS})
    assert "Link" not in answer.headers


async def test_a_repository_may_have_no_tags(client: Client) -> None:
    """Listing Tags: the list MAY be empty if there are no tags; of no repository it is 404."""
    missing = await client.call("GET", "tags/list")
    assert (missing.status, missing.codes) == (404, ["NAME_UNKNOWN"])
    await client.push_blob(b"a blob alone")
    assert (await client.call("GET", "tags/list")).json["tags"] == []


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 10**30])
async def test_as_many_tags_as_asked_for(client: Client, count: int) -> None:
    """Listing Tags: MUST NOT be more than n; if n is 0, MUST be empty and MUST NOT include a Link header."""
    await with_tags(client)
    answer = await client.call("GET", "tags/list", n=str(count))
    assert (answer.status, answer.json["tags"]) == (200, TAGS[:count])
    assert ("Link" in answer.headers) == (0 < count < len(TAGS))


@pytest.mark.parametrize("count", ["-1", "x", "1.5", "", "１"])
async def test_a_count_that_is_none_is_refused(client: Client, count: str) -> None:
    await with_tags(client)
    answer = await client.call("GET", "tags/list", n=count)
    assert (answer.status, answer.codes) == (400, ["PAGINATION_NUMBER_INVALID"])


async def test_tags_after_the_last(client: Client) -> None:
    """Listing Tags: with `last`, MUST begin non-inclusively after it; n may be absent; it need not be a tag."""
    await with_tags(client)
    assert (await client.call("GET", "tags/list", last="Latest")).json["tags"] == TAGS[3:]
    assert (await client.call("GET", "tags/list", last="Latest", n="2")).json["tags"] == TAGS[3:5]
    assert (await client.call("GET", "tags/list", last="aa")).json["tags"] == TAGS[5:]


async def test_pages_lead_to_one_another(client: Client) -> None:
    """Listing Tags: a Link header (RFC 5988) with rel="next" leads to the next page."""
    await with_tags(client)
    path, seen = f"/v2/{client.repository}/tags/list?n=3", []
    while path:
        answer = await client.call("GET", path)
        seen.append(answer.json["tags"])
        path = next_page(answer.headers.get("Link"))
    assert seen == [TAGS[:3], TAGS[3:6], TAGS[6:]]


def next_page(link: str | None) -> str:
    if link is None:
        return ""
    target, _, relation = link.partition(">; ")
    assert relation == 'rel="next"'
    return target.removeprefix("<")


async def push_referrer(client: Client, subject: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """Its descriptor as a list of referrers has it."""
    content = json.dumps({**manifest, "subject": subject}).encode()
    digest, kind = digest_of(content), manifest["mediaType"]
    answer = await client.call("PUT", f"manifests/{digest}", content, {"Content-Type": kind})
    assert (answer.status, answer.headers["OCI-Subject"]) == (201, subject["digest"])
    return {"mediaType": kind, "digest": digest, "size": len(content)}


@pytest.mark.parametrize("subject_first", [True, False])
async def test_referrers(client: Client, subject_first: bool) -> None:
    """Listing Referrers: an image index with the descriptor of every manifest whose subject has that digest.

    `artifactType` MUST be the manifest's, else the media type of its config; an index without one MUST omit it.
    Annotations MUST be those of the manifest.
    """
    image = await client.image(b"the subject")
    subject = descriptor(json.dumps(image).encode(), IMAGE)
    if subject_first:
        await client.push_manifest("v1", image)
    signature = await client.image(b"signature", artifactType="application/vnd.example.signature")
    bill = await client.image(b"bill", annotations={"org.example.format": "json"})
    expected = [
        await push_referrer(client, subject, signature) | {"artifactType": "application/vnd.example.signature"},
        await push_referrer(client, subject, bill)
        | {"artifactType": CONFIG, "annotations": {"org.example.format": "json"}},
        await push_referrer(client, subject, index()),
        await push_referrer(client, subject, index(artifactType="application/vnd.example.set"))
        | {"artifactType": "application/vnd.example.set"},
    ]
    await client.push_manifest("v1", image)
    answer = await client.call("GET", f"referrers/{subject['digest']}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX)
    assert (answer.json["schemaVersion"], answer.json["mediaType"]) == (2, INDEX)
    by_digest = sorted(expected, key=lambda each: each["digest"])
    assert sorted(answer.json["manifests"], key=lambda each: each["digest"]) == by_digest
    assert "OCI-Filters-Applied" not in answer.headers


async def test_referrers_of_one_type(client: Client) -> None:
    """Listing Referrers: if a filter is applied, the response MUST include OCI-Filters-Applied: artifactType."""
    subject = descriptor(b"subject", IMAGE)
    for name in ("one", "two"):
        await push_referrer(client, subject, await client.image(name.encode(), artifactType=f"application/{name}"))
    for name, count in (("one", 1), ("two", 1), ("three", 0)):
        answer = await client.call("GET", f"referrers/{subject['digest']}", artifactType=f"application/{name}")
        assert (answer.status, answer.headers["OCI-Filters-Applied"]) == (200, "artifactType")
        assert [each["artifactType"] for each in answer.json["manifests"]] == [f"application/{name}"] * count


async def test_no_referrers(client: Client) -> None:
    """Listing Referrers: without any, MUST be an empty list; a registry with this API MUST NOT return 404."""
    for _ in range(2):
        answer = await client.call("GET", f"referrers/{digest_of(b'absent')}")
        assert (answer.status, answer.json["manifests"]) == (200, [])
        await client.push_blob(b"the repository exists now")


async def test_referrers_of_no_digest(client: Client) -> None:
    """Listing Referrers: an invalid request, as of a digest with invalid syntax, MUST be 400."""
    answer = await client.call("GET", "referrers/sha256:short")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


async def test_referrers_that_fill_several_pages(client: Client) -> None:
    """Listing Referrers: descriptors that do not fit MUST be on further pages, to which Link headers lead."""
    subject = descriptor(b"subject", IMAGE)
    pushed = set()
    for number in range(5):
        manifest = await client.image(b"layer", annotations={str(number): "x" * 1_000_000})
        pushed.add((await push_referrer(client, subject, manifest))["digest"])
    path, seen, pages = f"/v2/{client.repository}/referrers/{subject['digest']}?artifactType={quote(CONFIG)}", [], 0
    while path:
        answer = await client.call("GET", path)
        assert len(answer.body) < 4 * 1024 * 1024
        assert answer.headers["OCI-Filters-Applied"] == "artifactType"
        seen += [each["digest"] for each in answer.json["manifests"]]
        path, pages = next_page(answer.headers.get("Link")), pages + 1
    assert pages > 1
    assert sorted(seen) == sorted(pushed)


async def test_a_deleted_referrer_is_listed_no_more(client: Client) -> None:
    subject = descriptor(b"subject", IMAGE)
    referrer = await push_referrer(client, subject, await client.image(b"signature"))
    assert (await client.call("DELETE", f"manifests/{referrer['digest']}")).status == 202
    assert (await client.call("GET", f"referrers/{subject['digest']}")).json["manifests"] == []


async def test_a_blob_is_no_manifest(client: Client) -> None:
    digest = await client.push_blob(b"{}")
    assert (await client.call("GET", f"manifests/{digest}")).status == 404
    assert (await client.call("PUT", f"manifests/{digest}", b"{}", BYTES)).status == 400

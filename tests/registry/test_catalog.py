"""The list of repositories, which is no part of the specification and asked for by many clients."""

import re

from tests.registry.client import Client


async def test_pages(client: Client) -> None:
    """In the order of their names' components, all of them once."""
    prefix = client.repository
    wanted = [f"{prefix}/{name}" for name in ("a", "a/b", "b", "c/d/e")]
    for name in wanted:
        await client.of(name).push_blob(b"x")
    found: list[str] = []
    path: str | None = "/v2/_catalog?n=2"
    while path:
        answer = await client.call("GET", path)
        assert answer.status == 200 and len(answer.json["repositories"]) <= 2
        found += answer.json["repositories"]
        link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else None
    assert [name for name in found if name.startswith(f"{prefix}/")] == wanted
    assert len(found) == len(set(found))
    assert (await client.call("GET", "/v2/_catalog?n=0")).json == {"repositories": []}


async def test_bad_pages(client: Client) -> None:
    assert (await client.call("GET", "/v2/_catalog?n=x")).codes == ["PAGINATION_NUMBER_INVALID"]
    assert (await client.call("GET", "/v2/_catalog?last=../..")).codes == ["NAME_INVALID"]

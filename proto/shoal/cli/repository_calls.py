"""What the commands of `shoal repository` ask the registry: operations of ECR's API."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal.cli.failures import Failed
from shoal.cli.registry_reach import Reach, reach


def ask(registry: str | None, operation: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`registry`: another than the context's. Raises the errors of shoal.errors."""
    return asyncio.run(_ask(reach(registry), operation, request or {}))


def all_of(registry: str | None, operation: str, request: Mapping[str, Any], within: str) -> list[dict[str, Any]]:
    """The list `within` of all pages."""
    return asyncio.run(_all_of(reach(registry), operation, request, within))


def image_id(registry: str | None, image: str) -> dict[str, Any]:
    """Of NAME:TAG or NAME@DIGEST, as a request names an image. Raises InvalidInput."""
    from shoal.bridge import names

    named = names.parse_whole(image, reach(registry).registry)
    identity = {"imageDigest": named.digest} if named.digest else {"imageTag": named.tag}
    return {"repositoryName": named.repository, "imageId": identity}


def read_text(file: str) -> str:
    """Of a file, or of stdin for `-`. Raises Failed, OSError."""
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Failed(f"{file} is no text in UTF-8: byte {error.start} of it is none.") from None


async def _ask(reached: Reach, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    async with reached.client() as client:
        return await client.call(operation, _named(reached, request))


async def _all_of(reached: Reach, operation: str, request: Mapping[str, Any], within: str) -> list[dict[str, Any]]:
    async with reached.client() as client:
        return [each async for each in client.pages(operation, _named(reached, request), within)]


def _named(reached: Reach, request: Mapping[str, Any]) -> dict[str, Any]:
    """Repositories by their names, also those that are called by their URIs."""
    named = dict(request)
    if "repositoryName" in request:
        named["repositoryName"] = reached.repository(request["repositoryName"])
    if "repositoryNames" in request:
        named["repositoryNames"] = [reached.repository(each) for each in request["repositoryNames"]]
    return named

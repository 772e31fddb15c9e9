"""What the commands of `shoal repository` ask the registry: operations of ECR's API."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal import errors
from shoal.cli.failures import Failed
from shoal.cli.registry_http import chosen


def ask(address: str | None, operation: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`address`: of another registry than the context's. Raises the errors of shoal.errors."""
    return asyncio.run(_ask(address, operation, request or {}))


def all_of(address: str | None, operation: str, request: Mapping[str, Any], within: str) -> list[dict[str, Any]]:
    """The list `within` of all pages."""
    return asyncio.run(_all_of(address, operation, request, within))


def image_id(image: str) -> dict[str, Any]:
    """Of NAME:TAG or NAME@DIGEST, as a request names an image. Raises Failed.

    >>> image_id("team/web:v1")
    {'repositoryName': 'team/web', 'imageId': {'imageTag': 'v1'}}
    >>> image_id("team/web@sha256:00")
    {'repositoryName': 'team/web', 'imageId': {'imageDigest': 'sha256:00'}}
    """
    name, at, digest = image.partition("@")
    if at:
        return {"repositoryName": name, "imageId": {"imageDigest": digest}}
    name, colon, tag = image.rpartition(":")
    if not colon:
        raise Failed(f"{image!r} names no image.", f"{image}:TAG or {image}@sha256:…")
    return {"repositoryName": name, "imageId": {"imageTag": tag}}


def read_text(file: str) -> str:
    """Of a file, or of stdin for `-`."""
    return sys.stdin.read() if file == "-" else Path(file).read_text()


async def _ask(address: str | None, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    from shoal.registry import RegistryClient

    there = chosen(address)
    async with RegistryClient(there.address, there.authority, there.certificate, there.key) as client:
        try:
            return await client.call(operation, request)
        except errors.NotFound as error:
            if error.reason == "RepositoryNotFoundException":
                error.hint = error.hint or "shoal repository ls"
            raise


async def _all_of(address: str | None, operation: str, request: Mapping[str, Any], within: str) -> list[dict[str, Any]]:
    from shoal.registry import RegistryClient

    there = chosen(address)
    async with RegistryClient(there.address, there.authority, there.certificate, there.key) as client:
        return [each async for each in client.pages(operation, request, within)]

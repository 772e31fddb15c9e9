"""A registry's API, as ECR has it: operations by name, JSON in and out, failures as the errors of `shoal.errors`.

Importing this costs the time of aiohttp: commands import it when they run.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from shoal import errors
from shoal.registry_unreachable import unreachable

TIMEOUT_SECONDS = 60.0
_KINDS: Mapping[str, type[errors.ShoalError]] = {
    "AccessDeniedException": errors.Denied,
    "InvalidParameterException": errors.InvalidInput,
    "InvalidTagParameterException": errors.InvalidInput,
    "ValidationException": errors.InvalidInput,
    "LimitExceededException": errors.LimitExceeded,
    "TooManyTagsException": errors.LimitExceeded,
    "ServerException": errors.ServerFault,
}


class RegistryClient:
    """Of the registry at `address` (host:port), known by the authority's certificate; the caller's own and its key
    say who calls. All three are PEM files.

        async with RegistryClient("127.0.0.1:7680", authority, certificate, key) as registry:
            await registry.call("DescribeImages", {"repositoryName": "team/web"})
    """

    def __init__(self, address: str, authority: Path, certificate: Path | None = None, key: Path | None = None) -> None:
        self.address = address
        self._authority, self._certificate, self._key = authority, certificate, key
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "RegistryClient":
        tls = ssl.create_default_context(cafile=str(self._authority))
        if self._certificate is not None:
            tls.load_cert_chain(self._certificate, self._key)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls), timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(self, operation: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Raises the errors of shoal.errors, whose `reason` is then ECR's exception."""
        assert self._session is not None, "use it as `async with RegistryClient(…) as registry`"
        url = f"https://{self.address}/ecr/{operation}"
        try:
            async with self._session.post(url, json=request or {}) as answer:
                document = await answer.json(content_type=None)
        except TimeoutError:
            raise errors.TimedOut(f"The registry at {self.address} did not answer.") from None
        except aiohttp.ClientError as error:
            raise unreachable(self.address, error) from None
        except ValueError:
            raise errors.ServerFault(f"What answers at {self.address} is not an image registry of shoal.") from None
        if answer.status != 200:
            raise _failure(document, request or {})
        return dict(document)

    async def pages(self, operation: str, request: Mapping[str, Any], within: str) -> AsyncIterator[dict[str, Any]]:
        """Every element of the list `within`, of all pages."""
        token: str | None = None
        while True:
            answer = await self.call(operation, {**request, **({"nextToken": token} if token else {})})
            for each in answer[within]:
                yield each
            token = answer.get("nextToken")
            if token is None:
                return


def _failure(document: Any, request: Mapping[str, Any]) -> errors.ShoalError:
    if not isinstance(document, dict):
        return errors.ServerFault("The registry failed without saying why.")
    if "errors" in document:
        first = document["errors"][0]
        denied = first.get("code") in ("UNAUTHORIZED", "DENIED")
        code, failure = str(first.get("code", "")), errors.Denied if denied else errors.ServerFault
        return failure(first.get("message", ""), _hint(code, request), reason=code)
    reason = str(document.get("__type", ""))
    if reason.endswith("NotFoundException"):
        kind: type[errors.ShoalError] = errors.NotFound
    elif reason.endswith(("AlreadyExistsException", "NotEmptyException")):
        kind = errors.Conflict
    else:
        kind = _KINDS.get(reason, errors.Refused)
    return kind(str(document.get("message", "")), _hint(reason, request), reason=reason)


def _hint(reason: str, request: Mapping[str, Any]) -> str:
    """The command that shows what there is instead, or makes what is missing."""
    name = request.get("repositoryName", "NAME")
    hints = {
        "ImageNotFoundException": f"shoal image tags {name}",
        "LifecyclePolicyNotFoundException": f"shoal repository lifecycle set {name} FILE, or preview {name} FILE",
        "INSUFFICIENT_STORAGE": "make room where the registry stores images",
        "UNAVAILABLE": "once more in a while; the registry's log says what its store does",
        "RepositoryNotFoundException": "shoal repository ls",
        "RepositoryPolicyNotFoundException": f"shoal repository policy set {name} FILE",
    }
    return hints.get(reason, "")

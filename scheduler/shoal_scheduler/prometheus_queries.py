"""Asks Prometheus servers of others what a scaling policy is to follow, by their HTTP API
(https://prometheus.io/docs/prometheus/latest/querying/api/). Never one of the hosts' own network unless it is allowed:
see `webhooks`.
"""

import math
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from shoal_scheduler.webhooks import Network, check_literal, guarded_session

TIMEOUT_SECONDS = 5.0
ANSWER_BYTES_MAX = 1024 * 1024


class NotAnsweredError(Exception):
    """Why, in words for people."""


class PrometheusQueries:
    """Use as `async with`. `networks`: what may be dialled beside the public internet."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    async def __aenter__(self) -> "PrometheusQueries":
        self._session = guarded_session(self._networks, TIMEOUT_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def values(self, address: str, query: str, times: Sequence[int]) -> list[float | None]:
        """At these evenly spaced times (in seconds); None where there is no value. Raises NotAnsweredError."""
        step = times[1] - times[0]
        asked = {"query": query, "start": str(times[0]), "end": str(times[-1]), "step": str(step)}
        try:
            check_literal(address, self._networks)
            content = await self._get(f"{address}/api/v1/query_range", asked)
        except TimeoutError:
            raise NotAnsweredError(f"no answer within {TIMEOUT_SECONDS:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise NotAnsweredError(str(error.os_error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotAnsweredError(str(error) or type(error).__name__) from None
        found = values_of(content)
        return [found.get(at) for at in times]

    async def _get(self, address: str, asked: dict[str, str]) -> bytes:
        """By POST, as long queries are asked; redirects are not followed."""
        async with self._session.post(address, data=asked, allow_redirects=False) as answer:
            content = b""
            async for part in answer.content.iter_any():
                content += part
                if len(content) > ANSWER_BYTES_MAX:
                    raise NotAnsweredError(f"it answered with more than {ANSWER_BYTES_MAX} bytes")
            if answer.status != 200:
                raise NotAnsweredError(f"it answered {answer.status}{_why(content)}")
            return content


def values_of(content: bytes) -> dict[int, float]:
    """By the time in seconds, of the one series of the answer; what is no finite number is left out. Pure. Raises
    NotAnsweredError."""
    try:
        data = msgspec.json.decode(content)["data"]
        series = data["result"]
        if data["resultType"] != "matrix" or len(series) > 1:
            raise NotAnsweredError(f"the query gives {len(series)} series; make one of them, as with sum(...)")
        values = series[0]["values"] if series else []
        found = {int(at): float(value) for at, value in values}
    except (msgspec.DecodeError, LookupError, TypeError, ValueError):
        raise NotAnsweredError("it answered what Prometheus would not") from None
    return {at: value for at, value in found.items() if math.isfinite(value)}


def _why(content: bytes) -> str:
    try:
        said: Any = msgspec.json.decode(content)
        return f": {str(said['error'])[:300]}"
    except (msgspec.DecodeError, LookupError, TypeError):
        return ""

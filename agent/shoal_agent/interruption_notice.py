"""Looks for the notice that this host is soon to go: a file that appears, or an address that is 404 until then.

What it says is EC2's spot/instance-action: {"action": "terminate", "time": "2026-01-31T12:00:00Z"}. A file may as well
be empty: then the host goes in two minutes, as a spot host does. A notice that goes away again takes nothing back: that
is an operator's word.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urljoin

import aiohttp

from shoal_agent.interruption import Notice

log = logging.getLogger(__name__)

EXAMPLE = '{"action": "terminate", "time": "2026-01-31T12:00:00Z"}'

# As often as EC2 says that one should look.
ADDRESS_PERIOD_SECONDS = 5.0
FILE_PERIOD_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
CONTENT_BYTES_MAX = 4096

# Of a notice that does not say when: EC2's warning comes so long before.
DEFAULT_SECONDS = 120.0

# A notice of later than that is taken for one of that time: schedulers believe in no more.
SECONDS_MAX = 86_400.0

# EC2's session tokens (IMDSv2): asked for where nothing is said without one.
TOKEN_PATH = "/latest/api/token"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
TOKEN_SECONDS_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_SECONDS = 6 * 3600


class NotUnderstood(ValueError):  # noqa: N818 - reads as what it says
    """This is no notice."""


def understood(content: bytes, where: str, now: float) -> Notice:
    """`now` in seconds since 1970. Raises NotUnderstood."""
    try:
        said = json.loads(content)
        action, moment = said["action"], datetime.fromisoformat(said["time"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotUnderstood(f"must be as {EXAMPLE}: {error!r}") from None
    if moment.tzinfo is None or not isinstance(action, str):
        raise NotUnderstood("time must end with Z or an offset, and action must be a text")
    seconds = min(max(0.0, moment.timestamp() - now), SECONDS_MAX)
    return Notice(f"{where} says {action[:32]!r}", seconds)


class NoticeWatch:
    """`where`: an absolute path or an http address. `tell` is told of a notice once, and again when it changes."""

    def __init__(self, where: str, tell: Callable[[Notice], None]) -> None:
        self._where = where
        self._is_file = where.startswith("/")
        self._tell = tell
        self._dealt_with: bytes | None = None
        self._trouble = ""
        self._token = ""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                self._see(self._read_file() if self._is_file else await self._ask())
                trouble = ""
            except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
                trouble = f"{type(error).__name__}: {error}"
            if trouble and trouble != self._trouble:  # once, however often
                log.error("no notice can be looked for where=%s error=%s", self._where, trouble)
            self._trouble = trouble
            await asyncio.sleep(FILE_PERIOD_SECONDS if self._is_file else ADDRESS_PERIOD_SECONDS)

    def _see(self, content: bytes | None) -> None:
        if content is None or content == self._dealt_with:
            self._dealt_with = content
            return
        try:
            notice = understood(content, self._where, time.time())
        except NotUnderstood as error:
            if not self._is_file:  # whoever answers there may be anybody; but the file is there for one purpose
                raise
            if content.strip():
                log.error("the notice does not say when where=%s error=%s", self._where, error)
            notice = Notice(f"{self._where} is there", DEFAULT_SECONDS)
        self._dealt_with = content
        self._tell(notice)

    def _read_file(self) -> bytes | None:
        try:
            with Path(self._where).open("rb") as file:
                return file.read(CONTENT_BYTES_MAX)
        except FileNotFoundError:
            return None

    async def _ask(self) -> bytes | None:
        """Nobody is asked but who is named: no proxies, no redirects."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            status, content = await self._get(http)
            if status == 401:
                self._token = await self._new_token(http)
                status, content = await self._get(http)
        if status == 404:
            return None
        if status != 200:
            raise NotUnderstood(f"answers {status}; it must be 404 until there is a notice, and 200 then")
        return content

    async def _get(self, http: aiohttp.ClientSession) -> tuple[int, bytes]:
        headers = {TOKEN_HEADER: self._token} if self._token else {}
        async with http.get(self._where, headers=headers, allow_redirects=False) as response:
            return response.status, await _content(response)

    async def _new_token(self, http: aiohttp.ClientSession) -> str:
        headers = {TOKEN_SECONDS_HEADER: str(TOKEN_SECONDS)}
        async with http.put(urljoin(self._where, TOKEN_PATH), headers=headers, allow_redirects=False) as response:
            return (await _content(response)).decode("ascii").strip() if response.status == 200 else ""


async def _content(response: aiohttp.ClientResponse) -> bytes:
    content = b""
    while len(content) < CONTENT_BYTES_MAX and (more := await response.content.read(CONTENT_BYTES_MAX)):
        content += more
    return content

"""A certificate that lives a day is renewed at half of that, while everything runs on.

The schedulers may be away for the other half. A host that was away for longer proves that it holds the key, and is
let in again unless it was revoked meanwhile.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from shoal.errors import Denied, ShoalError
from shoal.joining.identity import IdentityFiles
from shoal.joining.renewal import renew
from shoal.rpc import Credentials

from shoal_agent.identity import Validity, validity_of

log = logging.getLogger(__name__)

# The wall clock may jump, and does not run while a machine sleeps: looked at now and then.
LOOK_SECONDS_MAX = 30.0

# Between two tries; shorter where certificates are short-lived.
RETRY_LIFE_SHARE = 1 / 50
RETRY_SECONDS_MAX = 600.0

Renewed = Callable[[Credentials], None]


class Renewal:
    """`renewed` is told of each new certificate, which is in its file then."""

    def __init__(
        self,
        files: IdentityFiles,
        endpoints: Sequence[str],
        renewed: Renewed,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._files = files
        self._endpoints = tuple(endpoints)
        self._renewed = renewed
        self._now = now
        self._sleep = sleep

    async def run(self) -> None:
        """For ever."""
        while True:
            validity = validity_of(self._files.certificate.read_bytes())
            left = validity.renew_at - self._now()
            if left > 0:
                await self._sleep(min(left, LOOK_SECONDS_MAX))
            elif not await self._try(validity):
                await self._sleep(retry_seconds(validity, random.random()))  # jitter needs no secret

    async def _try(self, validity: Validity) -> bool:
        run_out = self._now() >= validity.end
        endpoints = random.sample(self._endpoints, len(self._endpoints))
        try:
            await asyncio.to_thread(renew, self._files, endpoints, run_out=run_out)
        except Denied as error:
            log.error("the certificate is not renewed, this host is no member any more reason=%s", error.message)
            return False
        except (ShoalError, OSError, ValueError) as error:
            left_hours = (validity.end - self._now()) / 3600
            log.warning("the certificate is not renewed yet hours_left=%.1f reason=%s", left_hours, error)
            return False
        files = self._files
        self._renewed(Credentials.load(files.authority, files.certificate, files.key))
        log.info("the certificate is renewed")
        return True


def retry_seconds(validity: Validity, chance: float) -> float:
    """How long to wait before the next try, `chance` between 0 and 1. Pure."""
    return (0.5 + chance / 2) * min(RETRY_SECONDS_MAX, validity.seconds * RETRY_LIFE_SHARE)

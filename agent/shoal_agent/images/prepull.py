"""Images that are wanted here before a task needs them: fetched as for a task, told of in a stream of its own, and kept
from clean-up for a while.

Whether a registry is asked is the host's pull behaviour, so that afterwards a task of the image starts here as it
would have, without having to wait. When the stream ends before the pull, nobody waits for it any more: then it is
given up, unless a task waits for it, too.
"""

import asyncio
import logging
import time

import grpc
from google.rpc import status_pb2
from shoal.image_reference import listed_as
from shoal.v1 import agent_pb2_grpc
from shoal.v1 import image_pb2 as pb

from shoal_agent.engine.port import CannotPull, EngineError, Image
from shoal_agent.images.pull_behavior import pulls_first, uses_cached
from shoal_agent.images.records import ImageRecords
from shoal_agent.life.case import Surroundings

log = logging.getLogger(__name__)

PREPULLS_MAX = 32

# Who is told nothing for longer takes the agent for silent.
TELL_PERIOD_SECONDS = 1.0
GOODBYE_SECONDS = 10.0
KEEP_SECONDS = 24 * 3600
PULLED, PRESENT = "PULLED", "PRESENT"


class Prepulls:
    """`close` ends what goes on in the background."""

    def __init__(self, around: Surroundings, records: ImageRecords) -> None:
        self._around = around
        self._records = records
        self._open = 0
        self._background: set[asyncio.Task[str]] = set()

    async def run(self, stub: "agent_pb2_grpc.AgentSessionAsyncStub", wanted: pb.PullRequest) -> None:
        """From the opening of the stream to its end; faults are told in it, or logged if it breaks."""
        call = stub.SendPull()
        over = asyncio.Event()
        call.add_done_callback(lambda _: over.set())
        self._open += 1
        work = asyncio.create_task(self._have(wanted.image, wanted.background))
        try:
            await call.write(pb.PullProgress(request_id=wanted.request_id))
            while not (over.is_set() or work.done()):
                await call.write(pb.PullProgress(percent=self._around.pulls.percent(wanted.image)))
                await _first_of(work, over)
            if work.done():
                await call.write(_outcome(work))
                await call.done_writing()
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await call
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            log.info("pull is not waited for any more image=%s reason=%s", wanted.image, error)
        finally:
            self._open -= 1
            call.cancel()
            if wanted.background:
                self._go_on(work, wanted.image)
            else:
                work.cancel()

    async def close(self) -> None:
        for work in list(self._background):
            work.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _go_on(self, work: "asyncio.Task[str]", image: str) -> None:
        def ended(work: "asyncio.Task[str]") -> None:
            self._background.discard(work)
            if not work.cancelled() and (error := work.exception()) is not None:
                log.warning("not pulled image=%s error=%s", image, error)

        self._background.add(work)
        work.add_done_callback(ended)

    async def _have(self, image: str, background: bool) -> str:
        """Raises EngineError."""
        if self._open + len(self._background) > PREPULLS_MAX:
            raise CannotPull(f"{PREPULLS_MAX} images are being pulled ahead on this instance: wait for one of them")
        around, before = self._around, await self._find(image)
        behavior = around.rules.image_pull_behavior
        now = before
        if before is None or pulls_first(behavior, image, around.pulled_before):
            try:
                await around.pulls.pull(image, for_good=background)
                now = await self._find(image)
            except CannotPull as error:
                if before is None or not uses_cached(behavior):
                    raise
                log.warning("not pulled, what is here will be used image=%s error=%s", image, error)
        if now is None:
            raise CannotPull(f"{image} was pulled, and the engine does not have it")
        self._records.keep(now.image_id, time.time_ns() // 1_000_000 + KEEP_SECONDS * 1000)
        return PRESENT if before is not None and before.image_id == now.image_id else PULLED

    async def _find(self, image: str) -> Image | None:
        name = listed_as(image)
        return next((found for found in await self._around.engine.local_images() if name in found.references), None)


async def _first_of(work: "asyncio.Task[str]", over: asyncio.Event) -> None:
    """Or until it is time to say how it stands."""
    waiting = asyncio.create_task(over.wait())
    try:
        await asyncio.wait({work, waiting}, timeout=TELL_PERIOD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _outcome(work: "asyncio.Task[str]") -> pb.PullProgress:
    error = work.exception()
    if error is None:
        return pb.PullProgress(outcome=work.result())
    if not isinstance(error, EngineError):
        log.error("pull stumbled", exc_info=error)
    code = grpc.StatusCode.FAILED_PRECONDITION if isinstance(error, CannotPull) else grpc.StatusCode.UNAVAILABLE
    said = error.message if isinstance(error, EngineError) else "the agent stumbled; its log says over what"
    return pb.PullProgress(error=status_pb2.Status(code=code.value[0], message=said))

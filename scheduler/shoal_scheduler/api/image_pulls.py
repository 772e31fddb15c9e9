"""PullImage: an image fetched onto instances before a task needs it there, by their agents and as for a task.

Some instances at a time, so that a registry is not asked by a whole cluster at once. Each is told of as it gets on;
what goes wrong on one stops no other. When the caller goes, its agents are told with the end of their streams.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

from shoal import arn
from shoal.rpc import Identity
from shoal.v1 import image_pb2 as pb

from shoal_scheduler.api.agent_checks import text
from shoal_scheduler.api.fields import check_expression, existing_cluster, refuse, required
from shoal_scheduler.api.validate_image import image_problems
from shoal_scheduler.control.instances import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.dispatch import PullWanted
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.log_relay import Pipe
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state.overlay import Overlay

log = logging.getLogger(__name__)

CONCURRENCY_DEFAULT, CONCURRENCY_MAX = 16, 64
# Of an agent: until it begins, and between two words of it.
FIRST_ANSWER_SECONDS = 10.0
SILENCE_SECONDS = 30.0
PULLS_PER_ANSWER_MAX = 1000
PROGRESS_BYTES_MAX = 64 * 1024
REASON_CHARACTERS_MAX = 1024
WAITING, PULLING, FAILED = "WAITING", "PULLING", "FAILED"
OUTCOMES = ("PULLED", "PRESENT")


class _Board:
    """How it stands with each instance, and which the caller has not been told of yet."""

    def __init__(self, instances: Iterable[Instance]) -> None:
        self._stands = {each.id: _waiting(each) for each in instances}
        self._news: dict[str, None] = dict.fromkeys(self._stands)
        self._changed = asyncio.Event()

    def say(self, instance: Instance, status: str, *, percent: int | None = None, reason: str | None = None) -> None:
        stands = self._stands[instance.id]
        if (stands.status, stands.percent if stands.HasField("percent") else None) == (status, percent):
            return
        self._stands[instance.id] = pb.ImagePull(
            container_instance_arn=stands.container_instance_arn,
            ec2_instance_id=stands.ec2_instance_id,
            status=status,
            percent=percent,
            reason=reason,
        )
        self._news[instance.id] = None
        self.wake()

    def news(self) -> Iterable[pb.PullImageResponse]:
        news, self._news = [self._stands[each] for each in self._news], {}
        self._changed.clear()
        for at in range(0, len(news), PULLS_PER_ANSWER_MAX):
            yield pb.PullImageResponse(pulls=news[at : at + PULLS_PER_ANSWER_MAX])

    def wake(self) -> None:
        self._changed.set()

    async def changed(self) -> None:
        """Or woken."""
        await self._changed.wait()


def _waiting(instance: Instance) -> pb.ImagePull:
    named = arn.container_instance_arn(instance.cluster, instance.id)
    return pb.ImagePull(container_instance_arn=named, ec2_instance_id=instance.hostname, status=WAITING)


async def pull(
    plane: ControlPlane, request: pb.PullImageRequest, caller: Identity
) -> AsyncGenerator[pb.PullImageResponse]:
    required(request, "image", "image")
    refuse(image_problems("image", request.image), "InvalidParameterException")
    most = _concurrency(request)
    chosen = _chosen(plane, request)
    log.info("pull image=%s instances=%d user=%s", request.image, len(chosen), caller.name)
    board, left = _Board(chosen), deque(chosen)
    working = [asyncio.create_task(_work(plane, request, left, board)) for _ in range(min(most, len(chosen)))]
    for each in working:
        each.add_done_callback(lambda _: board.wake())
    try:
        while sum(map(_is_over, working)) < len(working):
            for answer in board.news():
                yield answer
            await board.changed()
        for answer in board.news():
            yield answer
    finally:
        for each in working:
            each.cancel()
        await asyncio.gather(*working, return_exceptions=True)


def _is_over(work: "asyncio.Task[None]") -> bool:
    """Raises what it raised."""
    if work.done():
        work.result()
    return work.done()


def _concurrency(request: pb.PullImageRequest) -> int:
    most = request.max_concurrency if request.HasField("max_concurrency") else CONCURRENCY_DEFAULT
    if not 1 <= most <= CONCURRENCY_MAX:
        raise invalid_field("maxConcurrency", f"is {most}; must be 1 to {CONCURRENCY_MAX}.")
    return most


def _chosen(plane: ControlPlane, request: pb.PullImageRequest) -> Sequence[Instance]:
    """Those that are named or selected, each once. Raises Refused."""
    cluster = existing_cluster(plane, request).name
    if request.container_instances and request.filter:
        raise invalid_field("filter", "cannot be given with containerInstances; leave out one of them.")
    if request.container_instances:
        view = Overlay(plane.tables)
        return list({(each := find(view, cluster, name)).id: each for name in request.container_instances}.values())
    room = plane.tables.room(cluster)
    passes = check_expression("filter", request.filter).mask(room).tolist() if request.filter else [True] * len(room)
    found = [
        instance
        for instance, passed in zip(room.instances, passes, strict=True)
        if instance is not None and passed and (request.filter or instance.status == "ACTIVE")
    ]
    if not found:
        which = "no instance matches it" if request.filter else f"cluster {cluster!r} has no ACTIVE instance"
        raise Refused("not_found", f"filter: {which}. List them with ListContainerInstances.")
    return found


async def _work(plane: ControlPlane, request: pb.PullImageRequest, left: deque[Instance], board: _Board) -> None:
    while left:
        await _pull_on(plane, request, left.popleft(), board)


async def _pull_on(plane: ControlPlane, request: pb.PullImageRequest, instance: Instance, board: _Board) -> None:
    """Raises Unavailable if this scheduler does not lead any more."""
    if instance.id not in plane.tables.sessions:
        board.say(instance, FAILED, reason="its agent is not connected")
        return
    request_id, progress = plane.pulls.open(instance.cluster, instance.id)
    try:
        plane.dispatch.ask_pull(instance.id, PullWanted(request_id, request.image, request.background))
        said = await _next(progress, FIRST_ANSWER_SECONDS, "its agent did not answer; an older one cannot do this")
        board.say(instance, PULLING)
        while said is not None and not request.background:
            _tell(board, instance, said)
            said = await _next(progress, SILENCE_SECONDS, "its agent has fallen silent; the pull may go on")
    except Unavailable as broken:
        board.say(instance, FAILED, reason=str(broken))
    finally:
        plane.pulls.close(request_id)


async def _next(progress: Pipe[pb.PullProgress], seconds: float, otherwise: str) -> pb.PullProgress | None:
    """Raises Unavailable."""
    try:
        async with asyncio.timeout(seconds):
            return await progress.receive()
    except TimeoutError:
        raise Unavailable(otherwise) from None


def _tell(board: _Board, instance: Instance, said: pb.PullProgress) -> None:
    if said.HasField("error"):
        board.say(instance, FAILED, reason=text(said.error.message, REASON_CHARACTERS_MAX) or "its agent says not why")
    elif said.outcome in OUTCOMES:
        board.say(instance, said.outcome)
    elif said.HasField("percent"):
        board.say(instance, PULLING, percent=min(max(said.percent, 0), 100))


async def send(plane: ControlPlane, messages: AsyncIterator[pb.PullProgress], caller: Identity) -> pb.SendPullResponse:
    """The agent's side."""
    first = await anext(messages, None)
    progress = plane.pulls.answer(first.request_id, caller.cluster, caller.name) if first else None
    if progress is None or first is None:
        raise Refused("not_found", "Nobody waits for this pull (any more).")
    whole = False
    try:
        if not await progress.send(first):
            return pb.SendPullResponse()
        async for message in messages:
            if message.ByteSize() > PROGRESS_BYTES_MAX:
                raise invalid_field("error", f"has {message.ByteSize()} bytes, at most {PROGRESS_BYTES_MAX}.")
            if not await progress.send(message):
                break
            whole = message.outcome in OUTCOMES or message.HasField("error")
            if whole:
                break
    finally:
        progress.end(None if whole else "the instance broke off, and the pull may have ended with that: pull again")
    return pb.SendPullResponse()

"""Events: a stream of what becomes true, and the newest history."""

from collections.abc import AsyncGenerator, Iterable

from shoal import arn
from shoal.rpc import Identity
from shoal.v1 import event_pb2 as pb

from shoal_scheduler.api import convert
from shoal_scheduler.api.fields import existing_cluster
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.sizes import parts
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.events import EventRecord
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import Task

EVENTS_PER_MESSAGE = 200
BYTES_PER_MESSAGE = 1024 * 1024


async def watch(plane: ControlPlane, request: pb.WatchRequest, _caller: Identity) -> AsyncGenerator[pb.WatchResponse]:
    cluster = existing_cluster(plane, request)
    wanted = {arn.short(name) for name in request.tasks}
    revision = request.after_revision if request.HasField("after_revision") else plane.events.revision
    if not plane.events.reaches_back_to(revision):
        raise Refused(
            "out_of_range",
            f"afterRevision: the history no longer reaches back to {revision}. List again, then watch from there.",
        )
    if revision > plane.events.revision:
        raise Refused(
            "out_of_range",
            f"afterRevision: {revision} is not reached yet, the newest is {plane.events.revision}. List again.",
        )

    def message(event: EventRecord) -> pb.Event:
        return convert.event_message(plane.tables, event)

    yield pb.WatchResponse(revision=revision)
    while True:
        await plane.events.wait_beyond(revision)
        if not plane.events.reaches_back_to(revision):
            raise Refused("out_of_range", "This watch is too slow: events it has not read are gone. List again.")
        newest = plane.events.revision
        events = list(_of(plane.events.after(revision), cluster.name, wanted))
        for part in parts(map(message, events), EVENTS_PER_MESSAGE, BYTES_PER_MESSAGE):
            yield pb.WatchResponse(events=part)
        revision = newest
        yield pb.WatchResponse(revision=revision)


async def list_all(plane: ControlPlane, request: pb.ListEventsRequest, _caller: Identity) -> pb.ListEventsResponse:
    cluster = existing_cluster(plane, request)
    wanted = {arn.short(name) for name in request.tasks}
    found = _of(plane.events.after(0), cluster.name, wanted)
    keyed = ((f"{event.revision:014d}{number:08d}", event) for number, event in enumerate(found))
    events, token = page(keyed, request)
    return pb.ListEventsResponse(
        events=[convert.event_message(plane.tables, event) for event in events], next_token=token or None
    )


def _of(events: Iterable[EventRecord], cluster: str, tasks: set[str]) -> Iterable[EventRecord]:
    for event in events:
        is_wanted = not tasks or (isinstance(event.subject, Task) and event.subject.id in tasks)
        if event.cluster in (cluster, "") and is_wanted:
            yield event

"""Between the leader and the ingress: who waits for other routes, what keeps rules from being served, and the requests
that are counted. In memory only: the ingress says all of it again to whoever leads next."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoal_scheduler.control.traffic.routes import routed_services, targets_by_group
from shoal_scheduler.engine import Unavailable, now_millis
from shoal_scheduler.metrics.frames import Point
from shoal_scheduler.metrics.store import Metric, Metrics, TooManySeriesError
from shoal_scheduler.model.service import Service, ServiceRevision
from shoal_scheduler.model.traffic import ListenerRule, TargetGroup
from shoal_scheduler.state.changes import Change, PutInstance, PutTask
from shoal_scheduler.state.records import DeleteRecord, PutRecord
from shoal_scheduler.state.service_tables import ServiceKey, SetTargetHealth, service_of
from shoal_scheduler.state.tables import Tables

log = logging.getLogger(__name__)

NAMESPACE = "AWS/ApplicationELB"

# It reports every five.
SILENT_SECONDS = 20
EVERYTHING: ServiceKey = ("", "")


class Routing:
    def __init__(self) -> None:
        self._changes = 0
        self._news = asyncio.Event()
        self._closed = False
        self._began_at = now_millis()

        # By cluster and service; see `touched_at`.
        self._touched_at: dict[ServiceKey, int] = {}

        # By cluster.
        self._problems: dict[str, dict[str, str]] = {}
        self._heard_at: dict[str, int] = {}
        self._said_full = False

    def on_commit(self, changes: Sequence[Change], tables: Tables) -> None:
        """`tables`: with the changes."""
        touched = {key for change in changes if (key := _touched(change, tables)) is not None}
        if not touched:
            return
        self._changes += 1
        for key in touched:
            self._touched_at[key] = self._changes
        self._tell()

    def touched_at(self, cluster: str, service: str = "") -> int:
        """When something was last changed that may change the routes of the service, or without one, rules or groups
        of the cluster: a number that grows."""
        return max(self._touched_at.get((cluster, service), 0), self._touched_at.get(EVERYTHING, 0))

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def wait_beyond(self, seen: int) -> int:
        """Until there is something newer than what that number stood for; the number for that. Raises Unavailable once
        this process no longer leads."""
        while self._changes <= seen:
            if self._closed:
                raise Unavailable("this scheduler does not lead any more: watch again")
            await self._news.wait()
        return self._changes

    async def announce(self, tables: Tables, path: Path) -> None:
        """Makes the file as soon as there is a target group."""
        seen = -1
        while next(tables.records.all(TargetGroup), None) is None:
            seen = await self.wait_beyond(seen)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch()
        except OSError as error:  # no reason not to lead
            log.error("the ingress cannot be asked for file=%s reason=%s", path, error)

    def close(self) -> None:
        self._closed = True
        self._tell()

    def problem(self, rule: ListenerRule, now: int) -> str:
        """Why it is not served; "" if it is, or nothing is known yet. Times in milliseconds."""
        silent_seconds = (now - max(self._heard_at.get(rule.cluster, 0), self._began_at, rule.created_at)) // 1000
        if silent_seconds >= SILENT_SECONDS:
            return f"the ingress has said nothing for {silent_seconds} s: is it up? Its log says why not"
        return self._problems.get(rule.cluster, {}).get(rule.name, "")

    def heard(self, cluster: str, problems: Mapping[str, str], now: int) -> None:
        """From the ingress of the cluster: the rules that it cannot serve, and why."""
        self._problems[cluster], self._heard_at[cluster] = dict(problems), now

    def count(self, tables: Tables, metrics: Metrics, cluster: str, counts: Mapping[str, int], now: float) -> None:
        """Requests of target groups, and how many each of their targets had of them, in the words of ELB; of a service
        those of its share of the targets."""
        of_services = {each.name: targets_by_group(tables, each) for each in routed_services(tables, cluster)}
        targets = sum(of_services.values(), Counter[str]())
        for group, requests in counts.items():
            if tables.records.get(TargetGroup, cluster, group) is None:
                continue
            dimensions = (("ClusterName", cluster), ("TargetGroup", group))
            self._record(metrics, now, "RequestCount", dimensions, requests)
            if targets[group]:
                self._record(metrics, now, "RequestCountPerTarget", dimensions, requests / targets[group])
        for service, share in of_services.items():
            each = [counts[group] / targets[group] for group in share if group in counts]
            if each:
                dimensions = (("ClusterName", cluster), ("ServiceName", service))
                self._record(metrics, now, "RequestCountPerTarget", dimensions, sum(each))

    def _record(
        self, metrics: Metrics, now: float, name: str, dimensions: tuple[tuple[str, str], ...], value: float
    ) -> None:
        try:
            metrics.record(now, Metric(NAMESPACE, name, dimensions), "Count", Point(int(now), value, value, value, 1))
        except TooManySeriesError:
            if not self._said_full:
                log.warning("requests are not kept as a metric, there are too many others first=%s", dimensions)
            self._said_full = True


def _touched(change: Change, tables: Tables) -> ServiceKey | None:
    match change:
        case PutTask(task):
            return service_of(task)
        case SetTargetHealth(key):
            task_now = tables.task(key)
            return service_of(task_now) if task_now is not None else None
        case PutRecord(Service() as service):
            return service.cluster, service.name
        case PutRecord(ServiceRevision() as revision):
            return revision.cluster, revision.service
        case PutRecord(TargetGroup() | ListenerRule() as record):
            return record.cluster, ""
        case DeleteRecord(kind, key) if kind in (Service, TargetGroup, ListenerRule):
            return key[0], key[1] if kind is Service else ""
        case PutInstance():
            return EVERYTHING
    return None

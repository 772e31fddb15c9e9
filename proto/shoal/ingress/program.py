"""Follows what the scheduler wants routed, has it routed, and tells what became of it.

Whatever is away, what was routed last goes on: nothing is written before the scheduler has said all.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter

import aiohttp

from shoal.client import Client
from shoal.errors import ShoalError
from shoal.ingress import folders
from shoal.ingress.checker import Checker
from shoal.ingress.counts import since, totals
from shoal.ingress.folders import Folders
from shoal.ingress.health import serving
from shoal.ingress.names import Endpoint, Names
from shoal.ingress.traefik import Certificate, configuration, is_served
from shoal.v1 import traffic_pb2 as pb

# What changes at once is written at once, and told at once; where it takes long, there is more of it.
GATHER_SECONDS = 0.02
PAUSE_PER_SECOND_OF_WORK = 4.0
PAUSE_PER_TARGET_SECONDS = 0.0005
# Certificates may have been renewed.
LOOK_AGAIN_SECONDS = 2.0
# After a start: for checks of what is routed already to say what is well.
FIRST_CHECKS_SECONDS = 3.0
REPORT_SECONDS = 5.0
AGAIN_SECONDS_MIN, AGAIN_SECONDS_MAX = 0.1, 2.0
SCRAPE_SECONDS = 2.0

log = logging.getLogger("shoal.ingress")


def now_millis() -> int:
    return time.time_ns() // 1_000_000


class Ingress:
    def __init__(self, client: Client, cluster: str, where: Folders) -> None:
        self._client = client
        self._cluster = cluster
        self._folders = where
        self._routes: pb.WatchRoutesResponse | None = None
        self._changed = asyncio.Event()
        self._to_report = asyncio.Event()
        self._checker = Checker(now_millis, self._checked)
        self._is_routing = False

        # Of rules: that have no certificate; whose Traefik cannot do its work.
        self._unserved: dict[str, str] = {}
        self._complaints: dict[str, str] = {}
        self.names: Names = {}

        # By port: where its Traefik was asked, and what it had counted then.
        self._counted: dict[int, tuple[str, dict[str, int]]] = {}
        self._unreported: Counter[str] = Counter()

        # Ports whose Traefik counted before this program was there: nobody knows what of it was told already.
        self._here_before = where.ports()

    async def run(self) -> None:
        """For ever."""
        async with self._checker, asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._keep_writing())
            group.create_task(self._keep_reporting())

    def _checked(self) -> None:
        self._changed.set()
        self._to_report.set()

    async def _follow(self) -> None:
        """One stream after another, wherever the leader is."""
        wait = AGAIN_SECONDS_MIN
        while True:
            try:
                async for routes in self._client.ingress.WatchRoutes(pb.WatchRoutesRequest(cluster=self._cluster)):
                    self._take(routes)
                    wait = AGAIN_SECONDS_MIN
            except ShoalError as error:
                log.warning("routes cannot be followed reason=%s", error)
            await asyncio.sleep(wait)
            wait = min(AGAIN_SECONDS_MAX, wait * 2)

    def _take(self, routes: pb.WatchRoutesResponse) -> None:
        self._routes = routes
        self._checker.follow(routes.target_groups, routes.targets)
        names: dict[str, list[Endpoint]] = {}
        for each in routes.names:  # several services may be found under one
            names.setdefault(each.name, []).extend(Endpoint(it.task_id, it.host, it.port) for it in each.endpoints)
        self.names = names
        self._changed.set()
        self._to_report.set()

    async def _keep_writing(self) -> None:
        await self._changed.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_CHECKS_SECONDS):
                while not self._checker.is_informed:
                    self._changed.clear()
                    await self._changed.wait()
        while True:
            self._changed.clear()
            began = time.monotonic()
            try:
                self._write()
            except OSError:
                log.exception("routes cannot be written")
            worked_seconds = time.monotonic() - began
            await asyncio.sleep(max(GATHER_SECONDS, worked_seconds * PAUSE_PER_SECOND_OF_WORK))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_AGAIN_SECONDS)

    def _write(self) -> None:
        routes = self._routes
        if routes is None:
            return
        certificates = folders.certificates(self._folders)
        targets = serving(routes.targets, self._checker.health)
        ports = {rule.port for rule in routes.rules if is_served(rule, certificates)}
        wanted = {port: configuration(port, routes, targets, certificates) for port in ports}
        if folders.write(self._folders, wanted):
            log.info("routes written ports=%s targets=%d", sorted(ports), sum(map(len, targets.values())))
        self._unserved = _unserved(routes, certificates)
        if not self._is_routing:
            self._is_routing = True
            self._to_report.set()

    async def _keep_reporting(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(SCRAPE_SECONDS)) as session:
            at = time.monotonic()
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._to_report.wait(), max(0.0, at - time.monotonic()))
                self._to_report.clear()
                is_time = time.monotonic() >= at
                if is_time:
                    at = time.monotonic() + REPORT_SECONDS
                    await self._count(session)
                # What was healthy before a restart is not to be told of as if it were new.
                if self._routes is not None and self._is_routing:
                    await self._report(self._routes, with_counts=is_time)
                await asyncio.sleep(GATHER_SECONDS + PAUSE_PER_TARGET_SECONDS * len(self._checker.health))

    async def _count(self, session: aiohttp.ClientSession) -> None:
        """What each Traefik has counted since it was asked last; one that does not answer has a problem."""
        self._complaints = {}
        for port in self._folders.ports():
            address = folders.internal(self._folders, port)
            try:
                async with session.get(f"http://{address}/metrics") as answer:
                    now = totals(await answer.text())
            except (OSError, aiohttp.ClientError, TimeoutError, ValueError):
                self._complain(port)
                continue
            before, known = self._counted.get(port, ("", {}))
            if before == address or port not in self._here_before:
                self._unreported.update(since(known if before == address else {}, now))
            self._here_before.discard(port)
            self._counted[port] = address, now

    def _complain(self, port: int) -> None:
        said = folders.complaint(self._folders, port)
        if not said or self._routes is None:
            return
        for rule in self._routes.rules:
            if rule.port == port:
                self._complaints[rule.name] = said

    async def _report(self, routes: pb.WatchRoutesResponse, *, with_counts: bool) -> None:
        request = pb.ReportTargetsRequest(
            cluster=self._cluster,
            targets=[
                pb.TargetReport(
                    target_group=key.target_group,
                    task_id=key.task,
                    health=pb.TargetHealth(
                        state=each.state, reason=each.reason, description=each.description, since=each.since
                    ),
                )
                for key, each in self._checker.health.items()
            ],
            problems=[
                pb.ListenerProblem(rule=rule, problem=said)
                for rule, said in sorted((self._complaints | self._unserved).items())
            ],
        )
        if with_counts:
            # That there were none is worth telling: nothing said is nothing known.
            groups = [each.target_group_name for each in routes.target_groups if each.protocol != "TCP"]
            counts = {name: self._unreported[name] for name in groups}
            request.counts.extend(pb.RequestCount(target_group=name, requests=n) for name, n in counts.items())
        try:
            await self._client.ingress.ReportTargets(request, timeout=REPORT_SECONDS)
        except ShoalError as error:
            log.warning("targets cannot be reported reason=%s", error)
            return
        if with_counts:
            self._unreported.clear()


def _unserved(routes: pb.WatchRoutesResponse, certificates: dict[str, Certificate]) -> dict[str, str]:
    return {
        rule.name: f"there is no certificate {rule.certificate}.crt with {rule.certificate}.key in the ingress's folder"
        for rule in routes.rules
        if not is_served(rule, certificates)
    }

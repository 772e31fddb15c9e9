"""The look at one service: what is wanted of it, against its tasks. Whatever it finds it proposes; a look that finds
nothing to do writes nothing."""

from dataclasses import replace

from shoal_scheduler.control import tasks
from shoal_scheduler.control.context import Context
from shoal_scheduler.control.definitions import find as find_definition
from shoal_scheduler.control.run_task import tasks_of
from shoal_scheduler.control.services import deployments, rolling
from shoal_scheduler.control.services.deployments import Progress
from shoal_scheduler.control.services.health import health_due_at
from shoal_scheduler.control.services.plan import Plan
from shoal_scheduler.control.services.view import ServiceView, view_of
from shoal_scheduler.model.service import ServicePart
from shoal_scheduler.model.task import Launch
from shoal_scheduler.state.changes import Change, PutLaunch, PutTask, SetUnsettled
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.service_tables import ServiceKey, SetServiceLooked

SERVICE_SCHEDULER = "ServiceSchedulerInitiated"


def look(view: Overlay, key: ServiceKey, context: Context) -> None:
    seen = view_of(view, key, context)
    if seen is None:
        view.propose([SetServiceLooked(key)])
        return
    progress = deployments.progress(seen)
    view.propose(_progressing(progress))
    seen = _after(seen, progress)
    plan = rolling.plan(seen)
    view.propose(_starting(view, seen, plan, context))
    view.propose(
        [PutTask(tasks.stopping(stop.task, SERVICE_SCHEDULER, stop.reason, context.now)) for stop in plan.stop]
    )
    moments = (plan.due_at, progress.due_at, health_due_at(seen))
    view.propose([SetServiceLooked(key, min((moment for moment in moments if moment is not None), default=None))])


def _progressing(progress: Progress) -> list[Change]:
    changed = (progress.service, progress.deployment, progress.revision)
    return [PutRecord(record) for record in changed if record is not None]


def _after(seen: ServiceView, progress: Progress) -> ServiceView:
    """The view with what the deployment changed."""
    service, changed = progress.service or seen.service, progress.revision
    revisions = {**seen.revisions, changed.id: changed} if changed is not None else seen.revisions
    return replace(
        seen,
        service=service,
        revisions=revisions,
        revision=revisions[service.revision],
        deployment=progress.deployment or seen.deployment,
    )


def _starting(view: Overlay, seen: ServiceView, plan: Plan, context: Context) -> list[Change]:
    """They wait for room, which the queue finds them in this very step."""
    if not plan.start:
        return []
    definition = find_definition(view, seen.revision.definition)
    launch = launch_of(seen, plan.start, context)
    waiting = tasks_of(view, launch, definition, ())
    return [PutLaunch(launch), *map(PutTask, waiting), SetUnsettled(launch.cluster, True)]


def launch_of(seen: ServiceView, count: int, context: Context) -> Launch:
    service, revision, deployment = seen.service, seen.revision, seen.deployment
    return Launch(
        id=context.ids.launch_id(),
        cluster=service.cluster,
        definition=revision.definition,
        created_at=context.now,
        count=count,
        group=service.group,
        started_by=deployment.started_by,
        launch_type=revision.launch_type,
        expressions=service.expressions,
        distinct_instance=service.distinct_instance,
        strategies=service.strategies,
        queue=True,
        on_disconnect=service.on_disconnect,
        service=ServicePart(service.name, revision.id, deployment.id, revision.images),
        tags=service.tags if service.propagate_tags == "SERVICE" else {},
        enable_execute_command=service.enable_execute_command,
    )

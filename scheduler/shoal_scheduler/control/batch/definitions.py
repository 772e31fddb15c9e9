"""Job definitions: register, deregister, find."""

import msgspec
from shoal import arn
from shoal.problems import Problem, quoted

from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control.batch.task_definition import task_definition_of
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.job_definition import FAMILY_PREFIX, JobDefinition
from shoal_scheduler.model.refusal import Refused, invalid, invalid_field
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.batch_overlay import BatchOverlay
from shoal_scheduler.state.overlay import Overlay


def register(view: Overlay, request: i.RegisterJobDefinition, context: Context) -> Outcome:
    """With the task definition of its jobs' tasks, of the same number. Numbers go up by one, and are never given
    twice."""
    definition = JobDefinition(
        name=request.name,
        revision=max(view.batch.definitions(request.name), default=0) + 1,
        registered_at=context.now,
        registered_by=request.registered_by,
        document=request.document,
        tags=request.tags,
    )
    family = FAMILY_PREFIX + definition.name
    runs_as = Definition(
        family=family,
        revision=definition.revision,
        registered_at=context.now,
        registered_by=request.registered_by,
        document={"family": family, **task_definition_of(request.document).document},
        tags=request.tags,
    )
    return Outcome(definition, [b.PutJobDefinition(definition), c.PutDefinition(runs_as)])


def deregister(view: Overlay, request: i.DeregisterJobDefinition, context: Context) -> Outcome:
    """Jobs that were submitted go on, so the task definition stays. A second time is the same answer."""
    definition = find(view.batch, request.name, revision_required=True)
    if definition.status != "ACTIVE":
        return Outcome(definition)
    gone = msgspec.structs.replace(definition, status="INACTIVE", deregistered_at=context.now)
    return Outcome(gone, [b.PutJobDefinition(gone)])


def find(view: BatchOverlay, name: str, *, revision_required: bool = False) -> JobDefinition:
    """`name`, `name:revision` or the ARN. Without a revision: the latest ACTIVE one. Raises Refused."""
    short, _, number = arn.short(name).partition(":")
    if number and not (number.isascii() and number.isdigit() and len(number) < 10):
        raise invalid_field("jobDefinition", f"{quoted(name)} is not name, name:revision or an ARN.")
    if not number and revision_required:
        raise invalid_field("jobDefinition", f"name the revision as well, as in {short}:1.")
    revisions = view.definitions(short)
    if number:
        found = revisions.get(int(number))
    else:
        found = max((d for d in revisions.values() if d.status == "ACTIVE"), key=lambda d: d.revision, default=None)
    if found is None:
        what = f"job definition {quoted(name)}" if number else f"active revision of job definition {quoted(name)}"
        listing = "List them with DescribeJobDefinitions, or register it"
        advice = f"{short} has revisions up to {max(revisions)}" if revisions else listing
        raise Refused("not_found", f"jobDefinition: there is no {what}. {advice}.")
    return found


def submittable(view: BatchOverlay, name: str) -> JobDefinition:
    """One that jobs can be made of. Raises Refused."""
    definition = find(view, name)
    if definition.status != "ACTIVE":
        raise Refused(
            "failed_precondition",
            f"jobDefinition: {definition.full_name} is {definition.status}: register a new revision to submit jobs.",
        )
    derived = task_definition_of(definition.document)
    if derived.document.get("taskRoleArn"):
        message = f"{derived.path('taskRoleArn')} of {definition.full_name}: roles are not given to tasks yet"
        raise invalid([Problem("jobDefinition", f"{message}; register it without")])
    return definition


def enables_execute_command(definition: JobDefinition) -> bool:
    """Whether commands may be executed in the containers of its jobs."""
    tasks = definition.document.get("ecsProperties", {}).get("taskProperties", ())
    properties = (definition.document.get("containerProperties", {}), *tasks)
    return any(each.get("enableExecuteCommand", False) for each in properties)

"""Task definitions: register, deregister, delete; and which revision a name means."""

import msgspec
from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.job_definition import FAMILY_PREFIX
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.task import Failure
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Tables


def register(view: Overlay, request: i.RegisterTaskDefinition, context: Context) -> Outcome:
    """Numbers go up by one and are never given twice, deleted revisions included."""
    family = request.document["family"]
    definition = Definition(
        family=family,
        revision=max(view.revisions(family), default=0) + 1,
        registered_at=context.now,
        registered_by=request.registered_by,
        document=request.document,
        tags=request.tags,
    )
    return Outcome(definition, [c.PutDefinition(definition)])


def deregister(view: Overlay, request: i.DeregisterTaskDefinition, context: Context) -> Outcome:
    """Tasks that run go on. A second time is the same answer."""
    definition = find(view, request.name, revision_required=True)
    refuse_of_jobs(definition)
    if definition.status != "ACTIVE":
        return Outcome(definition)
    gone = msgspec.structs.replace(definition, status="INACTIVE", deregistered_at=context.now)
    return Outcome(gone, [c.PutDefinition(gone)])


def delete(view: Overlay, request: i.DeleteTaskDefinitions, context: Context) -> Outcome:
    """Only INACTIVE ones. The number stays taken, so the record stays, marked, without further use."""
    deleted, failures = [], []
    for name in request.names:
        try:
            definition = find(view, name, revision_required=True)
        except Refused as refused:
            failures.append(Failure(arn=name, reason="MISSING", detail=refused.message))
            continue
        if definition.status == "ACTIVE":
            detail = f"{definition.name} is ACTIVE: deregister it first"
            failures.append(Failure(arn=name, reason="ACTIVE", detail=detail))
        else:
            deleted.append(
                msgspec.structs.replace(definition, status="DELETE_IN_PROGRESS", delete_requested_at=context.now)
            )
    reply = i.DeletedDefinitions(tuple(deleted), tuple(failures))
    return Outcome(reply, [c.PutDefinition(definition) for definition in deleted])


def refuse_of_jobs(definition: Definition) -> None:
    """Raises Refused for one that was derived from a job definition, and goes with that."""
    if definition.family.startswith(FAMILY_PREFIX):
        name = definition.name.removeprefix(FAMILY_PREFIX)
        raise Refused(
            "failed_precondition",
            f"taskDefinition: {definition.name} runs the jobs of job definition {name}: submit a job of that, or"
            " deregister that.",
        )


def find(view: Overlay | Tables, name: str, *, revision_required: bool = False) -> Definition:
    """`family`, `family:revision` or the ARN. Without a revision: the latest ACTIVE one. Raises Refused.

    The family of what a job definition runs has a colon of its own, as in batch:flip:3.
    """
    of_jobs = FAMILY_PREFIX if arn.short(name).startswith(FAMILY_PREFIX) else ""
    family, _, number = arn.short(name).removeprefix(of_jobs).partition(":")
    family = of_jobs + family
    if number and not (number.isascii() and number.isdigit() and len(number) < 10):
        raise invalid_field("taskDefinition", f"{quoted(name)} is not family, family:revision or an ARN.")
    if not number and revision_required:
        raise invalid_field("taskDefinition", f"name the revision as well, as in {family}:1.")
    revisions = view.revisions(family)
    if number:
        found = revisions.get(int(number))
    else:
        found = max((d for d in revisions.values() if d.status == "ACTIVE"), key=lambda d: d.revision, default=None)
    if found is None:
        what = f"task definition {name!r}" if number else f"active revision of family {family!r}"
        advice = "List them with ListTaskDefinitions, or register it."
        raise Refused("not_found", f"taskDefinition: there is no {what}. {advice}")
    return found

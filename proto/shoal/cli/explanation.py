"""What `explain` and `run --dry-run` print of an answer: the sentence, then tables, then what to do."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from shoal import arn
from shoal.cli import placement, show, text
from shoal.v1 import placement_pb2 as pb
from shoal.v1 import resource_pb2


def emit(output: str, answer: pb.ExplainPlacementResponse) -> None:
    if output in ("json", "yaml"):
        from shoal import awsjson

        show.print_document(output, awsjson.to_document(answer))
    elif output == "name":
        for each in answer.placements:
            click.echo(arn.short(each.container_instance_arn))
    else:
        _print(answer)


def _print(answer: pb.ExplainPlacementResponse) -> None:
    click.echo(click.style(text.printable(answer.reason), bold=True))
    if answer.HasField("queue"):
        click.echo(queue_line(answer.queue))
    _section("Where they would go", _placements(answer.placements))
    _section("Which rule refuses how many instances", _refusals(answer.refusals))
    _section("Nearest", _nearest(answer.nearest))
    advice = list(remedies(answer))
    if advice:
        click.echo(f"\n{click.style('What would help', bold=True)}")
        for number, line in enumerate(advice):
            click.echo(f"  {'   ' if not number else 'or '}{text.printable(line)}")
    for warning in answer.warnings:
        click.echo(f"{click.style('Warning:', fg='yellow', bold=True)} {warning.field}: {warning.message}", err=True)


def _section(title: str, table: show.Table) -> None:
    if table.rows:
        click.echo(f"\n{click.style(title, bold=True)}")
        show.print_table(table)


def queue_line(queue: pb.QueuePosition) -> str:
    """`It is number 2 of the 5 tasks that wait. Instance 1f2e3d4c is held for it.`"""
    place = f"It is number {queue.position:,} of the {text.plural(queue.waiting_count, 'task')} that wait."
    if queue.waiting_count == 1:
        place = "No other task waits."
    if not queue.held_container_instance_arn:
        return place
    instance = text.short_instance(arn.short(queue.held_container_instance_arn))
    return f"{place} Instance {instance} is held for {'it' if queue.held_for_this_task else 'another one'}."


def _placements(placements: Sequence[pb.PlacementChoice]) -> show.Table:
    has_gpus = any(each.gpu_ids for each in placements)
    columns = ("HOST", "INSTANCE", "TASKS", *(["GPUS"] if has_gpus else []), "WHY")
    return show.Table(columns, [_placement(each, has_gpus) for each in placements])


def _placement(choice: pb.PlacementChoice, has_gpus: bool) -> Sequence[str]:
    gpus = [", ".join(choice.gpu_ids)] if has_gpus else []
    return (name_of(choice), _short(choice.container_instance_arn), f"{choice.task_count:,}", *gpus, why(choice))


def why(choice: pb.PlacementChoice) -> str:
    """`fits on 31; binpack memory: 512 MiB of memory left after it, as on 2; drawn from these`"""
    if not choice.fitting_count:
        return ""
    parts = [f"fits on {choice.fitting_count:,}"]
    for rank in choice.strategies:
        others = f", as on {rank.equal_count:,}" if rank.equal_count > 1 else ""
        parts.append(f"{' '.join(filter(None, (rank.type, rank.field)))}: {rank.value}{others}")
    if choice.equal_count > 1:
        parts.append(f"drawn from {'these' if choice.strategies else 'them'}")
    return "; ".join(parts)


def _refusals(refusals: Sequence[pb.PlacementRefusal]) -> show.Table:
    rows = [(each.reason, f"{each.instance_count:,}", placement.words_of(each.reason)) for each in refusals]
    return show.Table(("RULE", "INSTANCES", "WHAT IT MEANS"), rows)


def _nearest(nearest: Sequence[pb.NearInstance]) -> show.Table:
    rows = [
        (name_of(each), _short(each.container_instance_arn), "; ".join(map(lack, each.shortfalls))) for each in nearest
    ]
    return show.Table(("HOST", "INSTANCE", "WHAT IT LACKS"), rows)


def lack(shortfall: pb.Shortfall) -> str:
    """`memory: 512 of 1024 MiB`, `hostPort 80/tcp: taken`, `memberOf(attribute:a == b): a=c`"""
    match shortfall.reason:
        case "INSTANCE:DRAINING":
            return "is draining"
        case "AGENT":
            return "its agent is not connected"
        case "INSTANCE:IMPAIRED":
            return "its container engine does not answer"
        case "HELD":
            return "is held for another task"
        case "MEMBEROF":
            return f"memberOf({shortfall.wanted}){f': {shortfall.has}' if shortfall.has else ''}"
        case "RESOURCE:PORTS":
            return f"{shortfall.field} {shortfall.wanted}: {shortfall.has}"
        case "ATTRIBUTE":
            return f"{shortfall.field} {shortfall.wanted}: {shortfall.has or 'absent'}"
        case "DISTINCT_INSTANCE":
            return f"{shortfall.field}: {shortfall.has}"
    unit = "" if shortfall.unit == "GPUs" else shortfall.unit
    return f"{shortfall.field}: {shortfall.has or 0} of {shortfall.wanted} {unit}".rstrip()


def remedies(answer: pb.ExplainPlacementResponse) -> Iterable[str]:
    """What to do, a line each, what costs the least first."""
    if answer.smallest_change.changes:
        changes = " and ".join(map(change, answer.smallest_change.changes))
        yield f"{changes}: then {name_of(answer.smallest_change)} takes it"
    for each in answer.kept_away:
        reasons = {shortfall.reason for shortfall in each.shortfalls}
        if "HELD" in reasons:
            continue
        instance = _short(each.container_instance_arn)
        if reasons == {"INSTANCE:DRAINING"}:
            yield f"shoal activate {instance}: {name_of(each)} would take it as it is"
        elif "AGENT" not in reasons and "INSTANCE:IMPAIRED" in reasons:
            yield f"bring back the container engine of {name_of(each)} ({instance}): it would take it as it is"
        else:
            yield f"bring back the agent of {name_of(each)} ({instance}): it would take it as it is"
    if answer.HasField("one_more_instance"):
        yield one_more(answer.one_more_instance)


def change(field: pb.FieldChange) -> str:
    """`memory 512 instead of 1024 MiB`, `no host port 80/tcp`, `without distinctInstance`"""
    if field.HasField("after"):
        return f"{field.field} {field.after} instead of {field.before} {field.unit}".rstrip()
    match field.reason:
        case "RESOURCE:PORTS":
            return f"without the host port {field.before} (any free one, or another)"
        case "MEMBEROF":
            return f"without memberOf({field.before})"
        case "DISTINCT_INSTANCE":
            return "without distinctInstance"
        case "ATTRIBUTE":
            return f"without runtimePlatform's {field.field} {field.before}"
    return f"without {'a GPU' if field.field == 'GPU' else field.field}"


def one_more(kind: pb.OneMoreInstance) -> str:
    """`one more m5.large (2048 cpu units, 8 GiB), like host-3`"""
    size = ", ".join(map(_resource, kind.resources))
    facts = [f"{each.name}={each.value}" for each in kind.attributes]
    if kind.like_container_instance_arn:
        named = f"one more {kind.instance_type or 'instance'} ({size})"
        of_which = f" with {', '.join(facts)}" if facts else ""
        return f"{named}{of_which}, like {kind.like_ec2_instance_id or _short(kind.like_container_instance_arn)}"
    demands = [*facts, *(f"memberOf({each})" for each in kind.expressions)]
    of_which = f", {', '.join(demands)}" if demands else ""
    return f"an instance of a kind that is not there yet, with at least {size}{of_which}"


def _resource(resource: resource_pb2.Resource) -> str:
    """To the last MiB: it may be the least that is needed."""
    amount = resource.integer_value
    if resource.name == "MEMORY":
        return f"{amount} MiB" if amount % 1024 else text.mebibytes(amount)
    if resource.name == "GPU":
        return text.plural(amount, "GPU")
    return f"{amount} {'cpu units' if resource.name == 'CPU' else resource.name}"


def name_of(message: Any) -> str:
    """The host's name of whatever names an instance."""
    return message.ec2_instance_id or _short(message.container_instance_arn)


def _short(instance_arn: str) -> str:
    return text.short_instance(arn.short(instance_arn))

from collections.abc import Iterable, Sequence

import click

from shoal import arn, awsjson
from shoal.cli import chosen, find, show, text
from shoal.cli.failures import FAILED, NOT_FOUND, Failed
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import container_instance_pb2
from shoal.v1.resource_pb2 import Attribute

TARGET = "container-instance"
CHANGED_AT_ONCE = 10  # what the service takes
# Instance id and name of an attribute, and its value.
Values = dict[tuple[str, str], str]


@click.group(invoke_without_command=True)
@click.option("--name", metavar="NAME", help="Only attributes of this name.")
@click.option("--value", metavar="VALUE", help="Only of this value.")
@chosen.where_option
@output_option
@connected
@click.pass_context
def attributes(ctx: click.Context, name: str | None, value: str | None, expression: str | None, output: str) -> None:
    """List the attributes of instances, which constraints and strategies speak of.

    \b
    Examples:
      shoal attributes --name rack                          which instance is in which rack
      shoal attributes put 1f2e rack=r1 ssd                 on one instance, or several: 1f2e,77ab
      shoal attributes put --where 'attribute:rack == r1' power=a
      shoal attributes rm --where 'attribute:rack == r1' power
    """
    if ctx.invoked_subcommand is not None:
        return

    async def work(session: Session) -> list[Attribute]:
        found = await _listed(session, name, value)
        if expression is None:
            return found
        matching = {arn.short(each) for each in await find.instance_arns(session, filter=expression)}
        return [each for each in found if arn.short(each.target_id) in matching]

    _emit(call(work), output, "No attributes.")


@attributes.command()
@click.argument("words", metavar="[INSTANCE[,INSTANCE...]] NAME[=VALUE]...", nargs=-1, required=True)
@chosen.where_option
@output_option
@connected
def put(words: tuple[str, ...], expression: str | None, output: str) -> None:
    """Put attributes on instances, in place of those of the same name.

    The first word names the instances, several with commas between them; with --where, there is none.
    """
    names, pairs = _split(words, expression, "NAME=VALUE")
    wanted = dict(_pair(each) for each in pairs)

    async def work(session: Session) -> tuple[Sequence[str], list[Attribute]]:
        ids = await chosen.instance_ids(session, names, expression)
        each = [_attribute(instance, name, value) for instance in ids for name, value in wanted.items()]
        done: list[Attribute] = []
        for batch in find.batches(each, CHANGED_AT_ONCE):
            request = container_instance_pb2.PutAttributesRequest(cluster=session.cluster, attributes=batch)
            done += (await session.client.cluster.PutAttributes(request)).attributes
        return ids, done

    ids, done = call(work)
    _tell(output, f"{text.sentence_list(pairs)} on {chosen.some(ids)}", done)


@attributes.command()
@click.argument("words", metavar="[INSTANCE[,INSTANCE...]] NAME...", nargs=-1, required=True)
@chosen.where_option
@output_option
@connected
def rm(words: tuple[str, ...], expression: str | None, output: str) -> int:
    """Remove attributes that were put on instances.

    The first word names the instances, several with commas between them; with --where, there is none. What an
    agent's own configuration says of its instance can only be changed there.
    """
    names, removed = _split(words, expression, "NAME")
    for each in removed:
        if "=" in each:
            raise click.UsageError(f"{each!r}: give the name alone, {each.partition('=')[0]!r}.")

    async def work(session: Session) -> tuple[Values, Values]:
        ids = await chosen.instance_ids(session, names, expression)
        before = await _values(session, ids, removed)
        if not before:
            raise Failed(f"No {text.sentence_list(removed)} on {chosen.some(ids)}.", "shoal attributes", NOT_FOUND)
        each = [_attribute(instance, name, "") for instance, name in before]
        for batch in find.batches(each, CHANGED_AT_ONCE):
            request = container_instance_pb2.DeleteAttributesRequest(cluster=session.cluster, attributes=batch)
            await session.client.cluster.DeleteAttributes(request)
        return before, await _values(session, ids, removed)

    before, after = call(work)
    gone = [key for key in before if before[key] != after.get(key)]
    if gone:
        what = f"{text.sentence_list(dict.fromkeys(name for _, name in gone))} removed from"
        _tell(output, f"{what} {chosen.some(_instances(gone))}", [_attribute(*key, before[key]) for key in gone])
    return _tell_agents_own(before, after)


# The word for it in the first release.
attributes.add_command(click.Command("delete", callback=rm.callback, params=rm.params, help=rm.help, hidden=True))


def _tell_agents_own(before: Values, after: Values) -> int:
    """Of attributes that are still there: the agent says them itself."""
    kept = [key for key in before if before[key] == after.get(key)]
    for key in (key for key in after if key not in kept):
        click.echo(f"{text.short_instance(key[0])}: {key[1]} is {after[key]!r} again, as its agent says", err=True)
    if kept:
        names = text.sentence_list(dict.fromkeys(name for _, name in kept))
        said = f"{names} on {chosen.some(_instances(kept))}: said by the agent itself, so not removed."
        raise Failed(said, "change the agent's configuration (agent.toml) there and start it again", FAILED)
    return 0


def _instances(keys: Iterable[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(instance for instance, _ in keys))


def _split(words: Sequence[str], expression: str | None, what: str) -> tuple[Sequence[str], Sequence[str]]:
    """The named instances and the rest."""
    if expression is not None:
        return (), words
    names, rest = words[0], words[1:]
    if "=" in names:
        raise click.UsageError(f"Name an instance before {names!r}, or choose instances by --where.")
    if not rest:
        raise click.UsageError(f"Missing argument '{what}...'.")
    return [name for name in names.split(",") if name], rest


def _pair(words: str) -> tuple[str, str]:
    name, _, value = words.partition("=")
    return name, value


def _attribute(instance: str, name: str, value: str) -> Attribute:
    return Attribute(name=name, value=value or None, target_type=TARGET, target_id=instance)


async def _listed(session: Session, name: str | None, value: str | None) -> list[Attribute]:
    request = container_instance_pb2.ListAttributesRequest(
        cluster=session.cluster, target_type=TARGET, attribute_name=name, attribute_value=value
    )
    return [
        each async for page in find.pages(session.client.cluster.ListAttributes, request) for each in page.attributes
    ]


async def _values(session: Session, ids: Sequence[str], names: Iterable[str]) -> Values:
    """Of those of these names on these instances that there are."""
    wanted = set(ids)
    return {
        (arn.short(each.target_id), each.name): each.value
        for name in dict.fromkeys(names)
        for each in await _listed(session, name, None)
        if arn.short(each.target_id) in wanted
    }


def _tell(output: str, sentence: str, changed: Sequence[Attribute]) -> None:
    """For people one sentence, however many; for scripts each."""
    if output in ("table", "wide"):
        click.echo(sentence)
    else:
        _emit(changed, output, "")


def _emit(found: Sequence[Attribute], output: str, empty: str) -> None:
    rows = [(text.short_instance(arn.short(each.target_id)), each.name, each.value) for each in found]
    show.emit(
        output,
        lambda: show.Table(("INSTANCE", "ATTRIBUTE", "VALUE"), rows, empty),
        lambda: {"attributes": [awsjson.to_document(each) for each in found]},
        [each.name for each in found],
    )

import click

from shoal import context as store
from shoal.cli import show
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.options import GroupOfNamed, connected, output_option, target


def _named(name: str) -> click.Command:
    """`shoal context NAME`, which nobody meant to be ignored: says how to use that context, if there is one."""

    def refuse() -> None:
        _demand(store.load(), name)
        raise click.UsageError(f"No such command {name!r}. To use that context: shoal context use {name}")

    return click.Command(name, callback=refuse)


@click.group(cls=GroupOfNamed, named=_named, invoke_without_command=True)
@click.pass_context
def context(ctx: click.Context) -> None:
    """List and choose the clusters you speak to."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_contexts, output="table")


@context.command("list")
@output_option
def list_contexts(output: str) -> None:
    """List the contexts; the current one has a star."""
    contexts = store.load()
    ordered = [contexts.contexts[name] for name in sorted(contexts.contexts)]
    rows = [
        ("*" if each.name == contexts.current else "", each.name, each.cluster, ", ".join(each.endpoints))
        for each in ordered
    ]
    show.emit(
        output,
        lambda: show.Table(("", "CONTEXT", "CLUSTER", "ENDPOINTS"), rows, f"No contexts in {contexts.path}."),
        lambda: {"current": contexts.current, "contexts": {each.name: each.document() for each in ordered}},
        [each.name for each in ordered],
    )


@context.command()
@click.argument("name")
def use(name: str) -> None:
    """Make a context the current one."""
    contexts = store.load()
    _demand(contexts, name)
    store.save(contexts.using(name))
    click.echo(name)


@context.command("show")
@output_option
@connected
def show_context(output: str) -> None:
    """Show the context that commands use here and now."""
    chosen = store.load().choose(target().context)
    if output in ("json", "yaml"):
        show.print_document(output, chosen.document())
    elif output == "name":
        click.echo(chosen.name)
    else:
        fields = [
            ("Cluster", chosen.cluster),
            ("Endpoints", ", ".join(chosen.endpoints)),
            ("Registry", chosen.registry or "none"),
            ("Authority", str(chosen.authority)),
            ("Certificate", str(chosen.certificate)),
            ("Key", str(chosen.key)),
            ("File", str(store.config_path())),
        ]
        show.print_fields(f"Context {chosen.name}", fields)


def _demand(contexts: store.Contexts, name: str) -> None:
    if name not in contexts.contexts:
        raise Failed(f"There is no context {name!r} in {contexts.path}.", "shoal context list", NOT_FOUND)

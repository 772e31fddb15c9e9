"""`shoal repository lifecycle`: which images expire or are archived by themselves."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from shoal.cli import show, text
from shoal.cli.failures import warn
from shoal.cli.options import connected, output_option
from shoal.cli.registry_reach import registry_option
from shoal.cli.repository_calls import all_of, ask, read_text

COLUMNS = ("IMAGE", "TAGS", "PUSHED", "HAPPENS", "BY RULE")
SHOWN_DIGITS = 19  # sha256: and twelve


@click.group()
def lifecycle() -> None:
    """Read, set, delete and preview a repository's lifecycle policy."""


@lifecycle.command("get")
@click.argument("name")
@registry_option
@connected
def read(name: str, registry: str | None) -> None:
    """Print a repository's lifecycle policy."""
    answer = ask(registry, "GetLifecyclePolicy", {"repositoryName": name})
    click.echo(json.dumps(json.loads(answer["lifecyclePolicyText"]), indent=2))


@lifecycle.command("set")
@click.argument("name")
@click.argument("file", metavar="FILE|-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@registry_option
@connected
def write(name: str, file: str, registry: str | None) -> None:
    """Set a repository's lifecycle policy, in ECR's JSON. It is applied by the hour; preview it first."""
    ask(registry, "PutLifecyclePolicy", {"repositoryName": name, "lifecyclePolicyText": read_text(file)})
    click.echo(name)


@lifecycle.command("rm")
@click.argument("name")
@registry_option
@connected
def remove(name: str, registry: str | None) -> None:
    """Delete a repository's lifecycle policy."""
    ask(registry, "DeleteLifecyclePolicy", {"repositoryName": name})
    click.echo(name)


@lifecycle.command()
@click.argument("name")
@click.argument(
    "file", metavar="[FILE|-]", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@output_option
@registry_option
@connected
def preview(name: str, file: str | None, output: str, registry: str | None) -> None:
    """Show what a policy would do now: that of a file, or the repository's own. Changes nothing."""
    request = {"repositoryName": name}
    policy = {} if file is None else {"lifecyclePolicyText": read_text(file)}
    ask(registry, "StartLifecyclePolicyPreview", {**request, **policy})
    found = all_of(registry, "GetLifecyclePolicyPreview", request, "previewResults")
    whole = ask(registry, "GetLifecyclePolicyPreview", {**request, "maxResults": 1})
    whole.pop("nextToken", None)
    now_millis = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each, now_millis) for each in found], "Nothing would happen."),
        lambda: {**whole, "previewResults": found},
        [each["imageDigest"] for each in found],
    )
    if output in ("table", "wide"):
        for kept in whole["keptImages"]:
            warn(f"{_named(kept)} stays, although rule {kept['appliedRulePriority']} hits it: {kept['reason']}")


def _row(found: Mapping[str, Any], now_millis: int) -> Sequence[str]:
    age = text.age(int(found["imagePushedAt"] * 1000), now_millis)
    happens = {"EXPIRE": "expires", "TRANSITION": "is archived"}[found["action"]["type"]]
    tags = text.sentence_list(found["imageTags"]) or "-"
    return (found["imageDigest"][:SHOWN_DIGITS], tags, f"{age} ago", happens, str(found["appliedRulePriority"]))


def _named(found: Mapping[str, Any]) -> str:
    return text.sentence_list(found["imageTags"]) or str(found["imageDigest"][:SHOWN_DIGITS])

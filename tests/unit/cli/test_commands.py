"""The commands that are not about one task: help, usage, contexts, instances, clusters, tags, doctor."""

import importlib
import json

import click
import pytest
from shoal import __version__, errors
from shoal.cli.app import SECTIONS, root
from shoal.cli.options import Target
from shoal.cli.session import Session, call

from tests.fakes.cluster_service import INSTANCE_ID, ClusterService
from tests.unit.cli.conftest import Shoal

COMMANDS = [name for commands in SECTIONS.values() for name in commands]


def test_help_lists_every_command_and_the_exit_codes(shoal: Shoal) -> None:
    result = shoal("--help")
    assert result.code == 0
    assert all(f"  {name} " in result.out for name in COMMANDS)
    assert "Exit codes:" in result.out
    assert shoal("--version").out == f"shoal {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_has_help_that_agrees_with_the_list(shoal: Shoal, name: str) -> None:
    result = shoal(name, "--help")
    assert result.code == 0
    place = next(commands[name][0] for commands in SECTIONS.values() if name in commands)
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(f"shoal.cli.{module}"), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help


def test_a_mistyped_command_suggests_the_nearest(shoal: Shoal) -> None:
    result = shoal("regsiter", "x")
    assert result.code == 2
    assert "Did you mean 'register'?" in result.err
    assert shoal("xyzzy").code == 2


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("service lst", "ls"), ("service rm", "delete"), ("target-group rm", "delete"), ("queue delete", "rm")],
)
def test_so_do_groups_also_of_words_that_others_use(shoal: Shoal, typed: str, meant: str) -> None:
    result = shoal(*typed.split())
    assert result.code == 2
    assert result.err.count(f"Did you mean {meant!r}?") == 1


def test_without_a_context_it_says_how_to_get_one(shoal: Shoal) -> None:
    result = shoal("ps")
    assert result.code == 4
    assert "shoal up" in result.err


def test_an_unreachable_cluster_is_exit_code_4(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.unavailable = 10**6
    result = shoal("doctor", "-o", "json")
    found = {each["name"]: each for each in json.loads(result.out)["checks"]}
    assert found["scheduler"]["verdict"] == "fail"
    assert result.code == 1


def test_contexts(shoal: Shoal, cluster: ClusterService) -> None:
    assert shoal("context").out.splitlines()[1].split()[:2] == ["*", "default"]
    assert shoal("context", "use", "default").out == "default\n"
    assert json.loads(shoal("context", "show", "-o", "json").out)["cluster"] == "default"
    assert shoal("context", "show", "--context", "nope").code == 4
    assert "Certificate" in shoal("context", "show").out


def test_a_context_that_is_not_there(shoal: Shoal, cluster: ClusterService) -> None:
    for words in (("nope",), ("use", "nope")):
        result = shoal("context", *words)
        assert result.code == 3
        assert "There is no context 'nope'" in result.err
        assert "Try: shoal context list\n" in result.err
    result = shoal("context", "default")
    assert result.code == 2
    assert "shoal context use default" in result.err


def test_the_context_and_the_cluster_may_be_named_before_or_after_the_verb(
    shoal: Shoal, cluster: ClusterService
) -> None:
    assert shoal("--context", "nope", "ps").code == 4
    assert shoal("ps", "--context", "nope").code == 4
    shoal("--cluster", "other", "ps")
    assert cluster.state.requests[-1].cluster == "other"
    shoal("ps", "--cluster", "third")
    assert cluster.state.requests[-1].cluster == "third"


def test_instances(shoal: Shoal, cluster: ClusterService) -> None:
    (line,) = shoal("instances").out.splitlines()[1:]
    assert line.split()[:4] == [INSTANCE_ID[:8], "-", "ACTIVE", "connected"]
    assert "1024 of 2048" in line
    assert "512 MiB of 4 GiB" in line
    assert shoal("instances", "describe", INSTANCE_ID[:4]).out.startswith(f"Instance {INSTANCE_ID[:8]}\n")
    assert json.loads(shoal("instances", "-o", "json").out)["containerInstances"][0]["agentConnected"] is True


def test_an_instance_whose_engine_is_impaired(shoal: Shoal, cluster: ClusterService) -> None:
    health = cluster.state.instances[INSTANCE_ID].health_status
    health.overall_status = "IMPAIRED"
    health.details.add(type="CONTAINER_RUNTIME", status="IMPAIRED", status_reason="it does not answer")
    (line,) = shoal("instances").out.splitlines()[1:]
    assert "engine impaired" in line
    assert "CONTAINER_RUNTIME IMPAIRED: it does not answer" in shoal("instances", "describe", INSTANCE_ID[:4]).out


def test_a_cluster_that_is_not_there_tells_how_to_make_it(shoal: Shoal, cluster: ClusterService) -> None:
    async def refused(_: Session) -> None:
        raise errors.NotFound("There is no cluster named 'x'.", reason="ClusterNotFoundException")

    for chosen, hint in (("x", "shoal clusters; shoal clusters create x"), ("y", "shoal clusters")):
        with click.Context(root, obj=Target(cluster=chosen)), pytest.raises(errors.NotFound) as raised:
            call(refused)
        assert raised.value.hint == hint


def test_definitions(shoal: Shoal, cluster: ClusterService) -> None:
    for family in ("b", "a", "b"):
        definition = {"family": family, "containerDefinitions": [{"name": "c", "image": "i", "memory": 4}]}
        assert shoal("register", "-", text=json.dumps(definition)).code == 0
    assert shoal("definitions", "-o", "name").out.split() == ["a:1", "b:2", "b:1"]
    assert shoal("deregister", "b:1").out == "b:1\n"
    assert shoal("definitions", "--family", "b", "-o", "name").out == "b:2\n"
    assert shoal("definitions", "b", "-o", "name").out == "b:2\n"
    assert shoal("definitions", "b", "--status", "inactive", "-o", "name").out == "b:1\n"
    assert shoal("definitions", "c").err == "No task definitions of family 'c'.\n"
    assert shoal("definitions", "--status", "inactive", "-o", "name").out == "b:1\n"
    assert shoal("definitions", "families").out.split() == ["a", "b"]


def test_clusters(shoal: Shoal, cluster: ClusterService) -> None:
    assert shoal("clusters", "create", "second").out == "second\n"
    assert shoal("clusters", "-o", "name").out.split() == ["default", "second"]


def test_tags(shoal: Shoal, cluster: ClusterService) -> None:
    assert shoal("tag", "default", "team=blue", "cost=1").code == 0
    assert shoal("untag", "default", "cost").code == 0
    assert json.loads(shoal("tag", "default", "-o", "json").out) == {"tags": [{"key": "team", "value": "blue"}]}
    assert shoal("tag", "default", "noequals").code == 2


def test_completion_knows_the_commands(shoal: Shoal) -> None:
    assert "_SHOAL_COMPLETE" in shoal("completion", "bash").out
    assert set(COMMANDS) == set(root.list_commands(click.Context(root)))

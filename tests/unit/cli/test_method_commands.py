"""Advice of the scheduler that names methods of the API, as a person at the command line reads it."""

import ast

import click
import pytest
from shoal import errors
from shoal.cli.app import root
from shoal.cli.failures import present
from shoal.cli.method_commands import ADVICE, COMMANDS
from shoal.v1 import alarms_pb2, autoscaling_pb2, batch_pb2, cluster_pb2, services_pb2, traffic_pb2

from tests.ground.home import ROOT

METHODS = {
    method.name
    for file in (alarms_pb2, autoscaling_pb2, batch_pb2, cluster_pb2, services_pb2, traffic_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

# There is no command for these: what a rule or a target group is to be is changed by a client of the API only.
API_ONLY = frozenset({"ModifyRule", "ModifyTargetGroup"})


def test_whatever_method_is_advised_has_its_command() -> None:
    advised: set[str] = set()
    for file in (ROOT / "scheduler/shoal_scheduler").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                advised.update(METHODS.intersection(ADVICE.findall(node.value)))
    assert len(advised) > 15
    assert advised - API_ONLY == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS.values())
def test_each_command_is_one(command: str) -> None:
    found: click.Command | None = root
    for word in command.split():
        assert isinstance(found, click.Group), command
        found = found.get_command(click.Context(found), word)
    assert found is not None, command


def test_a_refusal_is_shown_with_commands(capsys: pytest.CaptureFixture[str]) -> None:
    refused = errors.NotFound("taskDefinition: none is active. List them with ListTaskDefinitions, or register it.")
    assert present(refused) == 3
    assert "List them with `shoal definitions`, or register it." in capsys.readouterr().err

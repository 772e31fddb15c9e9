"""The program that checks a file of expressions: what it says of a wrong one, and of a file it cannot read."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.load.expressions import Unreadable, evaluate, main, read

INSTANCES: list[dict[str, Any]] = [
    {
        "ec2InstanceId": name,
        "agentConnected": True,
        "agentVersion": "1.14.5",
        "registeredAt": "2018-02-12T08:00:00Z",
        "runningTasksCount": number,
        "taskGroups": ["service:web"],
        "attributes": {"stack": name, "empty": None},
    }
    for number, name in enumerate(("i-2", "i-1"))
]
RIGHT: dict[str, Any] = {
    "instances": INSTANCES,
    "cases": [{"expression": "attribute:empty == '' and task:group == service:web", "selects": ["i-1", "i-2"]}],
    "refused": ["foo == bar", {"expression": "attribute:a ==", "column": 15}],
}
WRONG: dict[str, Any] = {
    "instances": INSTANCES,
    "cases": [
        {"expression": "runningTasksCount > 0", "selects": ["i-2"]},
        {"expression": "runningTasksCount >", "selects": []},
        {"expression": "runningTasksCount > 5", "selects": ["i-9"]},
    ],
    "refused": ["attribute:a == b", {"expression": "foo == bar", "column": 2}],
}


def stored(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "cases.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_right(tmp_path: Path) -> None:
    outcome = evaluate(read(stored(tmp_path, RIGHT)))
    assert outcome.mismatches == []
    assert [refusal["column"] for refusal in outcome.refusals] == [1, 15]


def test_every_kind_of_mismatch(tmp_path: Path) -> None:
    outcome = evaluate(read(stored(tmp_path, WRONG)))
    got = [(mismatch["expression"], mismatch["expected"], mismatch["got"]) for mismatch in outcome.mismatches]
    assert got[0] == ("runningTasksCount > 0", ["i-2"], "test: ['i-1']")
    assert got[1] == ("runningTasksCount > 0", ["i-2"], "mask: ['i-1']")
    assert got[2][:2] == ("runningTasksCount >", [])
    assert got[3] == ("runningTasksCount > 5", ["i-9"], "test: []")
    assert got[5] == ("attribute:a == b", "refused", "accepted")
    assert got[6][:2] == ("foo == bar", "refused at column 2")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "is not JSON"),
        ([], "has no `instances`"),
        ({"instances": 3}, "instances is no list"),
        ({"instances": [{"ec2InstanceId": "i-1"}]}, r"instances\[0\]: registeredAt is missing"),
        ({**RIGHT, "cases": [{"expression": "a"}]}, r"cases\[0\]: selects is missing"),
        ({**RIGHT, "cases": ["a"]}, r"cases\[0\]: "),
        ({**RIGHT, "refused": [None]}, r"refused\[0\]: "),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        read(stored(tmp_path, data))


def test_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["expressions", *words])
        return main(), *capsys.readouterr()

    code, out, _ = run(str(stored(tmp_path, RIGHT)), "--json", str(figures))
    assert (code, out.splitlines()[-1]) == (0, "3 of 3 right: 1 select among 2 instances, 2 to refuse")
    assert json.loads(figures.read_text())["wrong"] == 0
    code, out, _ = run(str(stored(tmp_path, WRONG)))
    assert (code, out.splitlines()[-1]) == (1, "0 of 5 right: 3 select among 2 instances, 2 to refuse")
    code, out, said = run(str(tmp_path / "missing.json"))
    assert (code, out, said.count("\n")) == (2, "", 1)

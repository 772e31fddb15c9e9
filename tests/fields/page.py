"""Makes docs/task-definition.md from the table of fields.

python -m tests.fields.page
"""

from pathlib import Path

from tests.fields.row import NOTED, REFUSED, RUNS, Row
from tests.fields.table import GROUPS, published_paths

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "task-definition.md"
WORDS = {RUNS: "runs", NOTED: "**noted**", REFUSED: "**refused**"}
HEAD = """# Fields of a task definition

<!-- Made by `python -m tests.fields.page` from tests/fields; a test says when it is out of date. -->

Every field of RegisterTaskDefinition in the published model of the ECS API ({number} of them), what it does here, and
the test that shows it. None is left out: a test compares the table with the model.

- **runs**: it does what it does in ECS.
- **noted**: it is accepted, and registering says in a warning what happens instead.
- **refused**: it registers, so that a file written for ECS stays as it is; RunTask refuses it by name and says what to
  do, since a task that runs without what it asked for would be worse.

What reaches for the host (its folders, devices, namespaces, privileges) runs only where the configuration of the
instance's agent allows it. `…` stands for everything inside a field.
"""


def page() -> str:
    return HEAD.format(number=len(published_paths())) + "".join(_section(name, rows) for name, rows in GROUPS.items())


def _section(name: str, rows: tuple[Row, ...]) -> str:
    lines = [f"\n## {name}\n", "\n", "| field | here | | shown by |\n", "|---|---|---|---|\n", *map(_line, rows)]
    return "".join(lines)


def _line(row: Row) -> str:
    shown = row.path.removeprefix("containerDefinitions[].") + (" …" if row.whole else "")
    module, _, test = row.test.partition("::")
    says = row.says.replace("|", "\\|")
    return f"| `{shown}` | {WORDS[row.verdict]} | {says} | [{test}](../tests/{module}) |\n"


if __name__ == "__main__":
    PAGE.write_text(page())

"""The version of the scheduler that comes next, as far as an older one notices: it says more, in every record."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = "0.99.0"

# File, what is there, and what the next version has instead.
CHANGES = (
    ("proto/shoal/__init__.py", '__version__ = "', f'__version__ = "{VERSION}"  # "'),
    ("scheduler/shoal_scheduler/model/task.py", "    definition: str\n", '    definition: str\n    colour: str = ""\n'),
    ("scheduler/shoal_scheduler/control/run_task.py", "return Launch(", 'return Launch(colour="green", '),
    (
        "scheduler/shoal_scheduler/model/instance.py",
        '    hostname: str = ""\n',
        '    hostname: str = ""\n    colour: str = ""\n',
    ),
    ("scheduler/shoal_scheduler/control/instances.py", "said = {", 'said = {"colour": "green", '),
    (
        "scheduler/shoal_scheduler/model/task.py",
        "    @property\n    def key(self)",
        '    colour: str = "green"\n\n    @property\n    def key(self)',
    ),
    ("scheduler/shoal_scheduler/state/codec.py", "\n\n\n_FIELDS", '\n    colour: str = "green"\n\n\n_FIELDS'),
)


def make(folder: Path) -> dict[str, str]:
    """Copies the scheduler with these changes; the environment in which it is the one that starts."""
    for part in ("proto/shoal", "scheduler/shoal_scheduler"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, after in CHANGES:
        path = folder / name
        text = path.read_text()
        assert before in text, f"{name} has no {before!r} any more"
        path.write_text(text.replace(before, after, 1))
    return {"PYTHONPATH": f"{folder / 'proto'}:{folder / 'scheduler'}"}

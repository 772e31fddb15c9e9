"""House rules that a program can check: sizes, names, what decisions may not touch, what may not be written down."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
EMPTY_NAMES = re.compile(r"(^|_)(util|utils|common|base|manager|helper|helpers|misc)$")
EMPTY_CLASSES = re.compile(r"(Manager|Handler|Helper|Info|Data|Base|Abstract)$|^(Base|Abstract)[A-Z]")

# Where decisions are made: values in, values out. Time, chance and failure are arguments there.
PURE = (
    "proto/shoal/bridge/archive.py",
    "proto/shoal/bridge/layout.py",
    "proto/shoal/bridge/manifest.py",
    "proto/shoal/bridge/names.py",
    "scheduler/shoal_scheduler/model",
    "scheduler/shoal_scheduler/placement",
    "scheduler/shoal_scheduler/control",
    "scheduler/shoal_scheduler/state/tables.py",
    "scheduler/shoal_scheduler/state/changes.py",
    "scheduler/shoal_scheduler/state/keys.py",
    "scheduler/shoal_scheduler/state/codec.py",
    "scheduler/shoal_scheduler/state/overlay.py",
    "scheduler/shoal_scheduler/metrics/frames.py",
    "scheduler/shoal_scheduler/metrics/names.py",
    "scheduler/shoal_scheduler/metrics/statistics.py",
    "scheduler/shoal_scheduler/metrics/store.py",
    "scheduler/shoal_scheduler/metrics/usage.py",
    "scheduler/shoal_scheduler/api/metric_data.py",
    "agent/shoal_agent/images/cleanup.py",
    "agent/shoal_agent/life/machine.py",
    "agent/shoal_agent/metadata/documents.py",
    "agent/shoal_agent/metrics/exposition.py",
    "agent/shoal_agent/metrics/files.py",
    "agent/shoal_agent/metrics/message.py",
    "agent/shoal_agent/metrics/usage.py",
    "agent/shoal_agent/networks/eligible.py",
    "agent/shoal_agent/networks/policy.py",
    "agent/shoal_agent/networks/snapshot.py",
    "agent/shoal_agent/engine/pause_image.py",
    "agent/shoal_agent/images/credentials.py",
    "agent/shoal_agent/definition/sandbox.py",
    "agent/shoal_agent/definition/specification.py",
    "registry/shoal_registry/ecr/errors.py",
    "registry/shoal_registry/ecr/lifecycle.py",
    "registry/shoal_registry/ecr/lifecycle_rules.py",
    "registry/shoal_registry/errors.py",
    "registry/shoal_registry/grace.py",
    "registry/shoal_registry/image.py",
    "registry/shoal_registry/manifest.py",
    "registry/shoal_registry/names.py",
    "registry/shoal_registry/pages.py",
    "registry/shoal_registry/ranges.py",
    "registry/shoal_registry/rights/accounts.py",
    "registry/shoal_registry/rights/attempts.py",
    "registry/shoal_registry/rights/callers.py",
    "registry/shoal_registry/rights/patterns.py",
    "registry/shoal_registry/rights/policy.py",
    "registry/shoal_registry/rights/scopes.py",
    "registry/shoal_registry/rights/tokens.py",
    "registry/shoal_registry/settings.py",
    "registry/shoal_registry/storage/paths.py",
)
IMPURE_MODULES = frozenset({"asyncio", "logging", "os", "secrets", "socket", "subprocess", "threading", "time", "uuid"})
# Of these a decision may use types and constructors, but not what asks the machine.
IMPURE_CALLS = re.compile(r"^(datetime\.(datetime\.)?(now|utcnow|today)|date\.today|random\.(?!Random$)\w+|open)$")
# A seed gives the same chances every time; without one it is the machine's.
SEEDED = "random.Random"

# A number in a configuration says in what: a duration, a size or a rate without its unit is read wrongly one day.
MEASURES = re.compile(
    r"(timeout|interval|period|delay|grace|ttl|age|duration|memory|size|quota|length|backoff|lifetime)$"
)


def tracked(pattern: str) -> list[Path]:
    """Every file of the project of that pattern, generated ones excluded."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.splitlines() if "_pb2" not in name)
    return [path for path in paths if path.is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


MODULES = {name_of(path): path for path in tracked("*.py")}
PROGRAMS = {name: path for name, path in MODULES.items() if not name.startswith("tests/")}
PURE_MODULES = {
    name: path for name, path in PROGRAMS.items() if any(name == pure or name.startswith(f"{pure}/") for pure in PURE)
}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_functions_are_short(name: str) -> None:
    text = MODULES[name].read_text()
    assert text.count("\n") <= MODULE_LINES_MAX, f"split {name}"
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long, f"{name}: at most {FUNCTION_LINES_MAX} lines"


@pytest.mark.parametrize("name", MODULES)
def test_names_say_something(name: str) -> None:
    parts = [*Path(name).parent.parts, Path(name).stem]
    assert not [part for part in parts if EMPTY_NAMES.search(part)], f"{name} says not what it holds"
    defined = [
        node
        for node in ast.walk(parse(MODULES[name]))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    empty = [node.name for node in defined if isinstance(node, ast.ClassDef) and EMPTY_CLASSES.search(node.name)]
    # A test may stand in for a library's or the standard's own method.
    getters = [] if name.startswith("tests/") else [node.name for node in defined if is_getter(node)]
    assert not empty + getters


def is_getter(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """click demands these two of its groups."""
    return node.name.startswith("get_") and node.name not in ("get_command", "get_help")


@pytest.mark.parametrize("name", PURE_MODULES)
def test_decisions_touch_no_clock_no_chance_no_machine(name: str) -> None:
    tree = parse(PURE_MODULES[name])
    imported = set(imported_modules(tree)) & IMPURE_MODULES
    called = {call for call in calls(tree) if IMPURE_CALLS.match(call)}
    unseeded = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) == SEEDED and not node.args
    ]
    assert not imported, f"{name}: hand its result in"
    assert not called, f"{name}: hand its result in"
    assert not unseeded, f"{name}: a random.Random without a seed"


def test_there_are_pure_modules() -> None:
    """A package that was renamed must not slip out of the rule above."""
    missing = [pure for pure in PURE if not any(name.startswith(pure) for name in PURE_MODULES)]
    assert not missing


# A scheduler that does not lead does nothing of a leader's: what goes on by itself is started by the leadership, which
# ends it. A call's own tasks end with the call, a commit's with the commit, and the writing of a file with the process.
MAY_START_TASKS = re.compile(
    r"scheduler/shoal_scheduler/(__main__|alarms|api/\w+|leader|metrics/file|scheduler|standby|state/etcd)\.py$"
)
STARTS_A_TASK = re.compile(r"(create_task|ensure_future|TaskGroup|run_in_executor|to_thread|Thread)$")


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name.startswith("scheduler/")])
def test_loops_of_the_leader_are_started_in_one_place(name: str) -> None:
    started = [call for call in calls(parse(PROGRAMS[name])) if STARTS_A_TASK.search(call)]
    assert not started or MAY_START_TASKS.search(name), f"{name}: start it by Leadership.spawn"


def imported_modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def calls(tree: ast.Module) -> Iterator[str]:
    return (dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("name", [name for name in PROGRAMS if re.search(r"(configuration|settings)\.py$", name)])
def test_numbers_in_configurations_carry_their_unit(name: str) -> None:
    fields = [
        node.target.id
        for outer in ast.walk(parse(PROGRAMS[name]))
        if isinstance(outer, ast.ClassDef)
        for node in outer.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert not [each for each in fields if MEASURES.search(each)], f"{name}: say in what, as in timeout_seconds"


def test_nothing_names_this_machine_or_a_package_index() -> None:
    # Taken apart, so that this file does not find itself.
    forbidden = re.compile(
        "|".join(("/" + r"home/\w", "/" + r"root/\w", "/Us" + r"ers/\w", r"py" + r"pi\.org", "python" + "hosted"))
    )
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path in tracked("*")
        if path.suffix not in (".binpb", ".png") and path.name != "LICENSE"
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found


def test_the_lock_of_the_tests_holds_all_that_the_other_one_does() -> None:
    def pinned(name: str) -> set[str]:
        return {line for line in (ROOT / name).read_text().splitlines() if "==" in line}

    assert pinned("requirements.lock") < pinned("requirements-dev.lock")

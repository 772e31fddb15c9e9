"""A graph of jobs as a tree of lines and as SVG. Pure: described jobs in, text out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from xml.sax.saxutils import escape

from shoal.cli import job_words
from shoal.cli.job_find import short
from shoal.cli.text import printable
from shoal.v1 import job_pb2

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 52, 70, 22, 20
NAME_CHARACTERS_MAX = 22
FILLS = {
    "SUCCEEDED": "#d5f0d8",
    "FAILED": "#f8d3d0",
    "RUNNING": "#d3e5fa",
    "STARTING": "#d3e5fa",
    "RUNNABLE": "#fdf0c8",
}
OTHER_FILL = "#eeeeee"


@dataclass(frozen=True, slots=True)
class Node:
    """size: 0 for a job that is no array. children: how many are at what, in words."""

    id: str
    name: str
    status: str
    size: int = 0
    children: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """`after` waits for `before`. type: "" or N_TO_N."""

    before: str
    after: str
    type: str = ""


def nodes_of(jobs: Iterable[job_pb2.JobDetail]) -> list[Node]:
    """The oldest first."""
    return [
        Node(
            job.job_id,
            printable(job.job_name),
            job.status,
            job.array_properties.size,
            job_words.counts(job.array_properties.status_summary),
        )
        for job in sorted(jobs, key=lambda job: (job.created_at, job.job_name, job.job_id))
    ]


def edges_of(jobs: Iterable[job_pb2.JobDetail]) -> list[Edge]:
    """Between these jobs; of a child that is waited for, to its array."""
    listed = list(jobs)
    known = {job.job_id for job in listed}
    found = {
        Edge(each.job_id.partition(":")[0], job.job_id, each.type)
        for job in listed
        for each in job.depends_on
        if each.job_id
    }
    return sorted(
        (edge for edge in found if edge.before in known), key=lambda edge: (edge.after, edge.before, edge.type)
    )


def tree(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[str]:
    """Each job below what it waits for: below each of these if there are several, but what waits for it only once."""
    by_id = {node.id: node for node in nodes}
    after: dict[str, list[Edge]] = {node.id: [] for node in nodes}
    for edge in edges:
        after[edge.before].append(edge)
    order = {node.id: at for at, node in enumerate(nodes)}
    waiting = {edge.after for edge in edges}
    lines: list[str] = []
    shown: set[str] = set()

    # A stack and not recursion: a chain may be as long as there are jobs.
    stack = [(node.id, "", "", "") for node in reversed(nodes) if node.id not in waiting]
    while stack:
        job, mark, below, kind = stack.pop()
        again = job in shown and bool(after[job])
        lines.append(f"{mark}{_line(by_id[job])}{'  child by child' if kind else ''}{'  (see above)' if again else ''}")
        if job in shown:
            continue
        shown.add(job)
        following = sorted(after[job], key=lambda edge: order[edge.after], reverse=True)
        for at, edge in enumerate(following):
            last = at == 0
            stack.append(
                (edge.after, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), edge.type)
            )
    return lines


def _line(node: Node) -> str:
    """`flip [200]  0123456789ab  SUCCEEDED`"""
    array = f" [{node.size:,}]" if node.size else ""
    children = f" ({node.children})" if node.size and node.children else ""
    return f"{node.name}{array}  {short(node.id)}  {node.status}{children}"


def levels(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, int]:
    """Of each job, how many others come one after the other before it, at most."""
    before: dict[str, list[str]] = {node.id: [] for node in nodes}
    for edge in edges:
        before[edge.after].append(edge.before)
    found: dict[str, int] = {}
    for job in TopologicalSorter(before).static_order():
        found[job] = max((found[each] + 1 for each in before[job]), default=0)
    return found


def svg(nodes: Sequence[Node], edges: Sequence[Edge]) -> str:
    """From left to right: each job right of all it waits for. Names are escaped."""
    places = _places(nodes, edges)
    width = max((x for x, _ in places.values()), default=0) + WIDTH + MARGIN
    height = max((y for _, y in places.values()), default=0) + HEIGHT + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="12">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *(_arrow(places[edge.before], places[edge.after], edge.type) for edge in edges),
        *(line for node in nodes for line in _box(node, places[node.id])),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _places(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, tuple[int, int]]:
    """Of each box the upper left corner; within a column in the order of the jobs."""
    level = levels(nodes, edges)
    rows: dict[int, int] = {}
    places = {}
    for node in nodes:
        column = level[node.id]
        row = rows.get(column, 0)
        rows[column] = row + 1
        places[node.id] = MARGIN + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y)
    return places


def _box(node: Node, place: tuple[int, int]) -> Iterator[str]:
    x, y = place
    array = f" [{node.size:,}]" if node.size else ""
    said = f"{node.name}{array} {node.id} {node.status} {node.children}".strip()
    yield f"<g><title>{escape(said)}</title>"
    fill = FILLS.get(node.status, OTHER_FILL)
    yield f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="#555"/>'
    yield f'<text x="{x + 10}" y="{y + 21}" font-weight="bold">{escape(_cut(node.name) + array)}</text>'
    yield f'<text x="{x + 10}" y="{y + 40}" fill="#444">{escape(f"{node.status}  {short(node.id)}")}</text></g>'


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS_MAX else f"{name[: NAME_CHARACTERS_MAX - 1]}…"


def _arrow(start: tuple[int, int], end: tuple[int, int], kind: str) -> str:
    """Dashed where children wait for children."""
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0], end[1] + HEIGHT // 2
    middle = (x1 + x2) // 2
    dashes = ' stroke-dasharray="5 3"' if kind else ""
    path = f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
    return f'<path d="{path}" fill="none" stroke="#555"{dashes} marker-end="url(#arrow)"/>'

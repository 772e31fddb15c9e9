"""The graph of jobs, as lines and as SVG."""

from itertools import pairwise
from xml.etree import ElementTree

from shoal.cli import job_drawing
from shoal.cli.job_drawing import Edge, Node, edges_of, levels, nodes_of, svg, tree
from shoal.v1 import job_pb2

FLIP, SUMS, MONTAGE, LONE = (f"0b0d5d3c-0000-7000-8000-{number}00000000000" for number in (1, 2, 3, 4))

NODES = [
    Node(FLIP, "flip", "SUCCEEDED", 200, "200 SUCCEEDED"),
    Node(SUMS, "sums", "PENDING", 200, "200 PENDING"),
    Node(MONTAGE, "montage", "PENDING"),
    Node(LONE, "lone", "RUNNING"),
]
EDGES = [Edge(FLIP, MONTAGE), Edge(FLIP, SUMS, "N_TO_N"), Edge(SUMS, MONTAGE)]
BOX = "{http://www.w3.org/2000/svg}g"


def test_a_tree() -> None:
    assert tree(NODES, EDGES) == [
        "flip [200]  100000000000  SUCCEEDED (200 SUCCEEDED)",
        "├─ sums [200]  200000000000  PENDING (200 PENDING)  child by child",
        "│  └─ montage  300000000000  PENDING",
        "└─ montage  300000000000  PENDING",
        "lone  400000000000  RUNNING",
    ]


def test_what_waits_below_two_is_drawn_once() -> None:
    nodes = [*NODES, Node(MONTAGE[:24] + "5" * 12, "send", "PENDING")]
    lines = tree(nodes, [*EDGES, Edge(MONTAGE, nodes[-1].id)])
    assert [line.endswith("(see above)") for line in lines if "montage" in line] == [False, True]
    assert sum("send" in line for line in lines) == 1


def test_the_longest_way_counts() -> None:
    assert levels(NODES, EDGES) == {FLIP: 0, LONE: 0, SUMS: 1, MONTAGE: 2}


def test_the_drawing_is_xml_whatever_the_names_are() -> None:
    nodes = [Node(FLIP, "<script>&\"'", "FAILED"), Node(SUMS, "x" * 128, "RUNNING", 2, "2 RUNNING")]
    root = ElementTree.fromstring(svg(nodes, [Edge(FLIP, SUMS, "N_TO_N")]))
    titles = [box[0].text for box in root.iter(BOX)]
    assert titles == [f"<script>&\"' {FLIP} FAILED", f"{'x' * 128} [2] {SUMS} RUNNING 2 RUNNING"]
    assert len([each for each in root if "marker-end" in each.attrib]) == 1


def test_no_two_boxes_lie_on_one_another() -> None:
    root = ElementTree.fromstring(svg(NODES, EDGES))
    corners = [(float(box[1].attrib["x"]), float(box[1].attrib["y"])) for box in root.iter(BOX)]
    assert len(set(corners)) == len(NODES)
    assert all(x + job_drawing.WIDTH <= float(root.attrib["width"]) for x, _ in corners)
    assert all(y + job_drawing.HEIGHT <= float(root.attrib["height"]) for _, y in corners)


def test_a_chain_of_a_thousand_is_drawn() -> None:
    nodes = [Node(f"{number:08x}", f"n{number}", "PENDING") for number in range(1000)]
    edges = [Edge(one.id, other.id) for one, other in pairwise(nodes)]
    assert len(tree(nodes, edges)) == 1000
    assert svg(nodes, edges).count("<g>") == 1000


def test_described_jobs_as_a_graph() -> None:
    child = job_pb2.JobDependency(job_id=f"{FLIP}:7")
    gone = job_pb2.JobDependency(job_id=LONE)
    sequential = job_pb2.JobDependency(type="SEQUENTIAL")
    jobs = [
        job_pb2.JobDetail(job_id=MONTAGE, job_name="m\x1b[31m", created_at=2, depends_on=[child, gone, sequential]),
        job_pb2.JobDetail(job_id=FLIP, job_name="flip", created_at=1),
    ]
    jobs[1].array_properties.size = 8
    assert [(node.name, node.size) for node in nodes_of(jobs)] == [("flip", 8), ("m?[31m", 0)]
    assert edges_of(jobs) == [Edge(FLIP, MONTAGE)]

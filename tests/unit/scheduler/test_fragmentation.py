"""Where the least capacity is lost to the asks seen so far."""

from itertools import permutations
from math import sqrt
from random import Random

import numpy as np
import pytest
from shoal_scheduler.placement import fragmentation
from shoal_scheduler.placement.fragmentation import TASK_MILLI, WEIGHT_PARTS, Growth, growth
from shoal_scheduler.state.seen import SHAPES_MAX, WEIGHED_MAX, Seen, Shape

WHOLE = Shape(8, 64, 1, 1000)
HALF = Shape(4, 32, 1, 500)
BARE = Shape(8, 64)
WHOLE_ASK = 1000 * WEIGHT_PARTS


def seen(*shapes: Shape) -> Seen:
    counted = Seen()
    for shape in shapes:
        counted.add(shape)
    return counted


def grown(shape: Shape, rows: list[tuple[int, int, list[int]]], counted: Seen) -> Growth:
    cpu, memory, gpus = (np.array(each, np.int32) for each in zip(*rows, strict=True))
    return growth(shape, cpu, memory, gpus, counted)


def best(shape: Shape, rows: list[tuple[int, int, list[int]]], *asks: Shape) -> list[int]:
    cost = grown(shape, rows, seen(shape, *asks)).cost
    return np.flatnonzero(cost == cost.min()).tolist()


def test_a_part_goes_to_a_gpu_that_is_no_longer_whole() -> None:
    rows = [(64, 512, [1000, 1000]), (64, 512, [500, 1000])]
    assert best(HALF, rows, WHOLE) == [1]
    assert grown(HALF, rows, seen(HALF, WHOLE)).gpus(1) == (0,)


def test_a_light_ask_goes_where_cpu_is_short() -> None:
    """The two free GPUs of the first have CPU for one ask only: the other is of no use to the asks seen."""
    light = Shape(1, 8, 1, 1000)
    assert best(light, [(9, 512, [1000, 1000]), (64, 512, [1000, 1000])], *[WHOLE] * 5) == [0]


def test_big_asks_are_few_but_weigh_by_their_size() -> None:
    eight, rows = Shape(8, 64, 8, 1000), [(640, 5120, [1000] * 8), (640, 5120, [0] + [1000] * 7)]
    assert best(HALF, rows, eight, *[WHOLE] * 9) == [1]


def test_an_ask_without_gpus_goes_where_cpu_is_in_excess() -> None:
    none = [-1, -1]
    assert best(BARE, [(16, 512, [1000, 1000]), (32, 512, [1000, 1000])], WHOLE) == [1]
    assert best(BARE, [(16, 512, [1000, 1000]), (16, 512, none)], WHOLE) == [1]
    assert best(BARE, [(16, 512, [100, 0]), (16, 512, [1000, 1000])], WHOLE) == [0]


def test_without_gpus_cpu_and_memory_stay_in_proportion() -> None:
    much_memory = Shape(1, 64)
    rows: list[tuple[int, int, list[int]]] = [(16, 64, []), (16, 256, [])]
    assert best(much_memory, rows, *[Shape(4, 16)] * 10) == [1]
    assert best(Shape(4, 8), [(8, 64, []), (5, 64, [])], *[Shape(8, 64)] * 10) == [1]


def test_several_gpus_are_the_fullest_that_fit_and_of_equals_the_lowest() -> None:
    rows = [(64, 512, [1000, 600, 300, 700, 600])]
    assert grown(Shape(1, 1, 2, 500), rows, seen(WHOLE)).gpus(0) == (1, 4)
    assert grown(Shape(1, 1, 1, 1000), rows, seen(WHOLE)).gpus(0) == (0,)
    assert grown(Shape(1, 1), rows, seen(WHOLE)).gpus(0) == ()


def test_only_what_was_seen_counts() -> None:
    """Which GPU of two is worth keeping depends on who asks."""
    third = Shape(1, 1, 1, 300)
    rows = [(64, 512, [1000]), (64, 512, [800])]
    assert best(third, rows, *[Shape(1, 1, 1, 600)] * 50) == [0]
    assert best(third, rows, *[WHOLE] * 50) == [1]


def test_nothing_seen_and_no_rows() -> None:
    rows = [(64, 512, [1000]), (32, 512, [1000])]
    assert grown(WHOLE, rows, Seen()).cost.tolist() == [0, 0]
    empty = np.zeros(0, np.int32)
    assert len(growth(WHOLE, empty, empty, np.zeros((0, 2), np.int32), seen(WHOLE)).cost) == 0


def test_a_shape_that_needs_no_cpu_or_nothing_at_all() -> None:
    rows = [(0, 512, [1000]), (0, 64, [1000])]
    assert grown(Shape(0, 64), rows, seen(Shape(0, 64, 1, 1000), Shape(0, 0))).cost.tolist() == [0, WHOLE_ASK]


def test_seen_is_what_its_adds_and_removes_say_in_any_order() -> None:
    shapes = [WHOLE, HALF, BARE]
    rows = [(64, 512, [1000, 500]), (9, 512, [1000, 1000])]
    counted = [seen(*order, WHOLE) for order in permutations(shapes)]
    for each in counted:
        each.remove(HALF)
        each.remove(Shape(7, 7))
        assert each == counted[0] == seen(BARE, WHOLE, WHOLE) or HALF in each.weighed()[0]
    assert len({tuple(grown(HALF, rows, each).cost) for each in counted}) == 1


def test_a_copy_of_seen_goes_its_own_way() -> None:
    first = seen(WHOLE)
    second = first.copy()
    second.add(HALF)
    assert first == seen(WHOLE) != second


def test_seen_is_bounded_and_forgets_the_rarest() -> None:
    counted = Seen()
    counted.add(WHOLE, 3)
    for number in range(5 * SHAPES_MAX):
        counted.add(Shape(number, 1))
    shapes, counts = counted.weighed()
    assert len(counted.shapes()) <= 2 * SHAPES_MAX
    assert WHOLE in shapes
    assert len(shapes) == len(counts) == WEIGHED_MAX


def plain_usable(shape: Shape, cpu: int, memory: int, gpus: list[int]) -> int:
    """The rule in plain words, for one shape on one instance."""
    if cpu < shape.cpu or memory < shape.memory_mib:
        return 0
    limits = [free // need for free, need in ((cpu, shape.cpu), (memory, shape.memory_mib)) if need]
    if not shape.gpus:
        return min(limits)
    milli = shape.gpus * shape.gpu_milli
    fitting = [free for free in gpus if free >= shape.gpu_milli]
    if len(fitting) < shape.gpus:
        return 0
    fed = [free * milli // need for free, need in ((cpu, shape.cpu), (memory, shape.memory_mib)) if need]
    return min(sum(fitting), *fed)


def plain_cost(shape: Shape, row: tuple[int, int, list[int]], weights: dict[Shape, int]) -> int:
    def usable(cpu: int, memory: int, gpus: list[int]) -> int:
        return sum(weight * plain_usable(each, cpu, memory, gpus) for each, weight in weights.items())

    cpu, memory, gpus = row
    ways = []
    fitting = sorted((free, index) for index, free in enumerate(gpus) if free >= max(shape.gpu_milli, 1))
    choices = [[index] for _, index in fitting] if shape.gpus == 1 else [[i for _, i in fitting[: shape.gpus]]]
    for taken in choices:
        after = [free - shape.gpu_milli * (index in taken) for index, free in enumerate(gpus)]
        ways.append(usable(*row) - usable(cpu - shape.cpu, memory - shape.memory_mib, after))
    return min(ways)


@pytest.mark.parametrize("seed", range(30))
def test_it_agrees_with_the_plain_form_and_the_gpus_give_the_cost(seed: int) -> None:
    rng = Random(seed)
    shapes = [
        Shape(rng.randrange(1, 20), rng.randrange(1, 99), gpus, rng.choice([200, 350, 500]) if gpus == 1 else 1000)
        for gpus in (1, 1, 1, 2)
    ]
    counted = Seen({shape: rng.randrange(1, 50) for shape in shapes} | {BARE: 7})
    weights = {
        shape: round(WEIGHT_PARTS * count * (sqrt(shape.gpus * shape.gpu_milli / 1000) if shape.gpus else TASK_MILLI))
        for shape, count in counted.shapes()
    }
    rows = [
        (rng.randrange(20, 80), rng.randrange(99, 400), [1000, 1000, *rng.choices([0, 200, 500, 650, -1], k=3)])
        for _ in range(40)
    ]
    for shape in [*shapes, BARE]:
        result = grown(shape, rows, counted)
        assert result.cost.tolist() == [plain_cost(shape, row, weights) for row in rows]
        for number, row in enumerate(rows):
            taken = result.gpus(number)
            assert len(taken) == shape.gpus
            assert all(row[2][index] >= shape.gpu_milli for index in taken)


def test_a_collision_of_hashes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(64, 512, [1000, 500]), (9, 512, [1000, 1000]), (64, 512, [500, 1000])]
    expected = grown(HALF, rows, seen(HALF, WHOLE)).cost.tolist()
    monkeypatch.setattr(fragmentation, "_multipliers", lambda count: np.zeros(count, np.uint64))
    assert grown(HALF, rows, seen(HALF, WHOLE)).cost.tolist() == expected

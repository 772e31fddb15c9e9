"""Who holds which images, as instances come, go and change what they say."""

import tracemalloc
from random import Random

from shoal_scheduler.control import inputs as i
from shoal_scheduler.model.ask import Ask, Resources, Strategy
from shoal_scheduler.model.held_image import HeldImage
from shoal_scheduler.placement.choices import choices
from shoal_scheduler.placement.place import best, place
from shoal_scheduler.state.image_table import ImageTable
from shoal_scheduler.state.instance_table import InstanceTable

from tests.unit.scheduler.plane import Plane, instance
from tests.unit.scheduler.test_place import host, names, table

MIB = 2**20


def image(number: int, *tags: str, layers: tuple[int, ...] = ()) -> HeldImage:
    return HeldImage(f"sha256:{number}", tags, (), 7, layers, tuple(10 * MIB for _ in layers))


def ask(*images: str, strategies: tuple[Strategy, ...] = ()) -> Ask:
    return Ask(Resources(1, 1), "family:web", strategies=strategies, images=images)


def where(wanted: Ask, hosts: InstanceTable) -> set[str]:
    return {each.id for row in best(wanted, hosts).tolist() if (each := hosts.instances[row]) is not None}


def test_where_the_image_is_then_where_most_of_its_layers_are() -> None:
    hosts = table(host("x"), host("y"), host("z"))
    hosts.images.change(0, [image(1, "web:1", layers=(1, 2, 3))], (), full=True)
    hosts.images.change(1, [image(2, "other:1", layers=(1, 2))], (), full=True)
    hosts.images.change(2, [image(3, "third:1", layers=(1,))], (), full=True)
    assert where(ask("web:1"), hosts) == {"x"}
    hosts.set_connected("x", False)
    assert where(ask("web:1"), hosts) == {"y"}
    hosts.set_connected("y", False)
    assert where(ask("web:1"), hosts) == {"z"}


def test_of_several_images_the_least_that_is_to_be_fetched() -> None:
    hosts = table(host("x"), host("y"))
    hosts.images.change(0, [image(1, "small:1", layers=(1,))], (), full=True)
    hosts.images.change(1, [image(2, "large:1", layers=(2, 3, 4))], (), full=True)
    assert where(ask("large:1", "small:1"), hosts) == {"y"}


def test_never_before_what_the_user_prefers() -> None:
    hosts = table(host("full", memory=100), host("empty"))
    hosts.images.change(1, [image(1, "web:1")], (), full=True)
    assert where(ask("web:1", strategies=(Strategy("binpack", "memory"),)), hosts) == {"full"}
    assert where(ask("web:1", strategies=(Strategy("spread", "host"),)), hosts) == {"empty"}
    assert where(ask("web:1", strategies=(Strategy("random"),)), hosts) == {"full", "empty"}
    first = (Strategy("image"), Strategy("binpack", "memory"))
    assert where(ask("web:1", strategies=first), hosts) == {"empty"}


def test_what_one_has_in_two_images_stays_until_both_are_gone() -> None:
    hosts = table(host("x"), host("y"), host("z"))
    hosts.images.change(2, [image(9, "web:1", layers=(1,))], (), full=True)
    hosts.set_connected("z", False)
    hosts.images.change(0, [image(1, layers=(1, 2)), image(2, layers=(1,))], (), full=True)
    hosts.images.change(0, (), ["sha256:1"], full=False)
    assert where(ask("web:1"), hosts) == {"x"}
    hosts.images.change(0, (), ["sha256:2"], full=False)
    assert where(ask("web:1"), hosts) == {"x", "y"}


def test_who_comes_later_counts_as_one_without() -> None:
    hosts = table(host("x"))
    hosts.images.change(0, [image(1, "web:1")], (), full=True)
    assert where(ask("web:1"), hosts) == {"x"}
    hosts.put(host("y"), connected=True)
    assert where(ask("web:1"), hosts) == {"x"}


def test_an_explanation_names_images_only_where_they_decided() -> None:
    hosts = table(host("x"), host("y"))
    hosts.images.change(0, [image(1, "web:1")], (), full=True)
    before = hosts.copy()
    wanted = ask("web:1")
    (choice,) = choices(wanted, place(wanted, 1, hosts, Random(1)).spots, before).values()
    assert [(rank.strategy.type, rank.value, rank.equal) for rank in choice.ranked] == [
        ("image", "has its image already", 1)
    ]
    hosts.images.change(1, [image(1, "web:1")], (), full=True)
    before = hosts.copy()
    (choice,) = choices(wanted, place(wanted, 1, hosts, Random(1)).spots, before).values()
    assert choice.ranked == () and choice.equal == 2


def test_many_equal_tasks_fill_who_has_the_image_and_then_the_others() -> None:
    hosts = table(host("x", memory=300), host("y", memory=1000))
    hosts.images.change(0, [image(1, "web:1")], (), full=True)
    wanted = Ask(Resources(1, 100), "family:web", images=("web:1",))
    assert names(place(wanted, 5, hosts, Random(1)), hosts) == ("x", "x", "x", "y", "y")


async def test_what_an_agent_said_goes_with_its_session() -> None:
    plane = Plane()
    await plane.prepare(instance("x", incarnation=5))
    await plane.one(i.ImagesHeld("x", 5, (image(1, "web:1"), image(2)), full=True))
    known = plane.tables.instances["x"]
    assert len(plane.tables.images_on(known)) == 2
    await plane.one(i.ImagesHeld("x", 4, (), full=True))  # of a session that is over
    await plane.one(i.ImagesHeld("x", 5, (), ("sha256:1",)))
    assert [each.id for each in plane.tables.images_on(known)] == ["sha256:2"]
    await plane.one(i.SessionClosed("x", 5))
    assert not plane.tables.images_on(known) and not plane.tables.room("default").images


async def test_whoever_gets_the_place_of_an_instance_that_left_holds_nothing_of_it() -> None:
    plane = Plane()
    await plane.prepare(instance("x", incarnation=5))
    await plane.one(i.ImagesHeld("x", 5, (image(1, "web:1"),), full=True))
    await plane.one(i.DeregisterInstance("default", "x", force=True))
    await plane.one(instance("y"))
    room = plane.tables.room("default")
    assert room.rows == {"y": 0}
    assert not plane.tables.images_on(plane.tables.instances["y"]) and not room.images


def test_a_thousand_instances_with_fifty_images_of_five_hundred_take_a_few_megabytes() -> None:
    made, rng = ImageTable(), Random(1)
    pool = [(number, f"web:{number}", tuple(range(number % 10, number % 10 + 10))) for number in range(500)]
    tracemalloc.start()
    for row in range(1000):
        chosen = rng.sample(pool, 50)
        made.change(row, [image(number, tag, layers=layers) for number, tag, layers in chosen], (), full=True)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 10 * MIB

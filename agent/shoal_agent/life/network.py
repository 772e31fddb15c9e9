"""The network that a container is lent: from its making to the end of its task. Nothing here where none are kept
ready."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import replace

from shoal_agent.definition.sandbox import ENDED
from shoal_agent.definition.specification import Specification
from shoal_agent.engine.port import Inspected
from shoal_agent.life.case import Case
from shoal_agent.life.verdict import failure
from shoal_agent.networks.eligible import needs_own
from shoal_agent.networks.loan import Borrower, Loan
from shoal_agent.task import ABSENT, Seen

_JOINED = "container:"


def lent(case: Case, name: str, wanted: Specification) -> AbstractAsyncContextManager[Loan]:
    """While the container is made."""
    networks = case.around.networks
    if networks is None:
        return nullcontext(Loan())
    definition = (case.wanted.definition if case.wanted is not None else None) or {}
    return networks.lend(Borrower(case.task.id, name), joins=not needs_own(definition, name, wanted.body))


def joined_by(case: Case, found: Inspected) -> str | None:
    """Of a container whose task has none that keeps its network for it."""
    joins = found.network_mode.startswith(_JOINED) and not any(plan.internal for plan in case.task.containers)
    return found.network_mode.removeprefix(_JOINED) if joins else None


def note(case: Case, name: str, seen: Seen) -> None:
    """What a container shows that an agent before this one made."""
    networks, over = case.around.networks, case.task.outcome is not None
    if networks is not None and seen.network is not None and seen.status != ABSENT and not over:
        networks.found(Borrower(case.task.id, name), seen.network)


async def is_there(case: Case, name: str, seen: Seen) -> bool:
    """What the container was made to join; its own always is."""
    networks = case.around.networks
    if networks is None or seen.network is None:
        return True
    return await networks.holds(Borrower(case.task.id, name), seen.network)


async def give_up(case: Case, name: str, seen: Seen) -> None:
    """The network it was made to join has ended. One that has never run is made anew."""
    if name in case.task.launched:
        case.fail(name, failure(name, "Start", ENDED, lacking=True))
        return
    await case.around.engine.remove(case.handle(name))
    case.view = replace(case.view, network_lost=case.view.network_lost - {name})
    case.see(name, replace(seen, status=ABSENT, network=None))


@contextmanager
def certain(case: Case, name: str) -> Iterator[None]:
    """Around the call that starts it."""
    networks = case.around.networks
    with networks.certain(Borrower(case.task.id, name)) if networks is not None else nullcontext():
        yield


def release(case: Case) -> None:
    """Nothing of the task runs, or will."""
    if case.around.networks is not None:
        case.around.networks.release(case.task.id)

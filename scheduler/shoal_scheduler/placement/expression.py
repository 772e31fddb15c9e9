r"""The cluster query language, as `memberOf` constraints and instance filters write it.

    attribute:ecs.instance-type =~ (g2|g3)\..* and not (task:group == service:db)

A predicate is a subject, an operator and mostly an argument; predicates are joined by `or`, `and`, `not` (also
`||`, `&&`, `!`), in this order from the weakest to the strongest, and by parentheses. The words are in lower case,
as Amazon ECS documents them. What it leaves open is decided so:

- An attribute that an instance lacks passes `!exists` and nothing else: `attribute:stack != prod` are, as ECS
  documents, the instances with a `stack` other than prod, and the same holds of `!in` and `!~`. Who wants the others
  as well writes `not (attribute:stack == prod)`.
- An instance runs tasks of many groups: `task:group != db`, `!in` and `!~` say that none of them is one of these,
  which is `not (task:group == db)`. `task:group exists` where any task runs.
- A value without quotes ends at a space, a comma, a parenthesis, a bracket or an operator, and is no word of the
  language (`== and` is refused); in quotes of either kind it is anything but that quote.
- A regular expression without quotes ends at a space, at `&&` or `||`, or at a parenthesis that it did not open. It
  must match the whole value. It is run by RE2, in linear time; what of Java's syntax that excludes is refused.
- A date alone is its midnight, and a time without a zone is UTC. Versions are compared by their numbers, and missing
  ones are 0; an agent whose version is none passes no comparison. `agentConnected` is true or false, in any case.
- Attributes and groups have no order: `<` and its like are for versions, dates and counts.
"""

from functools import lru_cache

from shoal_scheduler.model.candidate import Candidate
from shoal_scheduler.model.instance import ID_ATTRIBUTE
from shoal_scheduler.placement.expression_grammar import NESTING_MAX, STEPS_MAX, read
from shoal_scheduler.placement.expression_tree import Columns, Expression, Facts
from shoal_scheduler.placement.expression_values import ExpressionError

__all__ = [
    "LENGTH_MAX",
    "NESTING_MAX",
    "STEPS_MAX",
    "Columns",
    "Expression",
    "ExpressionError",
    "Facts",
    "facts_of",
    "parse",
]

LENGTH_MAX = 2000


@lru_cache(maxsize=512)
def parse(text: str) -> Expression:
    """Raises ExpressionError, with the column of the first fault. The same text is read once."""
    if len(text) > LENGTH_MAX:
        raise ExpressionError(f"an expression has at most {LENGTH_MAX} characters", LENGTH_MAX + 1)
    if not text or text.isspace():
        raise ExpressionError("an expression is needed, such as attribute:stack == prod", 1)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ExpressionError("half of a character, which no text can hold", error.start + 1) from None
    return read(text)


def facts_of(candidate: Candidate) -> Facts:
    instance, used = candidate.instance, candidate.used
    return Facts(
        attributes=instance.attributes | {ID_ATTRIBUTE: instance.id},
        ec2_instance_id=instance.hostname,
        agent_connected=candidate.connected,
        agent_version=instance.agent_version,
        registered_at=instance.registered_at,
        running_tasks_count=used.running,
        task_groups=frozenset(used.groups),
    )

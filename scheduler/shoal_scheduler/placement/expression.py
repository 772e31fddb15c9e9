"""The cluster query language, as `memberOf` constraints and instance filters write it.

    attribute:ecs.instance-type =~ g2.* and not (task:group == service:db)

Grammar (semantics of Amazon ECS): `or`, `and`, `not` (also `||`, `&&`, `!`), parentheses, and predicates of a
subject, an operator and mostly an argument. Regular expressions run in linear time (RE2), so that none can
stall the scheduler.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import re2
from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import VisitError

from shoal_scheduler.model.candidate import Candidate
from shoal_scheduler.model.refusal import Refused

LENGTH_MAX = 2000
NESTING_MAX = 50

# Of memory for a compiled pattern; RE2 refuses those that would need more.
PATTERN_BYTES_MAX = 256 * 1024

# Quoted texts, which may hold anything, and what nests.
_NESTING = re.compile(r"""'[^']*'|"[^"]*"|[()]|!(?![=~])|\bnot\b""")

_GRAMMAR = r"""
    start: expression
    ?expression: conjunction (_OR conjunction)*     -> any_of
    ?conjunction: negation (_AND negation)*         -> all_of
    ?negation: _NOT negation                        -> negated
        | "(" expression ")"
        | predicate
    predicate: SUBJECT EXISTENCE                    -> existence
        | SUBJECT COMPARISON value                  -> comparison
        | SUBJECT MEMBERSHIP "[" value ("," value)* "]" -> membership
        | SUBJECT MATCHING pattern                      -> matching
    ?value: WORD | QUOTED
    ?pattern: PATTERN | QUOTED

    SUBJECT.3: /attribute:[A-Za-z0-9_\-\/\\.]+/ | "agentConnected" | "agentVersion" | "ec2InstanceId"
        | "registeredAt" | "runningTasksCount" | "task:group"
    EXISTENCE.3: /(!\s*exists|not_exists|exists)(?![\w:.\-])/
    MEMBERSHIP.3: /(!\s*in|not_in|in)(?![\w:.\-])/
    MATCHING.3: /=~|!~|(not_matches|matches)(?![\w:.\-])/
    COMPARISON.3: /==|!=|>=|<=|>|<|(not_equals|equals|greater_than_equal|greater_than|less_than_equal|less_than)(?![\w:.\-])/
    _OR.2: /\|\||or(?![\w:.\-])/
    _AND.2: /&&|and(?![\w:.\-])/
    _NOT.2: /!(?![=~])|not(?![\w:.\-])/
    QUOTED: /'[^']*'|"[^"]*"/
    WORD: /[^\s()\[\],'"]+/
    PATTERN: /[^\s()'"]+/
    %ignore /\s+/
"""  # noqa: E501  one rule a line

_SYMBOLS = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
}
_ORDERED = frozenset({"agentVersion", "registeredAt", "runningTasksCount"})


class Facts(NamedTuple):
    """What an expression may ask of an instance."""

    attributes: dict[str, str]
    ec2_instance_id: str = ""
    agent_connected: bool = True
    agent_version: str = ""
    registered_at: int = 0
    running_tasks_count: int = 0
    task_groups: frozenset[str] = frozenset()


Test = Callable[[Facts], bool]


def facts_of(candidate: Candidate) -> Facts:
    instance, used = candidate.instance, candidate.used
    return Facts(
        attributes=instance.attributes,
        ec2_instance_id=instance.hostname,
        agent_connected=candidate.connected,
        agent_version=instance.agent_version,
        registered_at=instance.registered_at,
        running_tasks_count=used.running,
        task_groups=frozenset(used.groups),
    )


class ExpressionError(Refused):
    """An expression that cannot be read; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__("invalid", f"{message} (column {column})", reason="InvalidParameterException")
        self.column = column


@lru_cache(maxsize=1024)
def parse(text: str) -> Test:
    """The expression as a test of an instance's facts. Raises ExpressionError."""
    if len(text) > LENGTH_MAX:
        raise ExpressionError(f"an expression has at most {LENGTH_MAX} characters", LENGTH_MAX + 1)
    _refuse_deep_nesting(text)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise ExpressionError(_explanation(error), _fault_column(error, text)) from None
    try:
        compiled: Test = _Compiler().transform(tree)
    except VisitError as error:
        raise error.orig_exc from None
    return compiled


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=False)


def _refuse_deep_nesting(text: str) -> None:
    """Reading an expression recurses as deep as its parentheses and negations nest."""
    depth = negations = 0
    for found in _NESTING.finditer(text):
        if found[0] in "()":
            depth += 1 if found[0] == "(" else -1
        elif found[0][0] in "n!":
            negations += 1
        if max(depth, negations) > NESTING_MAX:
            raise ExpressionError(
                f"at most {NESTING_MAX} levels of parentheses and {NESTING_MAX} negations", found.start() + 1
            )


def _fault_column(error: UnexpectedInput, text: str) -> int:
    token = getattr(error, "token", None)
    at_end = token is not None and token.type == "$END"
    return len(text) + 1 if at_end or error.column < 1 else error.column


def _explanation(error: UnexpectedInput) -> str:
    token = getattr(error, "token", None)
    if token is None or token.type == "$END":
        found = "the end" if token is not None else "an unexpected character"
    else:
        found = repr(str(token))
    return f"{found} does not fit here: expected a predicate such as attribute:stack == prod, joined by and, or, not"


def _plain(token: Token) -> str:
    text = str(token)
    return text[1:-1] if token.type == "QUOTED" else text


def _column(token: Token) -> int:
    return token.column or 1


@v_args(inline=True)
class _Compiler(Transformer[Token, Any]):
    """Turns the parse tree into closures, checking each operator against its subject on the way."""

    def start(self, test: Test) -> Test:
        return test

    def any_of(self, *tests: Test) -> Test:
        return lambda facts: any(test(facts) for test in tests)

    def all_of(self, *tests: Test) -> Test:
        return lambda facts: all(test(facts) for test in tests)

    def negated(self, test: Test) -> Test:
        return lambda facts: not test(facts)

    def existence(self, subject: Token, operator: Token) -> Test:
        name = _attribute(subject, operator)
        wanted = str(operator) == "exists"
        return lambda facts: (name in facts.attributes) is wanted

    def comparison(self, subject: Token, operator: Token, value: Token) -> Test:
        symbol = _SYMBOLS.get(str(operator), str(operator))
        if str(subject) in _ORDERED:
            return _ordered(subject, symbol, value)
        if symbol not in ("==", "!="):
            raise ExpressionError(f"{subject} can be compared with == and != only", _column(operator))
        equal = _membership(subject, [value])
        return equal if symbol == "==" else lambda facts: not equal(facts)

    def membership(self, subject: Token, operator: Token, *values: Token) -> Test:
        if str(subject) in _ORDERED:
            raise ExpressionError(f"{subject} cannot be tested with {operator}", _column(operator))
        member = _membership(subject, list(values))
        return member if str(operator) == "in" else lambda facts: not member(facts)

    def matching(self, subject: Token, operator: Token, value: Token) -> Test:
        if str(subject) in _ORDERED:
            raise ExpressionError(f"{subject} cannot be tested with {operator}", _column(operator))
        pattern = _pattern(value)
        text_of = _texts(subject)
        wanted = str(operator) in ("=~", "matches")
        return lambda facts: any(pattern.fullmatch(text) for text in text_of(facts)) is wanted


def _attribute(subject: Token, operator: Token) -> str:
    kind, _, name = str(subject).partition(":")
    if kind != "attribute":
        raise ExpressionError(f"{operator} is for attributes, not for {subject}", _column(operator))
    return name


def _texts(subject: Token) -> Callable[[Facts], tuple[str, ...]]:
    """The texts of a subject that equality and patterns look at; none if the instance lacks it."""
    kind, _, name = str(subject).partition(":")
    if kind == "attribute":
        return lambda facts: (facts.attributes[name],) if name in facts.attributes else ()
    if kind == "task":
        return lambda facts: tuple(facts.task_groups)
    if kind == "agentConnected":
        return lambda facts: ("true" if facts.agent_connected else "false",)
    return lambda facts: (facts.ec2_instance_id,)


def _membership(subject: Token, values: list[Token]) -> Test:
    wanted = frozenset(_plain(value) for value in values)
    if str(subject) == "task:group":
        return lambda facts: not wanted.isdisjoint(facts.task_groups)
    text_of = _texts(subject)
    return lambda facts: any(text in wanted for text in text_of(facts))


def _pattern(value: Token) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_BYTES_MAX
    try:
        return re2.compile(_plain(value), options=options)
    except re2.error as error:
        raise ExpressionError(f"not a regular expression: {_reason(error)}", _column(value)) from None


def _reason(error: Exception) -> str:
    """RE2 says it in bytes."""
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def _ordered(subject: Token, symbol: str, value: Token) -> Test:
    compare = _COMPARE[symbol]
    text, column = _plain(value), _column(value)
    if str(subject) == "agentVersion":
        version = _version(text)
        if version is None:
            raise ExpressionError(f"{text!r} is not a version such as 1.14.5", column)
        return lambda facts: compare(_version(facts.agent_version) or (), version)
    if str(subject) == "registeredAt":
        instant = _instant(text, column)
        return lambda facts: compare(facts.registered_at, instant)
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ExpressionError(f"{text!r} is not a number of tasks", column)
    count = int(text)
    return lambda facts: compare(facts.running_tasks_count, count)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _version(text: str) -> tuple[int, ...] | None:
    parts = text.removeprefix("v").split(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return None
    return tuple(int(part) for part in parts)


def _instant(text: str, column: int) -> int:
    """Milliseconds of an ISO 8601 date or date and time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ExpressionError(f"{text!r} is not a date such as 2018-06-18 or 2018-06-18T12:00:00Z", column) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)

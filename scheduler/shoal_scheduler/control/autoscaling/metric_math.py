"""Metric math: the part of CloudWatch's that makes one number of several, for each period by itself. Pure.

    m1 / MAX([m2, 1])                   messages for each task, of a queue and of RunningTaskCount
    IF(m2 > 0, m1 / m2, m1)

What is missing makes all that it is used in missing, and so does a division by zero. FILL is not there: a number put
in the place of data that is missing would scale in by it.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from lark import Lark, LarkError, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args

CHARACTERS_MAX = 512
ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}")

_GRAMMAR = r"""
?start: comparison
?comparison: sum | sum COMPARISON sum
?sum: product | sum PLUS product -> binary
?product: factor | product TIMES factor -> binary
?factor: atom | "-" atom -> negative
?atom: NUMBER -> number | NAME -> name | "(" comparison ")" | call
call: FUNCTION "(" argument ("," argument)* ")"
?argument: comparison | "[" comparison ("," comparison)* "]" -> several
COMPARISON: "<=" | ">=" | "==" | "!=" | "<" | ">"
PLUS: "+" | "-"
TIMES: "*" | "/"
FUNCTION: /[A-Z]+/
NAME: /[a-z][A-Za-z0-9_]*/
NUMBER: /\d+(\.\d*)?|\.\d+/
%ignore /\s+/
"""

_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_OF_ONE: Mapping[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
_OF_SEVERAL: Mapping[str, Callable[[Sequence[float]], float]] = {
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
    "AVG": lambda values: math.fsum(values) / len(values),
}
FUNCTIONS = ("IF", *_OF_SEVERAL, *_OF_ONE)

# None: missing. Arithmetic on what is missing raises _MissingError.
_Term = Callable[[Mapping[str, float | None]], float]


class MetricMathError(ValueError):
    """What is wrong with an expression, in words for people."""


class _MissingError(Exception):
    pass


class _Several(NamedTuple):
    terms: tuple[_Term, ...]


class Expression(NamedTuple):
    """`names`: the ids it uses."""

    term: _Term
    names: frozenset[str]

    def value(self, values: Mapping[str, float | None]) -> float | None:
        """Of one period; None if it is missing."""
        try:
            found = float(self.term(values))
        except (_MissingError, ZeroDivisionError, OverflowError, ValueError):
            return None
        return found if math.isfinite(found) else None


@lru_cache(maxsize=512)
def parsed(text: str) -> Expression:
    """Raises MetricMathError."""
    if len(text) > CHARACTERS_MAX:
        raise MetricMathError(f"has {len(text)} characters; at most {CHARACTERS_MAX} are allowed")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        is_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        at = "at its end" if is_end else f"at column {error.column}"
        raise MetricMathError(f"cannot be read {at}: want numbers, ids, + - * /, comparisons and functions") from None
    builder = _Builder()
    try:
        term = builder.transform(tree)
    except LarkError as error:
        cause = error.__context__
        raise cause if isinstance(cause, MetricMathError) else MetricMathError("cannot be read") from None
    return Expression(term, frozenset(builder.names))


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr")


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def number(self, token: Token) -> _Term:
        number = float(token)
        return lambda _values: number

    def name(self, token: Token) -> _Term:
        self.names.add(str(token))

        def term(values: Mapping[str, float | None]) -> float:
            value = values.get(token)
            if value is None:
                raise _MissingError
            return value

        return term

    def binary(self, left: _Term, sign: Token, right: _Term) -> _Term:
        work = _OPERATORS[sign]
        return lambda values: work(left(values), right(values))

    comparison = binary

    def negative(self, term: _Term) -> _Term:
        return lambda values: -term(values)

    def several(self, *terms: _Term) -> _Several:
        return _Several(terms)

    def call(self, name: Token, *arguments: Any) -> _Term:
        if name == "IF" and len(arguments) == 3 and all(map(callable, arguments)):
            return _choice(*arguments)
        if name in _OF_ONE and len(arguments) == 1 and callable(arguments[0]):
            return _of_one(_OF_ONE[name], arguments[0])
        if name in _OF_SEVERAL and len(arguments) == 1 and isinstance(arguments[0], _Several):
            return _of_several(_OF_SEVERAL[name], arguments[0].terms)
        raise MetricMathError(_cannot_call(name))


def _cannot_call(name: str) -> str:
    if name == "FILL":
        return "FILL is not taken: a number in the place of missing data would scale in by it"
    if name == "IF":
        return "IF takes a condition and two values: IF(m1 > 0, m2 / m1, m2)"
    if name in _OF_ONE:
        return f"{name} takes one value: {name}(m1)"
    if name in _OF_SEVERAL:
        return f"{name} takes a list: {name}([m1, m2])"
    return f"{name} is none of the functions {', '.join(FUNCTIONS)}"


def _choice(condition: _Term, then: _Term, otherwise: _Term) -> _Term:
    return lambda values: then(values) if condition(values) else otherwise(values)


def _of_one(work: Callable[[float], float], term: _Term) -> _Term:
    return lambda values: work(term(values))


def _of_several(work: Callable[[Sequence[float]], float], terms: Sequence[_Term]) -> _Term:
    return lambda values: work([term(values) for term in terms])

"""The grammar of the cluster query language, and the reading of a text into the tree of its predicates.

The lexer follows the parser: after `==` it looks for a value, after `=~` for a regular expression, so that one
text can be either. Each token is checked as it comes, so that what is reported is the first fault. Nothing here
recurses with the text.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.lark import PostLex

from shoal_scheduler.placement import expression_values as values
from shoal_scheduler.placement.expression_faults import (
    check_operator,
    check_subject,
    check_word,
    column_of,
    explanation,
)
from shoal_scheduler.placement.expression_tree import (
    TASK_GROUP,
    AllOf,
    AnyOf,
    Expression,
    GroupPredicate,
    Not,
    NumberPredicate,
    TextPredicate,
)
from shoal_scheduler.placement.expression_values import ExpressionError

NESTING_MAX = 50
# Of one evaluation: a step for each predicate, and for a regular expression as many as its program has instructions.
STEPS_MAX = 5000

# Parentheses within each other in a regular expression that is not quoted.
_GROUPS_MAX = 10

# A character of a name or of a value without quotes; and the end of a word of the language.
_BARE = r"""[^\s()\[\]'",=<>!~&|]"""
_END = f"(?!{_BARE})"


def _unquoted_pattern() -> str:
    """A regular expression up to a space, a parenthesis that it did not open, `&&` or `||`.

    What comes next is told by its first character, so that there is one way to read it and no text makes this slow.
    """
    quoted = r"\\Q(?:(?!\\E)\S)*\\E"
    escaped = r"\\[^Q\n]"
    # The first in brackets may be a bracket.
    bracketed = rf"""\[(?:\^|(?!\^))(?:{escaped}|[^\\\s'"])(?:{escaped}|[^\]\\\s'"])*\]"""
    piece = rf"""{quoted}|{escaped}|{bracketed}|[^\s()\[\\'"]"""
    inner = rf"(?:{piece})"
    for _ in range(_GROUPS_MAX):
        inner = rf"(?:{piece}|\({inner}*\))"
    return rf"(?![=!<>~,])(?:(?!&&|\|\|){inner})+"


_GRAMMAR = rf"""
    start: any_of
    any_of: all_of (_OR all_of)*
    all_of: unary (_AND unary)*
    ?unary: _NOT unary -> negated
        | "(" any_of ")"
        | SUBJECT EXISTENCE -> existence
        | SUBJECT COMPARISON value -> comparison
        | SUBJECT MEMBERSHIP "[" item ("," item)* "]" -> membership
        | SUBJECT MATCHING pattern -> matching
    ?value: WORD | QUOTED
    ?item: WORD | QUOTED
    ?pattern: PATTERN | QUOTED

    _OR: /\|\||or{_END}/
    _AND: /&&|and{_END}/
    _NOT.2: /!|not{_END}/
    SUBJECT: /{_BARE}+/
    EXISTENCE: /(!\s*exists|not_exists|exists){_END}/
    MEMBERSHIP: /(!\s*in|not_in|in){_END}/
    MATCHING: /=~|!~|(not_matches|matches){_END}/
    COMPARISON: /==|!=|>=|<=|>|<|(not_equals|equals|greater_than_equal|greater_than|less_than_equal|less_than){_END}/
    QUOTED: /'[^']*'|"[^"]*"/
    WORD: /{_BARE}+/
    PATTERN: /{_unquoted_pattern()}/
    %ignore /\s+/
"""

_SYMBOLS = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
    "not_exists": "!exists",
    "not_in": "!in",
    "matches": "=~",
    "not_matches": "!~",
}


def read(text: str) -> Expression:
    """Raises ExpressionError."""
    try:
        part: _Part = _parser().parse(text)  # type: ignore[assignment]  # what the transformer made of the tree
    except UnexpectedInput as error:
        raise ExpressionError(*explanation(error, text)) from None
    return part.expression


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", postlex=_Checked(), transformer=_Builder())


class _Checked(PostLex):
    """Looks at each token before the parser does: a fault is told where it is, not where reading got stuck."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        subject = ""
        for token in _shallow(stream):
            if token.type == "SUBJECT":
                check_subject(token)
                subject = str(token)
            elif token.type in ("EXISTENCE", "COMPARISON", "MEMBERSHIP", "MATCHING"):
                check_operator(subject, token, _symbol(token))
            elif token.type in ("WORD", "PATTERN"):
                check_word(token)
            yield token


def _shallow(stream: Iterator[Token]) -> Iterator[Token]:
    """The same tokens, as long as they do not nest too deep: the tree is evaluated by recursion."""
    depth = negations = 0
    before: list[int] = []
    for token in stream:
        if token.type == "_NOT":
            negations += 1
            depth += 1
        elif token.type == "LPAR":
            before.append(negations)
            negations = 0
            depth += 1
        elif token.type in ("_AND", "_OR", "RPAR"):
            depth -= negations
            negations = 0
            if token.type == "RPAR" and before:
                negations = before.pop()
                depth -= 1
        if depth > NESTING_MAX:
            raise ExpressionError(
                f"at most {NESTING_MAX} parentheses and negations within each other", column_of(token)
            )
        yield token


class _Part(NamedTuple):
    """A part of the expression, what an evaluation of it costs, and where it begins."""

    expression: Expression
    steps: int
    column: int


@v_args(inline=True)
class _Builder(Transformer[Token, _Part]):
    """Builds the tree from below, as the parser recognises its parts."""

    def start(self, part: _Part) -> _Part:
        return part

    def any_of(self, *parts: _Part) -> _Part:
        return parts[0] if len(parts) == 1 else _joined(AnyOf, parts)

    def all_of(self, *parts: _Part) -> _Part:
        return parts[0] if len(parts) == 1 else _joined(AllOf, parts)

    def negated(self, part: _Part) -> _Part:
        return part._replace(expression=Not(part.expression))

    def existence(self, subject: Token, operator: Token) -> _Part:
        exists = _of_texts(subject, lambda _: True, negated=False)
        return _part(exists if _symbol(operator) == "exists" else Not(exists), subject)

    def comparison(self, subject: Token, operator: Token, value: Token) -> _Part:
        symbol = _symbol(operator)
        if subject == "registeredAt":
            wanted = values.instant(_plain(value), column_of(value))
            return _part(NumberPredicate(str(subject), values.COMPARE[symbol], wanted), subject)
        if subject == "runningTasksCount":
            wanted = values.count(_plain(value), column_of(value))
            return _part(NumberPredicate(str(subject), values.COMPARE[symbol], wanted), subject)
        if subject == "agentVersion":
            return _part(TextPredicate(str(subject), _version_test(symbol, value)), subject)
        return _among(subject, [value], negated=symbol == "!=")

    def membership(self, subject: Token, operator: Token, *items: Token) -> _Part:
        return _among(subject, list(items), negated=_symbol(operator) == "!in")

    def matching(self, subject: Token, operator: Token, value: Token) -> _Part:
        quoted = value.type == "QUOTED"
        pattern = values.pattern(_plain(value), column_of(value) + quoted)
        if pattern.steps > STEPS_MAX:
            raise _too_costly(pattern.steps, column_of(value))
        predicate = _of_texts(subject, pattern.matches, negated=_symbol(operator) == "!~")
        return _part(predicate, subject, 1 + pattern.steps)


def _part(expression: Expression, subject: Token, steps: int = 1) -> _Part:
    return _Part(expression, steps, column_of(subject))


def _joined(kind: type[AnyOf] | type[AllOf], parts: tuple[_Part, ...]) -> _Part:
    steps = 0
    for part in parts:
        steps += part.steps
        if steps > STEPS_MAX:
            raise _too_costly(steps, part.column)
    return _Part(kind(tuple(part.expression for part in parts)), steps, parts[0].column)


def _too_costly(steps: int, column: int) -> ExpressionError:
    return ExpressionError(
        f"up to here an evaluation takes {steps} steps, at most {STEPS_MAX}: simplify the regular expressions", column
    )


def _symbol(operator: Token) -> str:
    """`! in` and `not_in` are `!in`."""
    word = re.sub(r"\s", "", operator)
    return _SYMBOLS.get(word, word)


def _plain(token: Token) -> str:
    return str(token[1:-1] if token.type == "QUOTED" else token)


def _of_texts(
    subject: Token, passes: Callable[[str], bool], *, negated: bool, names: frozenset[str] | None = None
) -> Expression:
    """Of an attribute it must have, `!=` says that its value is another; of groups, that none of them is that one."""
    if subject == TASK_GROUP:
        return Not(GroupPredicate(passes, names)) if negated else GroupPredicate(passes, names)
    return TextPredicate(str(subject), (lambda text: not passes(text)) if negated else passes)


def _among(subject: Token, items: list[Token], *, negated: bool) -> _Part:
    read_item = _truth if subject == "agentConnected" else _plain
    wanted = frozenset(read_item(item) for item in items)
    return _part(_of_texts(subject, wanted.__contains__, negated=negated, names=wanted), subject)


def _truth(value: Token) -> str:
    text = _plain(value).lower()
    if text not in ("true", "false"):
        raise ExpressionError(f"agentConnected is true or false, never {_plain(value)!r}", column_of(value))
    return text


def _version_test(symbol: str, value: Token) -> Callable[[str], bool]:
    """Of an agent whose version cannot be read nothing is known: it passes no comparison."""
    wanted = values.version(_plain(value))
    if wanted is None:
        raise ExpressionError(f"{_plain(value)!r} is not a version: write it as 1.14.5", column_of(value))
    compare = values.COMPARE[symbol]

    def passes(text: str) -> bool:
        version = values.version(text)
        return version is not None and bool(compare(version, wanted))

    return passes

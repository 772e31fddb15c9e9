"""What is wrong with an expression, said in words: where, what was found there and what to write instead."""

import re
from collections.abc import Collection
from difflib import get_close_matches

from lark import Token, UnexpectedInput

from shoal_scheduler.placement.expression_tree import ATTRIBUTE, TASK_GROUP
from shoal_scheduler.placement.expression_values import ExpressionError

ORDERED = ("agentVersion", "registeredAt", "runningTasksCount")
TEXTS = ("agentConnected", "ec2InstanceId")
SUBJECTS = (*TEXTS, *ORDERED, TASK_GROUP)

# The language's own: none of them is a value unless it is quoted.
_KEYWORDS = ("and", "or", "not", "exists", "not_exists", "in", "not_in", "matches", "not_matches")
_COMPARISONS = ("equals", "not_equals", "greater_than", "greater_than_equal", "less_than", "less_than_equal")
_WORDS = frozenset((*_KEYWORDS, *_COMPARISONS))
_ORDERS = (">", ">=", "<", "<=")
_NAME = re.compile(r"[A-Za-z0-9_\-./\\]+")
_FOUND = re.compile(r"\w[^\s()\[\],'\"]*|.", re.DOTALL)

# By what the parser could have gone on with: the first one that it names.
_EXPECTED = (
    ("_NOT", "a subject, an operator and mostly a value, such as attribute:stack == prod"),
    ("COMPARISON", "an operator such as ==, !=, in, =~ or exists"),
    ("PATTERN", "a regular expression such as g2.*"),
    ("QUOTED", "a value"),
    ("LSQB", "a list such as [a, b]"),
    ("RSQB", "a comma or ]"),
    ("$END", "`and`, `or` or the end"),
    ("_AND", "`and`, `or` or the end"),
    ("RPAR", "`and`, `or` or the ) of a parenthesis that is open"),
)


def column_of(token: Token) -> int:
    """Counted from the start of the text, over all its lines."""
    return (token.start_pos or 0) + 1


def check_subject(token: Token) -> None:
    subject = str(token)
    if subject in SUBJECTS:
        return
    if not subject.startswith(ATTRIBUTE):
        raise ExpressionError(f"{subject!r} is not a subject: {_meant(subject)}", column_of(token))
    valid = _NAME.match(subject, len(ATTRIBUTE))
    end = valid.end() if valid else len(ATTRIBUTE)
    if end < len(subject) or valid is None:
        fault = f"{subject[end]!r} is not for a name" if end < len(subject) else "the name is missing"
        raise ExpressionError(
            rf"{fault} of an attribute: write attribute:<name> with letters, digits and _ - . / \ only",
            column_of(token) + end,
        )


def _meant(subject: str) -> str:
    word = subject.lower()
    if word in _WORDS:
        if word != subject:
            return f"keywords are written in lower case, {word}"
        return f"a {'predicate' if word in ('and', 'or', 'not') else 'subject'} is missing before it"
    by_lower = {name.lower(): name for name in SUBJECTS}
    close = get_close_matches(word, by_lower, n=1)
    if close:
        return f"did you mean {by_lower[close[0]]}?"
    return f"there are {', '.join(SUBJECTS)} and attribute:<name>"


def check_operator(subject: str, token: Token, symbol: str) -> None:
    """Each subject has its operators; attributes and groups have no order, numbers have no patterns."""
    if subject in ORDERED:
        fits, allowed = token.type == "COMPARISON", "==, !=, >, >=, < and <="
    elif subject in TEXTS:
        fits = token.type in ("MEMBERSHIP", "MATCHING") or symbol in ("==", "!=")
        allowed = "==, !=, in, !in, =~ and !~"
    else:
        fits, allowed = symbol not in _ORDERS, "==, !=, in, !in, =~, !~, exists and !exists"
    if not fits:
        raise ExpressionError(f"{subject} cannot be tested with {token}, only with {allowed}", column_of(token))


def check_word(token: Token) -> None:
    if token in _WORDS:
        raise ExpressionError(
            f"{str(token)!r} is a word of the language: a value is missing before it, or put it in quotes",
            column_of(token),
        )


def explanation(error: UnexpectedInput, text: str) -> tuple[str, int]:
    """What a parser's error means, and its column."""
    token = getattr(error, "token", None)
    at_end = token is not None and token.type == "$END"
    position = len(text) if at_end or error.pos_in_stream is None else error.pos_in_stream
    expected = getattr(error, "expected", None) or getattr(error, "allowed", None) or ()
    wanted = next((words for name, words in _EXPECTED if name in expected), "something else")
    shown = _FOUND.match(text, position)
    found = shown[0] if shown else ""
    said = repr(found) if found else "the end"
    return f"{said} does not fit here: expected {wanted}{_advice(found, expected)}", position + 1


def _advice(found: str, expected: Collection[str]) -> str:
    """For what people write by habit of other languages."""
    if found in ("'", '"'):
        return "; this quote is never closed" if "QUOTED" in expected else ""
    if "PATTERN" in expected and found in ("(", "["):
        return "; it is not closed before the next space or end: put a pattern with spaces in quotes"
    if "COMPARISON" in expected:
        return {"=": "; write ==", "not": "; write not_in or not_exists", "is": "; write =="}.get(found, "")
    if "QUOTED" in expected and found == "[":
        return "; a list goes with in and not_in"
    if found and any(name in expected for name in ("_AND", "RPAR", "$END")):
        return _advice_between(found)
    return "; put a value with spaces in quotes" if found and "RSQB" in expected else ""


def _advice_between(found: str) -> str:
    if found.lower() in ("and", "or"):
        return "; keywords are written in lower case"
    if found in "&|":
        return "; write && and ||"
    if found == ")":
        return "; no parenthesis is open"
    if found in SUBJECTS or found.startswith(ATTRIBUTE):
        return "; join predicates with `and` or `or`"
    return "; put a value with spaces in quotes"

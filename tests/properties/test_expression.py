"""Expressions, whatever they are: both evaluations agree, and what cannot be read is refused with a column of it."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from shoal_scheduler.placement.expression import ExpressionError, Facts, parse

from tests.load.expressions import Table

TEXTS = st.sampled_from(["prod", "test", "prod team", "t2.small", "", "1.2", "a@b/c:d", "and"])
NAMES = st.sampled_from(["stack", "ecs.instance-type", "a/b"])
GROUPS = st.sampled_from(["service:web", "service:db", "family:cache"])
VERSIONS = st.sampled_from(["1.14.5", "1.14.10", "v1.14", "1.14.0", "1.15.0-rc.1", "2"])
MOMENTS = {
    "2018-02-12": 1_518_393_600_000,
    "2018-02-12T00:00:00.001Z": 1_518_393_600_001,
    "2018-02-12T01:00:00+01:00": 1_518_393_600_000,
    "2018-02-13T00:00:00": 1_518_480_000_000,
}
PATTERNS = st.sampled_from(["p.*", "(prod|test)", r"t[23]\.\w+", "'prod .*'", '""', "[^p]*", "true", "i-[ab]"])
ORDERS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "equals", "less_than", "greater_than_equal"])
EQUALS = st.sampled_from(["==", "!=", " equals ", " not_equals "])
MEMBERSHIP = st.sampled_from(["in", "!in", "not_in", "! in"])
MATCHING = st.sampled_from(["=~", "!~", " matches ", " not_matches "])

FACTS = st.builds(
    Facts,
    attributes=st.dictionaries(NAMES, TEXTS),
    ec2_instance_id=st.sampled_from(["i-a", "i-b", "i-c"]),
    agent_connected=st.booleans(),
    agent_version=VERSIONS | st.just("unknown"),
    registered_at=st.sampled_from(list(MOMENTS.values())) | st.integers(0, 2**40),
    running_tasks_count=st.integers(0, 4),
    task_groups=st.frozensets(GROUPS),
)

ATTRIBUTES = NAMES.map("attribute:{}".format)
SUBJECTS_OF_TEXT = ATTRIBUTES | st.just("ec2InstanceId") | st.just("task:group")
VALUES = (TEXTS | GROUPS | st.sampled_from(["i-a", "i-b"])).map("'{}'".format) | GROUPS
PREDICATES = st.one_of(
    st.builds("{}{}{}".format, SUBJECTS_OF_TEXT, EQUALS, VALUES),
    st.builds("{} {} [{}]".format, SUBJECTS_OF_TEXT, MEMBERSHIP, st.lists(VALUES, min_size=1).map(" , ".join)),
    st.builds("{}{}{}".format, SUBJECTS_OF_TEXT | st.just("agentConnected"), MATCHING, PATTERNS),
    st.builds("{} {}".format, ATTRIBUTES | st.just("task:group"), st.sampled_from(["exists", "!exists", "not_exists"])),
    st.builds("agentConnected{}{}".format, EQUALS, st.sampled_from(["true", "False", "'true'"])),
    st.builds("agentVersion {} {}".format, ORDERS, VERSIONS),
    st.builds("registeredAt {} {}".format, ORDERS, st.sampled_from(list(MOMENTS))),
    st.builds("runningTasksCount {} {}".format, ORDERS, st.integers(0, 4)),
)


def joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({})".format, parts),
        st.builds("{} {}".format, st.sampled_from(["not", "!"]), parts),
        st.builds("{} {} {}".format, parts, st.sampled_from(["and", "or", "&&", "||"]), parts),
    )


EXPRESSIONS = st.recursive(PREDICATES, joined, max_leaves=8)
# Pieces of the language in any order, with anything in between.
WORDS = (
    *("attribute:a", "attribute:", "task:group", "agentVersion", "registeredAt", "runningTasksCount", "agentConnected"),
    *("==", "=~", "!~", "!", "in", "exists", "not_in", "matches", "and", "or", "not", "&&", "||", "(", ")", "[", "]"),
    *(",", "'", '"', "\\", "*", "+", "{2}", "(?=", "\\Q", "\\1", "prod", "1.2", "2018-02-12", "\n", " ", "\ud800", "İ"),
)
PIECES = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=30).map(" ".join) | st.lists(
    st.sampled_from(WORDS), max_size=30
).map("".join)


@given(EXPRESSIONS, st.lists(FACTS, max_size=8))
@settings(max_examples=300, deadline=None)
def test_both_evaluations_agree(expression: str, rows: list[Facts]) -> None:
    parsed = parse(expression)
    mask = parsed.mask(Table(rows))
    assert mask.dtype == bool
    assert mask.tolist() == [parsed.test(facts) for facts in rows]


@given(st.text() | PIECES | st.builds("attribute:a =~ {}".format, PIECES))
@example("attribute:a =~ \x00")
@example("attribute:a == \x1c")
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused_with_a_column(text: str) -> None:
    try:
        parsed = parse(text)
    except ExpressionError as refused:
        assert 1 <= refused.column <= len(text) + 1
        assert refused.message
    else:
        facts = Facts(attributes={"a": "prod"})
        assert parsed.mask(Table([facts])).tolist() == [parsed.test(facts)]


@given(EXPRESSIONS, st.data())
@settings(max_examples=300, deadline=None)
def test_a_piece_taken_out_or_put_in(expression: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(expression)))
    end = data.draw(st.integers(start, min(start + 4, len(expression))))
    test_text = expression[:start] + data.draw(st.sampled_from(("", *WORDS))) + expression[end:]
    try:
        parse(test_text)
    except ExpressionError as refused:
        assert 1 <= refused.column <= len(test_text) + 1

"""The cluster query language: what it selects, and what it refuses and where."""

import time
from pathlib import Path

import pytest
from shoal_scheduler.placement.expression import LENGTH_MAX, STEPS_MAX, ExpressionError, Facts, parse

from tests.load import expressions

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "placement" / "expressions.json"

INSTANCE = Facts(
    attributes={
        "ecs.instance-type": "g2.2xlarge",
        "stack": "prod",
        "rack": "r 1",
        "arn": "arn:aws:ecs:eu-west-1:1:cluster/a@b",
        "call": "a(x)",
        r"team/x\y._-": "core",
        "empty": "",
        "word": "and",
        "gpu": "true",
    },
    ec2_instance_id="i-a",
    agent_version="1.14.10",
    registered_at=1_518_422_400_000,  # 2018-02-12T08:00:00Z
    running_tasks_count=3,
    task_groups=frozenset({"service:web", "family:cache"}),
)

HOLDS = [
    # As the developer guide writes them, and with as few spaces as possible.
    "attribute:ecs.instance-type =~ g2.* and attribute:stack != test",
    "attribute:ecs.instance-type==g2.2xlarge&&runningTasksCount<4",
    "attribute:stack==test||attribute:stack==prod",
    "(attribute:stack==prod)and(attribute:gpu exists)",
    "not(task:group == service:db)",
    "  attribute:stack\n  ==\tprod  ",
    # Words and symbols.
    "attribute:ecs.instance-type matches g[23]\\..*",
    "attribute:stack not_matches t.*",
    "attribute:stack equals prod and attribute:stack not_equals test",
    "runningTasksCount greater_than 2 and runningTasksCount less_than_equal 3",
    "runningTasksCount greater_than_equal 3 and runningTasksCount less_than 4",
    "attribute:none !exists and attribute:none ! exists and attribute:none not_exists",
    "attribute:stack !in [dev] and attribute:stack ! in[dev] and attribute:stack not_in [dev]",
    "attribute:stack !~ dev",
    # Values.
    "attribute:rack == 'r 1' and attribute:rack == \"r 1\"",
    "attribute:rack in [ 'r 1' , \"r 2\",r3 ]",
    "attribute:stack in [prod]",
    "attribute:arn == arn:aws:ecs:eu-west-1:1:cluster/a@b",
    "attribute:call == 'a(x)'",
    r"attribute:team/x\y._- == core",
    "attribute:empty == '' and attribute:empty exists",
    "attribute:word == 'and' and attribute:word in [\"and\", 'or']",
    "attribute:stack != not-a-keyword and attribute:stack != order",
    # Regular expressions without quotes and with them.
    r"attribute:ecs.instance-type =~ (g2|g3)\..*",
    "(attribute:ecs.instance-type =~ g2.*)",
    "(attribute:ecs.instance-type =~ (g2|(g3|g4)).*) and attribute:stack =~ p[()\\]o-z]*d",
    "attribute:ecs.instance-type =~ (p[2,3]|g[2,4]|f[1]).*",
    "attribute:ecs.instance-type =~ g2.*&&attribute:stack=~(dev||prod)||attribute:a exists",
    r"attribute:call =~ [ab]\(x\)",
    r"attribute:call =~ \Qa(\Ex.",
    r"attribute:rack =~ r\ 1",
    "attribute:rack =~ 'r .' and attribute:rack =~ \"r (1|2)\"",
    "attribute:stack =~ p{1}ro{1,2}d|x",
    "attribute:stack !~ pro",
    "attribute:stack =~ (?i)PROD",
    "ec2InstanceId =~ i-[a-f]+ and ec2InstanceId in ['i-a','i-b'] and ec2InstanceId != i-b",
    # Which of and, or and not comes first.
    "attribute:stack == prod or attribute:gpu == false and runningTasksCount == 0",
    "not attribute:stack == test and runningTasksCount == 3",
    "!attribute:stack == test && ! (attribute:stack == dev) && !!attribute:gpu exists",
    "not not attribute:gpu exists",
    "!(attribute:stack == prod) || runningTasksCount == 3",
    "agentConnected == true and (attribute:stack == dev or attribute:stack == prod)",
    "agentConnected != False and agentConnected =~ t.* and agentConnected !in [false]",
    # Versions, dates and counts.
    "agentVersion > 1.14.5 and agentVersion >= 1.14.10 and agentVersion <= v1.14.10 and agentVersion < 1.15",
    "agentVersion == 1.14.10.0 and agentVersion != 1.14.1 and agentVersion > 1.14.10-rc.1",
    "registeredAt < 2018-02-13 and registeredAt > 2018-02-12",
    "registeredAt == 2018-02-12T08:00:00 and registeredAt == 2018-02-12T08:00:00Z",
    "registeredAt == 2018-02-12T10:00:00+02:00 and registeredAt == '2018-02-12T08:00:00.000Z'",
    "registeredAt < 2018-02-12T08:00:00.001Z and registeredAt >= 2018-02-12T08:00+00:00",
    "runningTasksCount <= 3 and runningTasksCount == 003 and runningTasksCount != 99999999999",
    # Groups: of any task there.
    "task:group == service:web and task:group in [family:cache, x] and task:group =~ service:.*",
    "task:group != service:db and task:group !in [x, y] and task:group !~ batch.*",
    "task:group exists",
    "not (task:group != service:web)",
]

HOLDS_NOT = [
    "attribute:none exists",
    "attribute:none != x",
    "attribute:none !in [x]",
    "attribute:none !~ x",
    "attribute:none == ''",
    "attribute:stack == PROD",
    "attribute:stack =~ pro",
    "attribute:stack not_in [dev, prod]",
    "agentVersion < 1.14.5",
    "registeredAt >= 2018-02-12T08:00:01Z",
    "registeredAt < 2018-02-12",
    "(attribute:stack == prod or attribute:gpu == false) and runningTasksCount == 0",
    "not (attribute:stack == test) and runningTasksCount == 0",
    "task:group not_exists",
    "task:group != service:web",
]

# Where the fault is, by a mark in front of it.
REFUSED = [
    "^",
    "^   ",
    "attribute:a ==^",
    "attribute:a == b and^",
    "attribute:a == b or ^and attribute:c == d",
    "attribute:a == b and ^&& attribute:c == d",
    "^and attribute:a == b",
    "attribute:a == b ^AND attribute:c == d",
    "^NOT (attribute:a == b)",
    "attribute:a ^EXISTS",
    "attribute:a ^not in [b]",
    "attribute:a == b ^attribute:c == d",
    "attribute:a == b ^not attribute:c == d",
    "attribute:a == b ^& attribute:c == d",
    "(attribute:a == b^",
    "attribute:a == b^)",
    "(^)",
    "not^",
    "^foo == bar",
    "^agentconnected == true",
    "^ecs.instance-type == t2.small",
    "^__class__ == x",
    "attribute:^ == x",
    "attribute:a^:b == x",
    "attribute:a\n  == b\n  and ^foo == bar",
    "attribute:a^",
    "attribute:a ^b",
    "attribute:a ^= b",
    "attribute:a == ^= b",
    "attribute:a == ^== b",
    "attribute:a ==^= b",
    "attribute:a exists ^exists",
    "attribute:a exists ^b",
    "attribute:a == ^and",
    "attribute:a == ^and attribute:b == c",
    "attribute:a in [b, ^or]",
    "attribute:a == prod ^team",
    "attribute:a == ^'prod team",
    "attribute:a == ^[b]",
    "attribute:a == ^(b)",
    "attribute:a in ^b",
    "attribute:a in [^",
    "attribute:a in [^]",
    "attribute:a in [b,^]",
    "attribute:a in [^,b]",
    "attribute:a in [b^",
    "attribute:a in [b ^c]",
    "attribute:a in [b]^]",
    # Each subject has its operators.
    "runningTasksCount ^=~ 3",
    "runningTasksCount ^in [3]",
    "runningTasksCount ^exists",
    "registeredAt ^in [2018-02-13]",
    "agentVersion ^=~ 1.*",
    "agentConnected ^> true",
    "agentConnected ^exists",
    "ec2InstanceId ^less_than i-b",
    "attribute:a ^> b",
    "task:group ^>= b",
    # And its values.
    "agentConnected == ^maybe",
    "agentConnected in [true, ^1]",
    "registeredAt < ^yesterday",
    "registeredAt < ^2018-13-01",
    "registeredAt < ^20180213",
    "registeredAt < ^2018-02-13T25:00:00Z",
    "registeredAt < ^'2018-02-13 10:00'",
    "agentVersion == ^one",
    "agentVersion == ^1.x",
    "agentVersion == ^1.14.",
    "runningTasksCount == ^1e3",
    "runningTasksCount == ^1.5",
    "runningTasksCount == ^-1",
    "runningTasksCount == ^'3 4'",
    # Regular expressions.
    "attribute:a =~^",
    "attribute:a =~ ^[",
    "attribute:a =~ ^(",
    "attribute:a =~ ^(b and attribute:c == d)",
    "attribute:a =~ b^)",
    "attribute:a =~ b ^c",
    "attribute:a =~ ^== b",
    "attribute:a =~ ^and attribute:b == c",
    "attribute:a =~ '^(b'",
    "attribute:a =~ ^*",
    "attribute:a =~ b^**",
    "attribute:a =~ b^{2000}",
    r"attribute:a =~ b\w^\Z",
    "attribute:a =~ b^(?=c)",
    "attribute:a =~ b^(?!c)",
    "attribute:a =~ '(b)^(?<!c d)'",
    r"attribute:a =~ (b)^\1",
    r"attribute:a =~ (?<n>b)^\k<n>",
    "attribute:a =~ b+^+",
    "attribute:a =~ b{2,}^+",
    "attribute:a =~ ^(?>b)",
    "attribute:a =~ [b^[c]]",
    "attribute:a =~ [b^&&c]",
    "attribute:a =~ ^\\p{L}{900}",
]


@pytest.mark.parametrize("expression", HOLDS)
def test_holds(expression: str) -> None:
    assert both_ways(expression, INSTANCE) is True


@pytest.mark.parametrize("expression", HOLDS_NOT)
def test_does_not_hold(expression: str) -> None:
    assert both_ways(expression, INSTANCE) is False


def both_ways(expression: str, facts: Facts) -> bool:
    parsed = parse(expression)
    passes = parsed.test(facts)
    assert parsed.mask(expressions.Table([facts])).tolist() == [passes]
    return passes


@pytest.mark.parametrize("marked", REFUSED)
def test_refuses_with_the_column(marked: str) -> None:
    before, _, after = marked.partition("^")
    with pytest.raises(ExpressionError) as refused:
        parse(before + after)
    assert refused.value.column == len(before) + 1
    assert f"(column {refused.value.column})" in refused.value.message


@pytest.mark.parametrize(
    ("expression", "advice"),
    [
        ("attribute:a = b", "write =="),
        ("attribute:a == prod team", "in quotes"),
        ("attribute:a == 'b", "never closed"),
        ("attribute:a == b agentVersion > 1", "join predicates"),
        ("and attribute:a == b", "a predicate is missing before it"),
        ("attribute:a == b AND attribute:c == d", "lower case"),
        ("attribute:a not in [b]", "not_in"),
        ("attribute:a == [b]", "a list goes with in"),
        ("attribute:a == b)", "no parenthesis is open"),
        ("agentconnected == true", "agentConnected?"),
        ("attribute:a =~ (b c)", "in quotes"),
        ("attribute:a =~ x(?=y)", "lookahead"),
        ("attribute:a =~ (x)\\1", "backreference"),
        ("attribute:a =~ x++", "possessive"),
        ("registeredAt > 12", "2018-06-18T22:28:28Z"),
    ],
)
def test_says_what_to_write_instead(expression: str, advice: str) -> None:
    with pytest.raises(ExpressionError, match=advice.replace("?", r"\?")):
        parse(expression)


def test_an_unknown_version_passes_no_comparison() -> None:
    unknown = INSTANCE._replace(agent_version="dev")
    assert not any(both_ways(f"agentVersion {symbol} 1.0", unknown) for symbol in ("==", "!=", "<", ">="))


def test_tells_what_changes_with_every_task() -> None:
    assert not parse("attribute:a == b and not (agentVersion < 1.2 or registeredAt > 2018-01-01)").is_volatile
    assert parse("attribute:a == b and not (agentVersion < 1.2 or runningTasksCount > 1)").is_volatile
    assert parse("task:group == a or attribute:a exists").is_volatile


@pytest.mark.parametrize(
    ("expression", "column"),
    [
        ("a" * 100_000, LENGTH_MAX + 1),
        ("(" * LENGTH_MAX, 51),
        ("!" * LENGTH_MAX, 51),
        ("not " * 400, 201),
        ("!(" * 900, 51),
        ("attribute:a =~ " + "(" * 1900, 16),
        ("attribute:a =~ " + "[]" * 900, 18),
        ("attribute:a =~ (" + r"\Qx\E" * 390, 16),
        ("attribute:a =~ '" + "[&&" * 600 + "'", 17),
        ("attribute:a =~ '" + "[" * 1900 + "'", 17),
        ("attribute:a == '" + "b" * 1900, 16),
        ("attribute:a in [" + "b," * 900, 1817),
        ("attribute:a =~ x{1000} or " * 6 + "attribute:a == b", 4 * 26 + 1),
    ],
)
def test_what_is_too_much_is_refused_at_once(expression: str, column: int) -> None:
    parse("attribute:a == b")
    started = time.process_time()
    with pytest.raises(ExpressionError) as refused:
        parse(expression)
    assert time.process_time() - started < 0.25
    assert refused.value.column == column


def test_as_much_as_is_allowed() -> None:
    assert both_ways(f"{'(' * 50}attribute:gpu exists{')' * 50}", INSTANCE)
    assert both_ways(" and ".join(["not (attribute:is-not-there !exists and attribute:a exists)"] * 30), INSTANCE)
    assert both_ways(" or ".join(["attribute:b==c"] * 100 + ["attribute:gpu exists"]), INSTANCE)
    assert both_ways("not " * 50 + "attribute:gpu exists", INSTANCE)
    assert not both_ways(" or ".join(["attribute:stack =~ x{1000}"] * (STEPS_MAX // 1010)), INSTANCE)


def test_no_pattern_takes_exponential_time() -> None:
    started = time.process_time()
    long = INSTANCE._replace(attributes={"stack": "a" * 5000 + "b"})
    assert not parse("attribute:stack =~ (a+)+$").test(long)
    assert not parse("attribute:stack =~ '(a|a)*(a|aa)*b?c'").test(long)
    assert time.process_time() - started < 0.5


def test_the_same_text_is_read_once() -> None:
    assert parse("attribute:a == b") is parse("attribute:a == b")


@pytest.mark.skipif(not SHARED.exists(), reason="the shared placement data is not beside this checkout")
def test_published_cases() -> None:
    assert expressions.evaluate(expressions.read(SHARED)).mismatches == []

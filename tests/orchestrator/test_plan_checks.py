"""What models write when they are asked for a plan: read where it is meant, named where it is not one."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.orchestrator.model import Agent, Failure, Task, TaskState
from services.orchestrator.plan_checks import LONGEST_INSTRUCTION, LONGEST_PROPOSAL, Bad, Good, read_plan

# Not random: they are in the tests' names, which are the same in every process.
CODER = Agent("c0de0000-0000-4000-8000-000000000001", "Coder")
WRITER = Agent("c0de0000-0000-4000-8000-000000000002", "Writer")
AGENTS = (CODER, WRITER)
MOST = 12


def a_task(id: Any = "a", *depends_on: Any, **fields: Any) -> dict[str, Any]:
    """A task as a model should write it."""
    written = {"id": id, "agent": "Coder", "title": "Read", "instruction": "Read it.", "depends_on": [*depends_on]}
    return {**written, **fields}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in a_task().items() if name != key}


def plan_of(*tasks: Any) -> str:
    return json.dumps({"tasks": tasks})


def read(text: str) -> tuple[Task, ...]:
    plan = read_plan(text, AGENTS, MOST)
    assert isinstance(plan, Good), plan
    return plan.tasks


def problems(text: str) -> tuple[Failure, ...]:
    plan = read_plan(text, AGENTS, MOST)
    assert isinstance(plan, Bad), plan
    return plan.problems


def problem(text: str) -> Failure:
    [only] = problems(text)
    return only


def test_plan_is_read_in_the_order_of_its_dependencies() -> None:
    text = plan_of(a_task("c", "b"), a_task("b", "a", agent="Writer"), a_task("a"), a_task("d", "a"))
    tasks = read(text)
    assert [task.id for task in tasks] == ["a", "b", "c", "d"]
    assert tasks[1] == Task("b", WRITER.id, "Writer", "Read", "Read it.", TaskState.PENDING, 0, ("a",))


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{plan_of(a_task())}\n```",
        f"Here is [the] plan, as {{asked}}:\n\n{plan_of(a_task())}\n\nIt has one step [1]: {{}}.",
        json.dumps([a_task()]),
        f"```\n{json.dumps([a_task()], indent=2)}\n```",
        f"\ufeff{plan_of(a_task())}",
        plan_of(without("depends_on")),
        plan_of(a_task(depends_on=None)),
        plan_of(a_task(priority=1, notes={"x": [1.5, True]})),
        plan_of(a_task(" a\n")),
    ],
    ids=["fence", "prose", "list", "list in fence", "mark", "no dependencies", "null", "more keys", "blanks"],
)
def test_sloppy_plan_is_read_as_it_is_meant(text: str) -> None:
    assert read(text) == read(plan_of(a_task()))


def test_ids_may_be_numbers() -> None:
    assert [(task.id, task.depends_on) for task in read(plan_of(a_task(2, "1", 1, 1), a_task(1)))] == [
        ("1", ()),
        ("2", ("1",)),
    ]


def test_long_title_is_shortened_and_one_line() -> None:
    [task] = read(plan_of(a_task(title="Read\n it " + "all " * 100)))
    assert task.title.startswith("Read it all")
    assert len(task.title) == 200


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("", "PLAN_NOT_JSON", "no JSON"),
        ("First I would read the code, then the tests.", "PLAN_NOT_JSON", "no JSON"),
        ('{"tasks": [{"id": "a", "agent": "Coder"', "PLAN_NOT_JSON", "no valid JSON"),
        # Cut off after its first task, it holds a list of tasks: not the whole plan.
        (plan_of(a_task())[:-1], "PLAN_NOT_JSON", "no valid JSON"),
        (plan_of(a_task()).replace('"', "'"), "PLAN_NOT_JSON", "no valid JSON"),
        ('{"tasks": NaN}', "PLAN_NOT_JSON", "NaN"),
        (plan_of(a_task()) * 2, "PLAN_NOT_JSON", "more than one plan"),
        ('{"tasks": ' * 20_000, "PLAN_NOT_JSON", "nested too deeply"),
        ("[" * 100_000, "PLAN_NOT_JSON", "nested too deeply"),
        ("{" * 100_000, "PLAN_NOT_JSON", "no valid JSON"),
        (plan_of(a_task(instruction="x" * LONGEST_PROPOSAL)), "PLAN_TOO_LARGE", "shorter"),
        ('{"answer": "I cannot help with that."}', "PLAN_MALFORMED", '"tasks"'),
        ('{"tasks": {"id": "a"}}', "PLAN_MALFORMED", "list"),
        ('{"tasks": [], "tasks": []}', "PLAN_MALFORMED", "more than once"),
        (plan_of("a"), "PLAN_MALFORMED", "task 1 must be an object"),
        (plan_of(a_task(), without("id")), "PLAN_MALFORMED", "task 2 must have an id"),
        (plan_of(a_task(id=True)), "PLAN_MALFORMED", "id"),
        (plan_of(a_task(id="x" * 65)), "PLAN_MALFORMED", "64"),
        (plan_of(a_task(id="a\nb")), "PLAN_MALFORMED", "printable"),
        (plan_of(without("agent")), "PLAN_MALFORMED", 'task "a" must have an agent'),
        (plan_of(without("title")), "PLAN_MALFORMED", 'task "a" must have the key title'),
        (plan_of(a_task(title=5)), "PLAN_MALFORMED", "title"),
        (plan_of(without("instruction")), "PLAN_MALFORMED", "instruction"),
        (plan_of(a_task(instruction=" \n")), "PLAN_MALFORMED", "instruction"),
        (plan_of(a_task(instruction="x" * (LONGEST_INSTRUCTION + 1))), "PLAN_MALFORMED", "20000"),
        (plan_of(a_task(instruction="a\0b")), "PLAN_MALFORMED", "U+0000"),
        (plan_of(a_task(title="\ud83d")), "PLAN_MALFORMED", "surrogate"),
        (plan_of(a_task(depends_on="b")), "PLAN_MALFORMED", "depends_on"),
        (plan_of(a_task("a", None)), "PLAN_MALFORMED", "depends_on"),
        (plan_of(a_task()).replace('"title"', '"id": "a", "title"'), "PLAN_MALFORMED", 'the key "id" more than once'),
        ('{"tasks": []}', "PLAN_EMPTY", "at least one"),
        ("[]", "PLAN_EMPTY", "at least one"),
        (plan_of(*map(a_task, range(200))), "PLAN_TOO_LARGE", "200 tasks: combine them into at most 12"),
        (plan_of(a_task(agent="Stranger")), "PLAN_UNKNOWN_AGENT", 'use one of "Coder", "Writer"'),
        (plan_of(a_task(agent="coder")), "PLAN_UNKNOWN_AGENT", '"coder"'),
        (plan_of(a_task(agent=CODER.id)), "PLAN_UNKNOWN_AGENT", CODER.id),
        (plan_of(a_task(), a_task()), "PLAN_DUPLICATE_TASK", '2 tasks have the id "a"'),
        (plan_of(a_task(1), a_task("1")), "PLAN_DUPLICATE_TASK", '"1"'),
        (plan_of(a_task("a", "b")), "PLAN_UNKNOWN_DEPENDENCY", 'task "a" depends on "b"'),
        (plan_of(a_task("a", "a")), "PLAN_CYCLE", 'task "a" depends on itself'),
        (
            plan_of(a_task("x", "a"), a_task("a", "b"), a_task("b", "c"), a_task("c", "a")),
            "PLAN_CYCLE",
            '"a" → "b" → "c" → "a"',
        ),
    ],
)
def test_what_is_no_plan_has_a_name_and_says_what_to_change(text: str, reason: str, words: str) -> None:
    found = problem(text)
    assert found.reason == reason
    assert words in found.detail


def test_every_task_has_its_problems_but_ten_are_enough() -> None:
    text = plan_of(a_task("a", agent="Stranger", title=""), "b", *(a_task(n, agent="Stranger") for n in range(10)))
    found = problems(text)
    assert [each.reason for each in found[:4]] == [
        "PLAN_UNKNOWN_AGENT",
        "PLAN_MALFORMED",
        "PLAN_MALFORMED",
        "PLAN_UNKNOWN_AGENT",
    ]
    assert len(found) == 10


def test_problems_of_a_graph_with_thousands_of_dependencies_are_few() -> None:
    assert len(problems(plan_of(a_task("a", *range(20_000))))) == 10


def test_object_with_twenty_thousand_keys_is_read_in_a_moment() -> None:
    keys = ", ".join(f'"{n}": 1' for n in range(20_000))
    assert problem(f'{{{keys}, "0": 2}}').reason == "PLAN_MALFORMED"


def test_plan_is_not_looked_for_behind_what_breaks_off_again_and_again() -> None:
    # From each of its brackets the text would be read to where it breaks off.
    assert problem('{"tasks": [' * 5 + "1, " * 200 + plan_of(a_task())).reason == "PLAN_NOT_JSON"
    assert len(read('As in {"tasks": [...]}:\n' * 5 + plan_of(a_task()))) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(["Coder", "a", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*a_task()]) | st.text(), inner),
    max_leaves=12,
)
odd_tasks = st.fixed_dictionaries({}, optional=dict.fromkeys(a_task(), json_values))
proposals = st.one_of(
    st.text(),
    st.text(st.sampled_from('{}[]":,\\ta1')),
    json_values.map(json.dumps),
    st.lists(odd_tasks | st.builds(a_task, json_values, json_values), max_size=4).map(lambda all: plan_of(*all)),
)


@settings(max_examples=50)
@given(proposals, st.integers(0, 60), st.text(max_size=3))
@example("9" * 5000, 0, "[")
def test_no_text_raises_or_gives_what_no_database_keeps(text: str, at: int, noise: str) -> None:
    plan = read_plan(text[:at] + noise + text[at:], AGENTS, MOST)
    match plan:
        case Bad(found, places):
            assert 1 <= len(found) == len(places) <= 10
            texts = [each.detail for each in found]
        case Good(tasks):
            texts = [part for task in tasks for part in (task.id, task.title, task.instruction, *task.depends_on)]
    assert texts
    for each in texts:
        assert "\0" not in each.encode().decode()


names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=64)


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """The tasks of a plan, in the order of their dependencies."""
    ids = draw(st.lists(names, min_size=1, max_size=MOST, unique=True))
    tasks = []
    for n, id in enumerate(ids):
        agent = draw(st.sampled_from(AGENTS))
        instruction = draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50))
        before = draw(st.lists(st.sampled_from(ids[:n]), max_size=3, unique=True)) if n else []
        tasks.append(
            Task(id, agent.id, agent.name, draw(names), f"Do {instruction}", TaskState.PENDING, 0, tuple(before))
        )
    return tasks


def written(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "agent": task.agent_name,
        "title": task.title,
        "instruction": task.instruction,
        "depends_on": [*task.depends_on, *task.depends_on],
    }


@settings(max_examples=50)
@given(
    graphs(),
    st.randoms(use_true_random=False),
    st.sampled_from(["{}", "```json\n{}\n```", "Well:\n{}\nThat's it [1]."]),
    st.booleans(),
    st.sampled_from([None, 2]),
)
def test_plan_is_read_back_whatever_its_order_and_what_is_around_it(
    tasks: list[Task], random: Any, around: str, ascii: bool, indent: int | None
) -> None:
    in_order = [written(task) for task in tasks]
    assert read(plan_of(*in_order)) == tuple(tasks)
    random.shuffle(in_order)
    text = json.dumps({"tasks": in_order}, ensure_ascii=ascii, indent=indent)
    found = read(around.replace("{}", text))
    assert {task.id: task for task in found} == {task.id: task for task in tasks}
    seen: set[str] = set()
    for task in found:
        assert seen.issuperset(task.depends_on)
        seen.add(task.id)

"""The bench of durability works: its runs end as they should on each store, and it says what they cost."""

from tests.bench.durability import measure


async def test_bench_tells_what_runs_and_steps_cost_on_each_store() -> None:
    told = await measure(runs=6, seed=1, kinds=["sqlite"], callers=[1, 3], rounds=1)
    lines = [line.split() for line in told.splitlines()]
    assert [line[:2] for line in lines if line[:1] in (["1"], ["3"])] == [
        ["1", "dictionaries"],
        ["1", "SQLite"],
        ["3", "dictionaries"],
        ["3", "SQLite"],
    ]
    assert [line[1] for line in lines if line[:1] == ["end"]] == ["dictionaries", "SQLite"]

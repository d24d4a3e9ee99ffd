"""Bad inputs: bodies."""

from tests.e2e.bad_inputs import (
    AGENT,
    AGENTS,
    APPROVALS,
    MESSAGE,
    NOWHERE,
    POLICY,
    PROJECT,
    PROJECTS,
    RUNS,
    SESSION,
    SESSIONS,
    STREAM,
    bad,
    config,
    deep,
    invalid,
    mistyped,
    nested,
    policy,
    rules,
)

UTF8 = [
    bad(body, 400, "MALFORMED_ENCODING")
    for body in (
        b'{"name": "\xff"}',
        b'{"name": "caf\xe9"}',
        b'{"name": "\xc0\xaf"}',
        b'{"name": "\xe0\x80\xaf"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\xf4\x90\x80\x80"}',
        b'{"name": "\xe2\x82"}',
        b'{"n\x80": 1}',
        '{"name": "Lab"}'.encode("utf-16"),
        '{"name": "Lab"}'.encode("utf-32"),
        b'{"name": "\\ud800"}',
        b'{"name": "\\udc00"}',
        b'{"name": "\\udc00\\ud800"}',
        b'{"name": "\\ud800\\u0041"}',
        b'{"\\ud800": 1}',
        b'{"\\ud800": 1, "\\ud800": 2}',
    )
]
ENCODINGS = [
    *UTF8,
    bad('{"name": "Lab"}'.encode("utf-16-le"), 400, "MALFORMED_JSON"),
    bad('\ufeff{"name": "Lab"}', 400, "MALFORMED_JSON"),
    bad(b'{"name": "a\0b"}', 400, "MALFORMED_JSON"),
    config('{"metadata": {"\\udfff": 1}}', 400, "MALFORMED_ENCODING"),
    invalid({"name": "a\0b"}, "name"),
    invalid({"name": "Lab", "workspace_path": "\0"}, "workspace_path"),
    invalid({"title": "\0"}, "title", at=SESSIONS),
    invalid({"content": "a\0b"}, "content", at=MESSAGE),
    invalid({"content": "a\0b"}, "content", at=STREAM),
    invalid({"content": "Hi", "target_agent": "\0"}, "target_agent", at=MESSAGE),
    invalid({"content": "Hi", "request_id": "a\0"}, "request_id", at=MESSAGE),
    config({"system_prompt": "\0"}, 422, "INVALID_ARGUMENT", "config.system_prompt"),
    config({"tools": ["a", "b\0"]}, 422, "INVALID_ARGUMENT", "config.tools[1]"),
    config({"metadata": {"a": ["\0"]}}, 422, "INVALID_ARGUMENT", "config.metadata.a[0]"),
    config({"metadata": {"a\0": 1}}, 422, "INVALID_ARGUMENT", "config.metadata"),
    config({"metadata": {"a": {"\0": 1}}}, 422, "INVALID_ARGUMENT", "config.metadata.a"),
]

SYNTAX = [
    *(
        bad(body, 400, "MALFORMED_JSON")
        for body in (
            "{",
            '{"name": "Lab"',
            '{"name": "Lab',
            '{"name": "Lab"}}',
            '{"name": "Lab"} {"name": "Lab"}',
            '{"name": "Lab"}\0',
            '{"name": "Lab",}',
            '{"name": "Lab" "x": 1}',
            "{'name': 'Lab'}",
            "{name: 1}",
            '{"name": "Lab"} // mine',
            '{/* mine */ "name": "Lab"}',
            '{"name": "a\nb"}',
            '{"name": "\\x41"}',
            '{"name": "\\u12"}',
            '{"name": Lab}',
            '{"name": undefined}',
            "nul",
            "[1, 2",
        )
    ),
    *(
        config(f'{{"temperature": {number}}}', 400, "MALFORMED_JSON")
        for number in ("NaN", "Infinity", "-Infinity", "nan", "01", "+1", ".5", "1.", "0x1", "1_0", "- 1")
    ),
    config('{"metadata": {"n": NaN}}', 400, "MALFORMED_JSON"),
    *(mistyped(body, "") for body in ("[]", '["name"]', "null", '"Lab"', "1", "true", "-0.0")),
    invalid("", "name"),
    invalid(" \r\n\t", "name"),
    invalid("{}", "name"),
    deep(nested(31)),
    deep(nested(100)),
    deep(nested(10_000)),
    deep(nested(100_000)),
    deep(nested(31, "[", "]")),
    deep(nested(10_000, "[", "]")),
    deep("[" * 100_000),
    deep('{"name": ' + nested(100_000, "[", "]") + "}"),
    config(f'{{"metadata": {nested(29)}}}', 400, "NESTED_TOO_DEEP"),
    config(f'{{"metadata": {nested(26)}}}', 422, "INVALID_ARGUMENT", "config.metadata" + ".a" * 25),
    config(
        f'{{"metadata": {{"l": {nested(25, "[", "]")}}}}}',
        422,
        "INVALID_ARGUMENT",
        "config.metadata.l" + "[0]" * 24,
    ),
    bad('{"name": "a", "name": "a"}', 400, "DUPLICATE_KEY", "name"),
    bad('{"name": "a", "n\\u0061me": "b"}', 400, "DUPLICATE_KEY", "name"),
    config('{"memory": {"top_k": 1, "top_k": 1}}', 400, "DUPLICATE_KEY", "config.memory.top_k"),
    config('{"metadata": {"a": [{}, {"b": 1, "c": 2, "b": 3}]}}', 400, "DUPLICATE_KEY", "config.metadata.a[1].b"),
    bad('{"user_id": {"a": 1, "a": 2}, "name": "Lab"}', 400, "DUPLICATE_KEY", "user_id.a"),
]

UNKNOWN = [
    bad(body, 400, "UNKNOWN_FIELD", *fields, at=at, by=by)
    for at, by, body, *fields in (
        (PROJECTS, "POST", {"name": "Lab", "nmae": 1}, "nmae"),
        (PROJECTS, "POST", {"name": "Lab", "Name": 1}, "Name"),
        (PROJECTS, "POST", {"name": "Lab", "": 1}, ""),
        (PROJECTS, "POST", {"name": "Lab", "workspace_path": "/", "workspacePath": "/"}, "workspacePath"),
        (PROJECTS, "POST", {"name": "Lab", "project": {}}, "project"),
        (PROJECTS, "POST", {"name": "Lab", "request_id": "k"}, "request_id"),
        (PROJECTS, "POST", {"a": 1, "b": 2}, "a", "b"),
        (PROJECTS, "POST", {"x" * 1000: 1}, f"{'x' * 200}…"),
        (PROJECT, "PATCH", {"name": "Lab", "update_mask": "*"}, "update_mask"),
        (PROJECT, "PUT", {"name": "Lab", "mask": "*"}, "mask"),
        (AGENT, "PATCH", {"config": {"memory": {"topK": 1}}}, "config.memory.topK"),
        (AGENT, "PUT", {"name": "Eve", "config": {"tool": []}}, "config.tool"),
        (SESSION, "PATCH", {"titel": "x"}, "titel"),
        (POLICY, "PUT", {"rules": [{"decision": "ask", "risks": "read"}]}, "rules[0].risks"),
        (POLICY, "PUT", {"plan_approval": {"tokens": 1}}, "plan_approval.tokens"),
        (MESSAGE, "POST", {"content": "Hi", "project_id": NOWHERE}, "project_id"),
        (MESSAGE, "POST", {"content": "Hi", "session_id": NOWHERE}, "session_id"),
        (RUNS, "POST", {"content": "Hi", "session_id": NOWHERE, "project_id": NOWHERE}, "project_id"),
        (f"{RUNS}/$R:cancel", "POST", {"reason": "bored"}, "reason"),
    )
]

BIG = "1" + "0" * 399
VALUES = [
    *(
        config(f'{{"concurrency_limit": {number}}}', 422, "INVALID_ARGUMENT", "config.concurrency_limit")
        for number in (
            *("0", "-0", "-0.0", "-1", "101", "2147483647", "2147483648", "-2147483649", "9223372036854775808"),
            *("1e400", "-1e400", BIG, f"-{BIG}", "9" * 5000, "1e30"),
        )
    ),
    *(
        config(f'{{"concurrency_limit": {value}}}', 400, "WRONG_TYPE", "config.concurrency_limit")
        for value in (
            "1.5",
            '"5"',
            '""',
            "true",
            "[]",
            "{}",
        )
    ),
    *(
        config(f'{{"temperature": {number}}}', 422, "INVALID_ARGUMENT", "config.temperature")
        for number in ("2.000001", "-0.1", "1e400", "-1e400", BIG, "9" * 5000)
    ),
    *(
        config(f'{{"temperature": {value}}}', 400, "WRONG_TYPE", "config.temperature")
        for value in ('"0.5"', '"NaN"', "false", "[0.5]")
    ),
    *(
        config(f'{{"metadata": {{"n": [{number}]}}}}', 422, "INVALID_ARGUMENT", "config.metadata.n[0]")
        for number in ("1e400", "-1e400", BIG, "9" * 5000)
    ),
    config(
        {"memory": {"top_k": 101, "min_score": 1.5}},
        422,
        "INVALID_ARGUMENT",
        *(f"config.memory.{name}" for name in ("top_k", "min_score")),
    ),
    config({"burst_limit": 0, "max_tokens": 0}, 422, "INVALID_ARGUMENT", "config.burst_limit", "config.max_tokens"),
    config({"tools": [""]}, 422, "INVALID_ARGUMENT", "config.tools[0]"),
    config({"tools": ["a"] * 101}, 422, "INVALID_ARGUMENT", "config.tools"),
    config({"metadata": {"a": "x" * 16384}}, 422, "INVALID_ARGUMENT", "config.metadata"),
    config({"metadata": {"a": [0] * 100_000}}, 422, "INVALID_ARGUMENT", "config.metadata"),
    config({"system_prompt": "x" * 100_001}, 422, "INVALID_ARGUMENT", "config.system_prompt"),
    invalid({"name": ""}, "name"),
    *(invalid({"name": name}, "name") for name in (" ", "\t", "\u2003\u00a0", "a\nb", "\x07", "\x7f", "a\x85b")),
    invalid({"name": "x" * 201}, "name"),
    invalid({"name": "🦉" * 201}, "name"),
    invalid({"name": "x" * 100_000 + "\n"}, "name"),
    invalid({"name": "Lab", "workspace_path": "x" * 1001}, "workspace_path"),
    *(
        invalid({"name": name}, "name", at=AGENTS)
        for name in ("", " Eve", "Eve ", "\u3000", "E\nve", "x" * 101, NOWHERE, NOWHERE.upper().replace("0", "A"))
    ),
    *(invalid({"title": title}, "title", at=SESSIONS) for title in ("", " ", "a\rb", "x" * 201)),
    invalid({"title": ""}, "title", at=SESSION, by="PATCH"),
    invalid({"content": ""}, "content", at=MESSAGE),
    invalid({"content": "x" * 200_001}, "content", at=MESSAGE),
    invalid({"content": "Hi", "target_agent": ""}, "target_agent", at=MESSAGE),
    invalid({"content": "Hi", "target_agent": "x" * 101}, "target_agent", at=RUNS.replace("runs", "chat/$S/message")),
    invalid({"content": "Hi", "request_id": ""}, "request_id", at=MESSAGE),
    invalid({"content": "Hi", "request_id": "k" * 129}, "request_id", at=STREAM),
    invalid({}, "content", at=MESSAGE),
    invalid({}, "content", at=STREAM),
    invalid({}, "session_id", "content", at=RUNS),
    *(
        invalid({"content": "Hi", "on_busy": word}, "on_busy", at=MESSAGE)
        for word in ("", "QUEUE", "Queue", "ON_BUSY_QUEUE", "unspecified", "later", "queue ")
    ),
    bad({"content": "Hi", "target_agent": "Nobody"}, 404, "AGENT_NOT_FOUND", at=MESSAGE),
    bad({"content": "Hi", "target_agent": NOWHERE}, 404, "AGENT_NOT_FOUND", at=STREAM),
    bad({"content": "Hi", "session_id": "mine"}, 404, "SESSION_NOT_FOUND", at=RUNS),
    bad({"name": "CodeAssistant"}, 409, "AGENT_NAME_TAKEN", "name", at=AGENTS),
]

READS = {"risk": "read"}
POLICIES = [
    *(
        config({"tools": names}, 422, "UNKNOWN_TOOL", *fields)
        for names, fields in (
            (["Ask_agent"], ["config.tools[0]"]),
            (["ask_agent", "shell", "ask_agent", " ask_agent"], ["config.tools[1]", "config.tools[3]"]),
        )
    ),
    bad({"config": {"tools": ["shell"]}}, 422, "UNKNOWN_TOOL", "config.tools[0]", at=AGENT, by="PATCH"),
    bad({"name": "Eve", "config": {"tools": ["shell"]}}, 422, "UNKNOWN_TOOL", "config.tools[0]", at=AGENT, by="PUT"),
    *(
        policy(body, 422, "INVALID_TOOL_POLICY", *fields)
        for body, *fields in (
            (rules({}), "rules[0]"),
            (rules(READS, {"risk": None, "tool": None}), "rules[1]"),
            (rules({"tool": "ask_agent", **READS}), "rules[0]"),
            (rules({"tool": "ask_agents"}, {"tool": "read"}), "rules[0].tool", "rules[1].tool"),
            (rules(READS, {"tool": "ask_agent"}, {**READS, "decision": "deny"}), "rules[2]"),
            (rules(mode="when"), "plan_approval"),
            (rules({"tool": "shell"}, mode="when", risks=[]), "rules[0].tool", "plan_approval"),
        )
    ),
    *(
        policy(body, 422, "INVALID_ARGUMENT", *fields)
        for body, *fields in (
            ({"rules": [{"tool": "ask_agent"}]}, "rules[0].decision"),
            (rules({**READS, "decision": "maybe"}), "rules[0].decision"),
            (rules({**READS, "decision": "unspecified"}), "rules[0].decision"),
            (rules({**READS, "decision": None}), "rules[0].decision"),
            (rules({"risk": "Read"}, {"risk": "unspecified"}), "rules[0].risk", "rules[1].risk"),
            (rules({"tool": ""}, {"tool": "x" * 201}, {"tool": "\0"}), *(f"rules[{place}].tool" for place in range(3))),
            (rules(*[READS] * 201), "rules"),
            (rules(mode="sometimes"), "plan_approval.mode"),
            (rules(max_tasks=-1, max_tokens=-1), "plan_approval.max_tasks", "plan_approval.max_tokens"),
            (rules(max_tasks=51, max_tokens=1_000_000_001), "plan_approval.max_tasks", "plan_approval.max_tokens"),
            (rules(risks=["read", "danger"]), "plan_approval.risks[1]"),
            (rules(risks=["read"] * 5), "plan_approval.risks"),
            ({"rules": None}, "rules"),
        )
    ),
    *(
        policy(rules({"agent_id": agent_id, **READS}), 404, "AGENT_NOT_FOUND")
        for agent_id in (NOWHERE, "CodeAssistant", "", "a\0b")
    ),
    *(
        policy(body, 400, "WRONG_TYPE", *fields)
        for body, *fields in (
            ([], ""),
            ({"rules": {}}, "rules"),
            ({"rules": ["read"]}, "rules[0]"),
            (rules({"risk": 1, "agent_id": []}), "rules[0].risk", "rules[0].agent_id"),
            (rules(max_tasks=1.5, risks="read"), "plan_approval.max_tasks", "plan_approval.risks"),
        )
    ),
    bad(rules(), 405, "METHOD_NOT_ALLOWED", at=POLICY, by="PATCH"),
]

TYPES = [
    *(mistyped({"name": value}, "name") for value in (1, 1.5, True, [], ["Lab"], {})),
    *(mistyped({"name": "Lab", "workspace_path": value}, "workspace_path") for value in (0, False, [], {})),
    *(mistyped({"name": "Eve", "config": value}, "config", at=AGENTS) for value in ("{}", [], 0, True)),
    config({"tools": "a"}, 400, "WRONG_TYPE", "config.tools"),
    config({"tools": {"0": "a"}}, 400, "WRONG_TYPE", "config.tools"),
    config({"tools": ["a", 1, ["b"]]}, 400, "WRONG_TYPE", "config.tools[1]", "config.tools[2]"),
    config({"memory": []}, 400, "WRONG_TYPE", "config.memory"),
    config({"metadata": []}, 400, "WRONG_TYPE", "config.metadata"),
    config({"metadata": "{}"}, 400, "WRONG_TYPE", "config.metadata"),
    mistyped({"title": 5}, "title", at=SESSIONS),
    mistyped({"content": ["Hi"]}, "content", at=MESSAGE),
    mistyped({"content": "Hi", "on_busy": 1}, "on_busy", at=MESSAGE),
    mistyped({"content": "Hi", "session_id": 1}, "session_id", at=RUNS),
    # null clears what is optional, and nothing else
    invalid({"name": None}, "name"),
    invalid({"name": None}, "name", at=PROJECT, by="PATCH"),
    invalid({"name": None}, "name", at=PROJECT, by="PUT"),
    invalid({"name": "Eve", "config": None}, "config", at=AGENTS),
    invalid({"config": None}, "config", at=AGENT, by="PATCH"),
    config({"tools": None}, 422, "INVALID_ARGUMENT", "config.tools"),
    config({"tools": ["a", None]}, 422, "INVALID_ARGUMENT", "config.tools[1]"),
    config({"memory": None}, 422, "INVALID_ARGUMENT", "config.memory"),
    config({"metadata": None}, 422, "INVALID_ARGUMENT", "config.metadata"),
    config({"system_prompt": None, "model": None}, 422, "INVALID_ARGUMENT", "config.system_prompt", "config.model"),
    invalid({"content": None}, "content", at=MESSAGE),
    invalid({"content": "Hi", "session_id": None}, "session_id", at=RUNS),
    # PUT is of the whole
    invalid({}, "name", at=PROJECT, by="PUT"),
    invalid({"workspace_path": "/"}, "name", at=PROJECT, by="PUT"),
    invalid({"config": {}}, "name", at=AGENT, by="PUT"),
    # one answer says everything; what has the wrong form comes before what is refused
    mistyped({"name": "", "config": {"model": 1, "tools": None}}, "config.model", "config.tools", at=AGENTS),
]

# Of a question that there is, its schema refuses what does not fit: see test_tools.
APPROVE, REJECT = f"{APPROVALS}/{NOWHERE}:approve", f"{APPROVALS}/{NOWHERE}:reject"
DECISIONS = [
    *(bad({}, 404, "APPROVAL_NOT_FOUND", at=at) for at in (APPROVE, REJECT, APPROVE.replace(NOWHERE, "mine"))),
    invalid({"arguments": {"command": "a\0b"}}, "arguments.command", at=APPROVE),
    invalid({"arguments": {"a\0b": 1}, "plan": {"tasks": ["\0"]}}, "arguments", "plan.tasks[0]", at=APPROVE),
    invalid({"arguments": {"command": "x" * 131_072}}, "arguments", at=APPROVE),
    invalid({"plan": {"tasks": ["x" * 524_288]}}, "plan", at=APPROVE),
    *(invalid({"scope": word}, "scope", at=APPROVE) for word in ("unspecified", "", "Once", "APPROVAL_SCOPE_RUN")),
    *(invalid({"reason": text}, "reason", at=REJECT) for text in ("", "x" * 2_001, "\0")),
    bad({"reason": "Yes."}, 400, "UNKNOWN_FIELD", "reason", at=APPROVE),
    bad({"arguments": {}}, 400, "UNKNOWN_FIELD", "arguments", at=REJECT),
    mistyped({"arguments": [], "plan": "x", "scope": 1}, "arguments", "plan", "scope", at=APPROVE),
    bad('{"arguments": {"a": NaN}}', 400, "MALFORMED_JSON", at=APPROVE),
]

BAD_BODIES = {
    "encodings": ENCODINGS,
    "syntax": SYNTAX,
    "unknown fields": UNKNOWN,
    "values": VALUES,
    "tools and policies": POLICIES,
    "decisions": DECISIONS,
    "types": TYPES,
}

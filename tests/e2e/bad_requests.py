"""Bad inputs: all but the body."""

import gzip

from tests.e2e.bad_inputs import (
    AGENTS,
    APPROVALS,
    EVENTS,
    GOOD,
    MESSAGE,
    NOWHERE,
    PROJECT,
    PROJECTS,
    RUNS,
    SESSION,
    SESSIONS,
    STREAM,
    Row,
    bad,
    get,
    head,
    headed,
    invalid,
    posted,
    raw,
)
from tests.e2e.wire import chunk, chunked, request

QUERIES = [
    *(
        get(f"{PROJECTS}?page_size={text}", 400, "WRONG_TYPE", "page_size")
        for text in ("", "x", "1.5", "5.0", "1e3", "%2B1", "0x10", "1%00", "%20", "five", "null", "--1", "%D9%A1")
    ),
    *(
        get(f"{PROJECTS}?page_size={text}", 422, "INVALID_ARGUMENT", "page_size")
        for text in ("-1", "-201", "2147483648", "-2147483649", "9" * 30, "9" * 9000)
    ),
    get(f"{RUNS}?page_size=-1&session_id=$S", 422, "INVALID_ARGUMENT", "page_size"),
    *(
        get(f"{PROJECTS}?page_token={text}", 400, "INVALID_PAGE_TOKEN", "page_token")
        for text in ("x", "%00", "%F0%9F%A6%89", "W10", "bnVsbA", "WyJhIl0", "eyJhIjoxfQ", "$T", "$T=", "a" * 5000)
    ),
    get(f"{AGENTS}?page_token=$T!", 400, "INVALID_PAGE_TOKEN", "page_token"),
    get(f"{AGENTS}?page_token=$T$T", 400, "INVALID_PAGE_TOKEN", "page_token"),
    *(
        get(f"{path}?page_token=$T", 400, "INVALID_PAGE_TOKEN", "page_token")
        for path in (SESSIONS, RUNS, f"{SESSION}/messages", f"{RUNS}/$R:events")
    ),
    *(
        get(f"{RUNS}?state={text}", 422, "INVALID_ARGUMENT", "state")
        for text in ("", "done", "RUNNING", "Running", "RUN_STATE_RUNNING", "unspecified", "running,failed", "5")
    ),
    *(get(f"{APPROVALS}?state={text}", 422, "INVALID_ARGUMENT", "state") for text in ("unspecified", "waiting")),
    get(f"{APPROVALS}/{NOWHERE}", 404, "APPROVAL_NOT_FOUND"),
    get(f"{RUNS}?state=running&state=ready&state=failed", 422, "INVALID_ARGUMENT", "state"),
    get(f"{RUNS}?{'&'.join(['state=failed'] * 21)}", 422, "INVALID_ARGUMENT", "state"),
    get(f"{RUNS}?state[]=running", 400, "UNKNOWN_FIELD", "state[]"),
    get(f"{PROJECTS}?page_size=1&page_size=1", 400, "DUPLICATE_KEY", "page_size"),
    get(f"{RUNS}?session_id=$S&session_id=$S", 400, "DUPLICATE_KEY", "session_id"),
    get(f"{PROJECTS}?pageSize=1", 400, "UNKNOWN_FIELD", "pageSize"),
    get(f"{PROJECTS}?x", 400, "UNKNOWN_FIELD", "x"),
    get(f"{PROJECTS}?=1", 400, "UNKNOWN_FIELD", ""),
    get(f"{PROJECT}?page_size=1", 400, "UNKNOWN_FIELD", "page_size"),
    get(f"{RUNS}?project_id=$P", 400, "UNKNOWN_FIELD", "project_id"),
    get(f"{PROJECTS}?page_token=%ff", 400, "MALFORMED_ENCODING", ""),
    get(f"{PROJECTS}?page_token=%ed%a0%80", 400, "MALFORMED_ENCODING", ""),
    get(f"{PROJECTS}?{'x&' * 600}", 400, "TOO_MANY_PARAMETERS", ""),
    get(f"{EVENTS}?type=nonsense", 422, "INVALID_ARGUMENT", "type[0]"),
    get(f"{EVENTS}?type=run_failed&type=", 422, "INVALID_ARGUMENT", "type[1]"),
    get(f"{EVENTS}?after={'1' * 201}", 422, "INVALID_ARGUMENT", "after"),
    get(f"{EVENTS}?after=%00", 422, "INVALID_ARGUMENT", "after"),
    get(f"{EVENTS}?since=1", 400, "UNKNOWN_FIELD", "since"),
    bad(GOOD, 400, "UNKNOWN_FIELD", "name", at=f"{PROJECTS}?name=Lab"),
    invalid(GOOD, "request_id", at=f"{PROJECTS}?request_id="),
    invalid(GOOD, "request_id", at=f"{PROJECTS}?request_id=%00"),
]

PATHS = [
    *(
        get(path, 404, "ROUTE_NOT_FOUND")
        for path in (
            "//my/projects",
            "/my//projects",
            "/my/projects//",
            f"{PROJECT}//agents",
            "/My/projects",
            "/my/projects/../projects",
            "/my%2Fprojects",
            "/%6dy/nothing",
            "/my/projects%00",
            "/my%0d%0aX:%20y",
            "/my/x",
        )
    ),
    *(
        get(path, 404, "PROJECT_NOT_FOUND")
        for path in (
            "/my/projects/x",
            "/my/projects/$P:frob",
            "/my/projects/%00",
            "/my/projects/%2e%2e",
            "/my/projects/%2F",
            "/my/projects/%252F",
            "/my/projects/$P%20",
            "/my/projects/$P%00",
            "/my/projects/%20$P",
            f"/my/projects/{NOWHERE}",
            "/my/projects/" + "a" * 8000,
            "/my/projects/{project_id}",
            "/my/projects/%F0%9F%A6%89",
            "/my/projects/$P:cancel",
            "/my/projects/..%2F$P",
        )
    ),
    *(
        get(path, 404, reason)
        for path, reason in (
            (f"{RUNS}/%00", "RUN_NOT_FOUND"),
            (f"{RUNS}/$R%00:events", "RUN_NOT_FOUND"),
            (f"{AGENTS}/%00", "AGENT_NOT_FOUND"),
            (f"{SESSIONS}/%00/messages", "SESSION_NOT_FOUND"),
            (f"{PROJECT}/chat/%00/events", "SESSION_NOT_FOUND"),
        )
    ),
    bad({"content": "Hi", "session_id": "\0"}, 404, "SESSION_NOT_FOUND", at=RUNS),
    get(f"{AGENTS}/CodeAssistant", 404, "AGENT_NOT_FOUND"),
    get(f"{SESSIONS}/$P", 404, "SESSION_NOT_FOUND"),
    get("/my/projects/%ff", 400, "MALFORMED_ENCODING"),
    get("/my/projects/%ed%a0%80", 400, "MALFORMED_ENCODING"),
    *(
        Row(request(method, path, None), 405, "METHOD_NOT_ALLOWED")
        for method, path in (
            ("PUT", PROJECTS),
            ("PATCH", PROJECTS),
            ("DELETE", PROJECTS),
            ("POST", PROJECT),
            ("PUT", SESSION),
            ("GET", MESSAGE),
            ("GET", f"{RUNS}/$R:cancel"),
            ("DELETE", f"{RUNS}/$R"),
            ("POST", "/my"),
            ("TRACE", "/my"),
            ("POST", "/health"),
            ("PROPFIND", PROJECTS),
        )
    ),
]

HEADERS = [
    *(
        headed(415, "UNSUPPORTED_MEDIA_TYPE", content_type=kind)
        for kind in (
            None,
            "",
            "text/plain",
            "text/json",
            "json",
            "application/x-ndjson",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/octet-stream",
            "application/json; charset=utf-16",
            "application/json; charset=latin-1",
            "application/json, application/json",
            "application/jsonp",
            "*/*",
        )
    ),
    headed(415, "UNSUPPORTED_MEDIA_TYPE", headers=("Content-Encoding: gzip",)),
    headed(415, "UNSUPPORTED_MEDIA_TYPE", headers=("Content-Encoding: gzip",), body=gzip.compress(GOOD)),
    headed(415, "UNSUPPORTED_MEDIA_TYPE", headers=("Content-Encoding: br, identity",)),
    headed(400, "MALFORMED_ENCODING", body=gzip.compress(GOOD)),
    *(
        get(PROJECTS, 406, "NOT_ACCEPTABLE", headers=(f"Accept: {accept}",))
        for accept in (
            "text/html",
            "application/xml, text/*",
            "application/json;q=0",
            "*/*;q=0",
            "application/json;q=x",
            "application/json;q=nan",
            "nonsense",
            ",",
            "application/json;q=0, */*;q=0",
            "\xff",
        )
    ),
    *(
        get(EVENTS, 406, "NOT_ACCEPTABLE", headers=(f"Accept: {accept}",))
        for accept in ("application/json", "text/html")
    ),
    Row(request("POST", STREAM, '{"content": "Hi"}', "Accept: application/json"), 406, "NOT_ACCEPTABLE"),
    headed(422, "INVALID_ARGUMENT", "request_id", headers=("Idempotency-Key: ",)),
    headed(422, "INVALID_ARGUMENT", "request_id", headers=(f"Idempotency-Key: {'k' * 129}",)),
    headed(400, "MALFORMED_ENCODING", headers=("Idempotency-Key: \xff",)),
    headed(400, "DUPLICATE_HEADER", headers=("Idempotency-Key: a", "Idempotency-Key: a")),
    Row(
        request("POST", MESSAGE, '{"content": "Hi", "request_id": "a"}', "Idempotency-Key: b"),
        400,
        "IDEMPOTENCY_KEY_MISMATCH",
        ("request_id",),
    ),
    Row(
        request("POST", f"{PROJECTS}?request_id=a", GOOD, "Idempotency-Key: A"),
        400,
        "IDEMPOTENCY_KEY_MISMATCH",
        ("request_id",),
    ),
    get(PROJECTS, 401, "TOKEN_INVALID", headers=("Authorization: Bearer $TOKEN",)),
    headed(400, "DUPLICATE_HEADER", headers=("Content-Type: application/json",)),
    get(EVENTS, 400, "DUPLICATE_HEADER", headers=("Last-Event-ID: 1-1", "Last-Event-ID: 1-2")),
    get(EVENTS, 422, "INVALID_ARGUMENT", "after", headers=(f"Last-Event-ID: {'1' * 201}",)),
    get(EVENTS, 400, "MALFORMED_ENCODING", headers=("Last-Event-ID: \xff",)),
]

MEGABYTE = b'{"name": "' + b"a" * (1024 * 1024) + b'"}'
SIZES = [
    Row(request("POST", PROJECTS, MEGABYTE), 413, "BODY_TOO_LARGE"),
    Row(request("POST", PROJECTS, b"", length=1024 * 1024 + 1), 413, "BODY_TOO_LARGE"),
    Row(request("POST", PROJECTS, b"", "Expect: 100-continue", length=10**15), 413, "BODY_TOO_LARGE"),
    Row(chunked("POST", PROJECTS, chunk(MEGABYTE[:65536]) * 17), 413, "BODY_TOO_LARGE"),
    Row(chunked("POST", PROJECTS, chunk(b" ") * 2000, chunk(MEGABYTE), b"0\r\n\r\n"), 413, "BODY_TOO_LARGE"),
    raw(head(start=b"GET /my?" + b"a" * 17_000 + b" HTTP/1.1"), 414, "TARGET_TOO_LONG"),
    raw(head(start=b"GET /" + b"a/" * 10_000 + b" HTTP/1.1"), 414, "TARGET_TOO_LONG"),
    raw(b"GET /" + b"a" * 1_000_000, 414, "TARGET_TOO_LONG"),
    raw(head(b"X: " + b"a" * 70_000), 431, "HEAD_TOO_LARGE"),
    raw(head(*[b"X: y"] * 15_000), 431, "HEAD_TOO_LARGE"),
    raw(b"GET /my HTTP/1.1\r\nX: " + b"a" * 1_000_000, 431, "HEAD_TOO_LARGE"),
    raw(b"GET /my HTTP/1.1\r\n" + b"X: y\r\n" * 100_000, 431, "HEAD_TOO_LARGE"),
]

WIRE = [
    raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    raw(b"hello\r\n\r\n"),
    raw(b"\0\0\0\0"),
    raw(head(start=b"get /my HTTP/1.1")),
    raw(head(start=b"GET  HTTP/1.1")),
    raw(head(start=b"GET my HTTP/1.1")),
    raw(head(start=b"GET /my HTTP/3.7")),
    raw(head(start=b"GET /my HTTX/1.1")),
    raw(head(start=b"GET /my projects HTTP/1.1")),
    raw(head(start=b"GET /my/\xc3\xa9 HTTP/1.1")),
    raw(head(start=b"GET /my/projects?page_token=\xff HTTP/1.1")),
    raw(head(start=b"GET /my/projects/\0 HTTP/1.1")),
    raw(head(start=b"CONNECT example.com:443 HTTP/1.1")),
    raw(head(b"X: a\0b")),
    raw(head(b"X: a\rY: b")),
    raw(head(b"X")),
    raw(head(b"X : y")),
    raw(head(b"X: y", b" folded")),
    raw(head(b": y")),
    raw(head(b"X(y): z")),
    raw(head().replace(b"\r\n", b"\n")),
    raw(posted(b"Content-Length: -1")),
    raw(posted(b"Content-Length: +16")),
    raw(posted(b"Content-Length: 0x10")),
    raw(posted(b"Content-Length: 16, 16")),
    raw(posted(b"Content-Length: 16", b"Content-Length: 17")),
    raw(posted(b"Content-Length: 99999999999999999999999")),
    raw(posted(b"Content-Length: 16", b"Transfer-Encoding: chunked", body=chunk(GOOD) + b"0\r\n\r\n")),
    raw(posted(b"Transfer-Encoding: gzip")),
    raw(posted(b"Transfer-Encoding: chunked, gzip", body=chunk(GOOD) + b"0\r\n\r\n")),
    raw(posted(b"Transfer-Encoding: chunked", body=b"zz\r\n" + GOOD)),
    raw(posted(b"Transfer-Encoding: chunked", body=b"3\r\n" + GOOD + b"\r\n0\r\n\r\n")),
    raw(posted(b"Transfer-Encoding: chunked", body=b"-1\r\n" + GOOD)),
    raw(posted(b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n" + GOOD)),
    raw(posted(b"Transfer-Encoding: chunked", body=chunk(GOOD) + b"0\r\nX\0: y\r\n\r\n")),
    raw(
        posted(b"Transfer-Encoding: gzip, chunked", body=chunk(gzip.compress(GOOD)) + b"0\r\n\r\n"),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    # A length that lies: too short, the body is cut in two; too long, its end is never there.
    raw(posted(b"Content-Length: 9"), 400, "MALFORMED_JSON"),
    Row(posted(b"Content-Length: 17"), 0, "", half_close=True),
    Row(posted(b"Transfer-Encoding: chunked", body=chunk(GOOD)), 0, "", half_close=True),
    Row(head(start=b"GET /my HTTP/1.1")[:-2], 0, "", half_close=True),
]

BAD_REQUESTS = {
    "queries": QUERIES,
    "paths": PATHS,
    "headers": HEADERS,
    "sizes": SIZES,
    "wire": WIRE,
}

"""What every test shares."""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# gRPC's own library would write lines of its own between the dots. Read when grpc is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

REQUIRE_ALL = os.environ.get("CODELAB_REQUIRE_ALL") == "1"
"""`make test-all`: a test that is skipped, for whatever reason, has failed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))


def _refuse_skip(report: Report) -> Report:
    # An expected failure (xfail) reports itself as skipped too, but it ran.
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason} (CODELAB_REQUIRE_ALL=1: nothing may be skipped)"
    return report

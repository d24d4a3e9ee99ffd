"""All checks, run at once and told in one order."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from services.doctor.commands import commands
from services.doctor.database import database
from services.doctor.finding import Check, Finding, Status, fail, ok, warn
from services.doctor.machine import data_folder, keys, python
from services.doctor.memory import embeddings, memory
from services.doctor.model import model
from services.doctor.queues import queues
from services.doctor.suite import gateway, ports, services, tokens
from services.doctor.workspaces import workspaces
from services.runtime.dotenv import read_dotenv
from services.runtime.errors import StartupError
from services.runtime.process import misspelt_variables
from services.runtime.settings import Settings
from services.runtime.telemetry import configure_logging
from services.terminal import Style

_CHECKS: tuple[Check, ...] = (
    python,
    data_folder,
    keys,
    database,
    ports,
    services,
    gateway,
    tokens,
    model,
    embeddings,
    memory,
    queues,
    workspaces,
    commands,
)
DEADLINE_SECONDS = 8.0


async def examine() -> list[Finding]:
    """Read the settings and look at everything that they name. Changes nothing."""
    try:
        dotenv = read_dotenv()
        settings = Settings.load(dotenv=dotenv)
    except StartupError as error:
        return [fail("settings", str(error), "correct it and ask again: the rest depends on it")]
    # What the looked-at have to say is said in the findings.
    configure_logging(settings.model_copy(update={"log_level": "error"}), "doctor")
    found = await asyncio.gather(*(_within_deadline(check, settings) for check in _CHECKS))
    return [_names(dotenv), *(finding for findings in found for finding in findings)]


def in_words(findings: Sequence[Finding], style: Style) -> str:
    """A line for each finding, how to mend it below, and a last line on all."""
    colour = {"ok": style.good, "warn": style.doubtful, "fail": style.bad}
    width = max(len(finding.what) for finding in findings)
    lines = []
    for each in findings:
        lines.append(f"{colour[each.status](f'{each.status:4}')}  {each.what:{width}}  {each.detail}")
        if each.mend:
            lines.append(f"{'':{width + 6}}  {style.dim(f'→ {each.mend}')}")
    return "\n".join([*lines, "", _summary(findings)])


def in_json(findings: Sequence[Finding]) -> str:
    """An array of `{status, what, detail, mend}`, for programs."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)


def _names(dotenv: Mapping[str, str]) -> Finding:
    if misspelt := misspelt_variables(dotenv):
        return warn("settings", f"no setting has this name: {', '.join(misspelt)}", "correct it, or unset it")
    return ok("settings", "every value can be used" + (", some from .env" if dotenv else ""))


async def _within_deadline(check: Check, settings: Settings) -> list[Finding]:
    name = getattr(check, "__name__", "check").replace("_", " ")
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await check(settings)
    except TimeoutError:
        return [fail(name, f"no answer within {DEADLINE_SECONDS:g} s", "see whether what it asks is well")]
    except Exception as error:
        # One line among the others, which may matter more. Without its words, which may hold a secret.
        return [fail(name, f"could not be looked at: {type(error).__name__}", "please report this")]


def _summary(findings: Sequence[Finding]) -> str:
    def count(status: Status, word: str) -> str:
        number = sum(1 for finding in findings if finding.status == status)
        return f"{number} {word}{'s' if number != 1 else ''}" if number else ""

    told = ", ".join(filter(None, (count("fail", "problem"), count("warn", "warning"))))
    return f"{told}: see the arrows above." if told else "All is well."

"""Lists by time in a total order, from engines that have none: they order equal times as they please."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.agents.memory.model import Memory, MemoryFilter, MemoryPosition

ByTime = Callable[[MemoryFilter, int], Awaitable[list[Memory]]]
"""Given a filter and a limit: the memories that fit, newest first, those of one time in any order."""
ById = Callable[[MemoryFilter, str | None, int], Awaitable[list[Memory]]]
"""Given a filter, an id and a limit: the memories that fit, in the order of their ids, without those up to this id."""

_MICROSECOND = timedelta(microseconds=1)
_LATEST = datetime.max.replace(tzinfo=UTC)


async def newest_first(
    by_time: ByTime, by_id: ById, filter: MemoryFilter, limit: int, after: MemoryPosition | None = None
) -> list[Memory]:
    """Return memories newest first, those of one time in the order of their ids, beginning after a position.

    The engine is asked three times at most, for `limit` memories each.
    """
    page: list[Memory] = []
    if after is not None:
        moment, last_id = after
        if limit > 0 and _covers(filter, moment):
            page = await by_id(_at(filter, moment), last_id, limit)
        filter = _before(filter, moment)
    wanted = limit - len(page)
    if wanted <= 0:
        return page
    found = sorted(await by_time(filter, wanted), key=lambda each: each.id)
    found.sort(key=lambda each: each.timestamp, reverse=True)
    if len(found) < wanted:
        return page + found
    # Of the last time there may be more than were found, and other ones come first.
    last = found[-1].timestamp
    page += [each for each in found if each.timestamp > last]
    return page + await by_id(_at(filter, last), None, limit - len(page))


def _covers(filter: MemoryFilter, moment: datetime) -> bool:
    return (filter.since is None or filter.since <= moment) and (filter.until is None or moment < filter.until)


def _at(filter: MemoryFilter, moment: datetime) -> MemoryFilter:
    # A page token may say any time, also one that nothing comes after.
    until = moment + _MICROSECOND if moment <= _LATEST - _MICROSECOND else None
    return replace(filter, since=moment, until=until)


def _before(filter: MemoryFilter, moment: datetime) -> MemoryFilter:
    return replace(filter, until=moment if filter.until is None else min(filter.until, moment))

"""Messages on their way to one reader of a call."""

import asyncio

from services.runtime.calls.flow import Inbox, weight


def inbox_of(granted: list[int], passed: list[bytes], refused: bytes = b"") -> Inbox:
    """An inbox whose messages are passed on, but for one."""

    def take(message: bytes) -> bool:
        if message != refused:
            passed.append(message)
        return message != refused

    inbox = Inbox(granted.append)
    inbox.pass_to(take)
    return inbox


async def waiting(inbox: Inbox) -> "asyncio.Future[bytes | None]":
    """Its reader, who waits."""
    reading = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    return reading


async def test_what_comes_while_the_reader_waits_is_passed_on_and_the_rest_is_read() -> None:
    passed: list[bytes] = []
    inbox = inbox_of([], passed, refused=b"c")
    inbox.put(b"a")
    assert await inbox.get() == b"a"
    reading = await waiting(inbox)
    for message in (b"b", b"c", b"d"):
        inbox.put(message)
    assert passed == [b"b"]
    assert [await reading, await inbox.get()] == [b"c", b"d"]
    reading = await waiting(inbox)
    inbox.put(b"e")
    inbox.close()
    inbox.put(b"f")
    assert await reading is None
    assert passed == [b"b", b"e"]


async def test_reader_who_was_cancelled_is_passed_nothing() -> None:
    passed: list[bytes] = []
    inbox = inbox_of([], passed)
    (await waiting(inbox)).cancel()
    inbox.put(b"a")
    assert (passed, await inbox.get()) == ([], b"a")


async def test_what_is_passed_on_makes_room_for_as_much() -> None:
    granted: list[int] = []
    passed: list[bytes] = []
    inbox = inbox_of(granted, passed)
    reading = await waiting(inbox)
    message = bytes(1000)
    for _ in range(100):
        assert not inbox.full
        inbox.put(message)
    assert len(passed) == 100
    assert 0 <= 100 * weight(message) - sum(granted) < 32 * 1024
    reading.cancel()

"""Messages on their way to one reader of a call."""

import asyncio

from services.runtime.calls.flow import WINDOW_BYTES, Inbox, Window, weight


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


async def test_writer_whose_messages_are_passed_on_still_has_to_wait_for_room() -> None:
    passed: list[bytes] = []
    window = Window()
    inbox = Inbox(window.add)
    inbox.pass_to(lambda message: passed.append(message) is None)
    read = 0

    async def reads() -> None:
        nonlocal read
        while await inbox.get() is not None:
            read += 1

    reading = asyncio.create_task(reads())
    await asyncio.sleep(0)
    message = bytes(1000)
    in_a_turn = longest = 0
    for _ in range(1000):
        in_a_turn = in_a_turn + 1 if window.has_room else 0
        longest = max(longest, in_a_turn)
        await window.room()
        window.spend(weight(message))
        inbox.put(message)
    inbox.close()
    await reading
    assert len(passed) + read == 1000
    assert passed
    assert longest <= WINDOW_BYTES // weight(message) + 1

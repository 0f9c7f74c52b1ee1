"""Answers on their way to visitors, and those that a visitor asked for and never fetches: bounded."""

import asyncio
from collections import OrderedDict
from typing import Any

from gradio.queueing import Queue
from gradio.server_messages import EventMessage, UnexpectedErrorMessage
from gradio.utils import LRUCache

MOST_UNFETCHED = 64 * 2**20
"""Bytes of answers that wait for all visitors together: some twenty of the largest, where those who listen leave none."""

DROPPED = "Too many answers were asked for and not fetched, so they were dropped: ask again."


class Answers(LRUCache[str, "Mailbox"]):
    """A mailbox for each session that gradio answers. When they hold too much, the fullest loses what it holds.

    Of more than ``most`` sessions the oldest is forgotten that waits for nothing: without the mailbox of a visitor who
    waits, gradio's queue ends as soon as it tells those in it their places, for all visitors and for good.
    """

    def __init__(self, most: int, queue: Queue) -> None:
        super().__init__(most)
        self._queue = queue

    def __setitem__(self, session: str, _: object) -> None:
        waiting = {event.session_hash for event in self._queue.event_ids_to_events.values()}
        idle = [other for other in self if other not in waiting]
        for other in idle[: max(len(self) + 1 - self.max_size, 0)]:
            del self[other]
        OrderedDict.__setitem__(self, session, Mailbox(self))  # gradio's own would forget whoever came first

    def bound(self) -> None:
        """Make room if there is too little."""
        if sum(box.size for box in self.values()) > MOST_UNFETCHED:
            max(self.values(), key=lambda box: box.size).drop()


class Mailbox(asyncio.Queue[EventMessage]):
    """The messages of a session that were not fetched yet."""

    def __init__(self, all_of_them: Answers) -> None:
        super().__init__()
        self._all = all_of_them
        self.size = 0
        """Bytes, about."""

    def put_nowait(self, message: EventMessage) -> None:
        """Add a message, if need be in the place of all before it."""
        self.size += _size(message.model_dump())
        super().put_nowait(message)
        self._all.bound()

    def get_nowait(self) -> EventMessage:
        """The oldest message; raises QueueEmpty if there is none."""
        message = super().get_nowait()
        self.size -= _size(message.model_dump())
        return message

    def drop(self) -> None:
        """Forget all messages, and leave one that says so."""
        while not self.empty():
            self.get_nowait()
        self.put_nowait(UnexpectedErrorMessage(message=DROPPED))


def _size(value: Any) -> int:
    """Bytes, about, of what JSON can say; what is not text is small."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 8

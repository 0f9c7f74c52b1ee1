"""A network is for one thread at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ExclusiveLock:
    """A lock that refuses a thread that holds it already, instead of waiting for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None
        """The thread that holds it."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock inside. Raises RuntimeError where a thread would wait for itself."""
        if self._holder == threading.get_ident():
            raise RuntimeError("this thread already holds the network: leave its `with` block before you ask again")
        with self._lock:
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = None

"""Which server a caller belongs to, and which servers answer."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from schemas.errors import Unavailable
from stores.redis.client import StoreClient

CACHED_SUBJECTS = 65_536
S = TypeVar("S")
R = TypeVar("R")


def server_mark(name: str) -> int:
    """Return the byte by which ids of jobs name a server; two servers may have the same."""
    return hashlib.sha256(name.encode()).digest()[0]


class Shards(Generic[S]):
    """One store, or all stores, of each server, in the order of REDIS_URL."""

    def __init__(self, names: Sequence[str], clients: Sequence[StoreClient], members: Sequence[S]) -> None:
        """``names`` are those of the servers: callers keep their server as long as its name stays the same."""
        self.names, self.clients, self.members = tuple(names), tuple(clients), tuple(members)
        self.rank = lru_cache(CACHED_SUBJECTS)(self._rank)

    def of_each(self, members: Sequence[R]) -> "Shards[R]":
        """Return the same servers with other stores."""
        return Shards(self.names, self.clients, members)

    def __len__(self) -> int:
        """The number of servers."""
        return len(self.members)

    def _rank(self, subject: str) -> tuple[int, ...]:
        """Return the numbers of all servers, that of the subject first (rendezvous hashing).

        A server that is added takes its part of the subjects from each of the others, and no subject changes between
        those.
        """
        if len(self.names) == 1:
            return (0,)
        weights = [hashlib.sha256(f"{name} {subject}".encode()).digest() for name in self.names]
        return tuple(sorted(range(len(weights)), key=weights.__getitem__, reverse=True))

    def home(self, subject: str) -> int:
        """Return the number of the subject's server."""
        return self.rank(subject)[0]

    def of(self, subject: str) -> S:
        """Return the subject's member."""
        return self.members[self.home(subject)]

    def is_down(self, number: int) -> bool:
        """Whether a server has not answered a moment ago."""
        return self.clients[number].availability.is_down

    def ranked(self, subject: str) -> Iterator[S]:
        """Yield the members of servers that answer, in the subject's order; all of them if none does."""
        order = self.rank(subject)
        yield from (self.members[number] for number in [n for n in order if not self.is_down(n)] or order)

    def first_that_answers(self) -> S:
        """Return the member of the first server that is not known to be down."""
        return next((self.members[n] for n in range(len(self)) if not self.is_down(n)), self.members[0])

    def try_each(self, call: Callable[[S], R], *, subject: str | None = None, home: int | None = None) -> list[R]:
        """Return the results of the servers that answer, in their order, but first that of the one that has to answer.

        That is the server of ``subject`` or, without a subject, the one with the number ``home``; without either, there
        is none.

        Raises:
            Unavailable: that server does not answer; or, if none has to, none does.
        """
        home = home if subject is None else self.home(subject)
        results: list[R] = []
        failure: Unavailable | None = None
        numbers = range(len(self))
        for number in numbers if home is None else sorted(numbers, key=lambda n: n != home):
            if number != home and self.is_down(number) and (results or number + 1 < len(self)):
                continue
            try:
                results.append(call(self.members[number]))
            except Unavailable as error:
                if number == home:
                    raise
                failure = error
        if not results and failure:
            raise failure
        return results

    def try_in_turn(self, subject: str, call: Callable[[S], R]) -> R:
        """Return the result of the first server that answers, the subject's own first; raises Unavailable."""
        failure = Unavailable("Redis does not answer.")
        for member in self.ranked(subject):
            try:
                return call(member)
            except Unavailable as error:
                failure = error
        raise failure

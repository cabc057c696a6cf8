"""Millions of webhook deliveries with their attempts, written straight into the tables for benchmarks."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from ops.bench.tools.databases.gallery_fixture import POSTGRESQL_NUMBERS, SQLITE_NUMBERS
from ops.bench.tools.databases.loading import load_postgresql

WEBHOOKS, OWNERS, FAILED_EVERY, PENDING_EVERY = 100, 50, 200, 1_000
STEP_MS = 60
BODY = """{{"type":"job.completed","timestamp":"2026-01-01T00:00:00.000Z","data":{{"jobId":"' || i || '"}}}}"""
STATE = (
    f"CASE WHEN i % {PENDING_EVERY} = 0 THEN 'pending' WHEN i % {FAILED_EVERY} = 50 THEN 'failed' ELSE 'delivered' END"
)
OWNER = f"CASE i % {OWNERS} WHEN 0 THEN 'owner' ELSE 'caller' || (i % {OWNERS}) END"
URL = f"'https://receiver-' || (i % {WEBHOOKS}) || '.example/hook'"
COLUMNS = {
    "id": "'msg_' || i",
    "owner": OWNER,
    "webhook": f"'wh_' || (i % {WEBHOOKS})",
    "job_id": "'job' || (i / 4)",
    "url": URL,
    "destination": f"{OWNER} || ' wh_' || (i % {WEBHOOKS}) || ' https://receiver-' || (i % {WEBHOOKS}) || ':443'",
    "type": "'job.completed'",
    "body": f"'{BODY}'",
    "state": STATE,
    "tries": "1",
    "created_at": "{start} + i * {step}",
    "next_at": "{start} + i * {step}",
    "finished_at": f"CASE WHEN i % {PENDING_EVERY} = 0 THEN NULL ELSE {{start}} + i * {{step}} END",
}
ATTEMPT_COLUMNS = {
    "delivery": "'msg_' || i",
    "at": "{start} + i * {step}",
    "duration_ms": "20",
    "status": "200",
    "excerpt": "''",
}
WEBHOOK_COLUMNS = {
    "id": "'wh_' || i",
    "owner": OWNER,
    "url": URL,
    "types": "'job.completed'",
    "description": "''",
    "secret": "''",
    "created_at": "0",
}


@dataclass(frozen=True, slots=True)
class DeliveryRows:
    """How many deliveries there are, the newest of them at ``now_ms``."""

    deliveries: int
    now_ms: int

    def webhook(self, number: int) -> str:
        """Return the id of a webhook of the caller ``owner``."""
        return f"wh_{number * OWNERS % WEBHOOKS}"

    def job(self, number: int) -> str:
        """Return the id of a job with a delivery of the caller ``owner``."""
        return f"job{number * OWNERS % self.deliveries // 4}"

    def created_at(self, number: int) -> int:
        """Return when a delivery was made."""
        return self._start_ms + number * STEP_MS

    @property
    def _start_ms(self) -> int:
        return self.now_ms - self.deliveries * STEP_MS

    def write(self, url: str) -> None:
        """Write all rows into the empty tables of a database."""
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                for statement in self._statements(SQLITE_NUMBERS):
                    connection.execute(statement)
                connection.commit()
            return
        load_postgresql(url, "deliver%", self._statements(POSTGRESQL_NUMBERS))

    def _statements(self, numbers: str) -> Iterator[str]:
        for table, columns, count in (
            ("webhooks", WEBHOOK_COLUMNS, min(WEBHOOKS, self.deliveries)),
            ("deliveries", COLUMNS, self.deliveries),
            ("delivery_attempts", ATTEMPT_COLUMNS, self.deliveries),
        ):
            texts = [text.format(start=self._start_ms, step=STEP_MS) for text in columns.values()]
            # Table and columns are names of this module.
            yield (
                f"{numbers.format(count - 1)} INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608
                f"SELECT {', '.join(texts)} FROM n"
            )

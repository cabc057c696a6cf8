"""Who looks after the library, and the report of what is wrong in it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, exists, func, select, update

from ops.infra.clock import Clock
from schemas.library.scan_records import FileFormat
from stores.library.index.read_model import ModelFlag
from stores.library.rows import writing
from stores.library.tables import files, leases, models, problems
from stores.sql.errors import sql_errors

LEASE_TTL_MS = 30_000
SCANNING, HASHING, SWEEPING = "scanning", "hashing", "sweeping"


@dataclass(frozen=True, slots=True)
class ReportedProblem:
    """Something wrong: ``path`` is the model file's below ``root``, ``subject`` that of the file at fault."""

    root: str
    path: bytes
    subject: bytes
    code: str
    message: str
    found_at: int


class LibraryMaintenance:
    """The library in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def acquire_lease(self, name: str, owner: str) -> bool:
        """Whether ``owner`` alone has a duty for the next LEASE_MS: to be asked again before that is over."""
        now = self._clock.now_ms()
        with writing(self._engine) as connection:
            row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
            if row is None:
                connection.execute(leases.insert().values(name=name, owner=owner, until=now + LEASE_TTL_MS))
                return True
            if row.owner != owner and row.until > now:
                return False
            again = update(leases).where(leases.c.name == name).values(owner=owner, until=now + LEASE_TTL_MS)
            connection.execute(again)
            return True

    def release_lease(self, name: str, owner: str) -> None:
        """Let others have a duty at once."""
        with writing(self._engine) as connection:
            connection.execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))

    def list_problems(self, limit: int, after_id: int = 0) -> tuple[list[ReportedProblem], int | None]:
        """What is wrong, the oldest first, and from which number on there is more."""
        query = (
            select(problems)
            .where(problems.c.id > after_id, _of_what_is_there())
            .order_by(problems.c.id)
            .limit(limit + 1)
        )
        with sql_errors(), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        kept = rows[:limit]
        found = [ReportedProblem(row.root, row.path, row.subject, row.code, row.message, row.found_at) for row in kept]
        return found, kept[-1].id if len(rows) > limit else None

    def get_counts(self) -> dict[str, int]:
        """What the library has, in figures."""
        here = files.c.missing_since.is_(None)
        questions = {
            "models": select(func.count()).select_from(models).where(models.c.files > 0),
            "files": select(func.count()).select_from(files).where(here),
            "missing": select(func.count()).select_from(files).where(~here, files.c.path.is_not(None)),
            "sizeBytes": select(func.coalesce(func.sum(files.c.size_bytes), 0)).where(here),
            "unhashed": select(func.count()).select_from(files).where(here, files.c.hashed_at.is_(None)),
            "pickles": select(func.count()).select_from(files).where(here, files.c.kind == FileFormat.PICKLE),
            "duplicates": select(func.count())
            .select_from(models)
            .where(models.c.flags.op("&")(int(ModelFlag.DUPLICATE)) != 0),
            "problems": select(func.count()).select_from(problems).where(_of_what_is_there()),
        }
        with sql_errors(), self._engine.connect() as connection:
            return {name: int(connection.execute(query).scalar_one()) for name, query in questions.items()}


def _of_what_is_there() -> Any:
    """What was wrong with files that have gone is kept, for they may come back unchanged, and not told."""
    same = (files.c.root == problems.c.root) & (files.c.path == problems.c.path)
    return ~exists().where(same, files.c.missing_since.is_not(None))

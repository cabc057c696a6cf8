"""What the triggers of the library have counted, beside a count of all rows."""

from typing import Any

from sqlalchemy import Engine, exists, func, select

from stores.library import Library
from stores.library.index.read_model import ModelFlag
from stores.library.search_tables import counts, facets, terms
from stores.library.tables import details, files, models, problems, tags


def check_counts(engine: Engine, library: Library) -> None:
    """Compare the counts of files, models, problems and values with the rows that they count."""
    with engine.connect() as connection:
        kept = connection.execute(select(counts)).one()._asdict()
        assert kept == {name: connection.execute(query).scalar_one() for name, query in _count_queries().items()}
        values = select(facets.c.kind, facets.c.key, facets.c.label, facets.c.number).where(facets.c.number != 0)
        assert sorted(map(tuple, connection.execute(values))) == sorted(
            (kind, *row) for kind, query in _facet_queries().items() for row in connection.execute(query)
        )
        if engine.dialect.name == "postgresql":
            ids = set(connection.execute(select(details.c.model_id)).scalars())
            assert set(connection.execute(select(terms.c.model_id)).scalars()) == ids
    report = library.maintenance.get_counts()
    assert (report["models"], report["sizeBytes"]) == (kept["models"], kept["size_bytes"])


def _count_queries() -> dict[str, Any]:
    present = files.c.missing_since.is_(None)
    is_unhashed, is_pickle = present & files.c.hashed_at.is_(None), present & (files.c.kind == "pickle")
    is_duplicate = models.c.flags.op("&")(int(ModelFlag.DUPLICATE)) != 0
    same_file = (files.c.root == problems.c.root) & (files.c.path == problems.c.path)
    count, size = func.count(), func.coalesce(func.sum(files.c.size_bytes), 0)
    return {
        "all_models": select(count).select_from(models),
        "models": select(count).select_from(models).where(models.c.files > 0),
        "duplicates": select(count).select_from(models).where(is_duplicate),
        "files": select(count).select_from(files).where(present),
        "missing": select(count).select_from(files).where(~present, files.c.path.is_not(None)),
        "size_bytes": select(size).where(present),
        "unhashed": select(count).select_from(files).where(is_unhashed),
        "unhashed_bytes": select(size).where(is_unhashed),
        "pickles": select(count).select_from(files).where(is_pickle),
        "problems": select(count)
        .select_from(problems)
        .where(~exists().where(same_file, files.c.missing_since.is_not(None))),
    }


def _facet_queries() -> dict[str, Any]:
    queries = {
        name: select(models.c[f"{name}_key"], models.c[name], func.count())
        .where(models.c.files > 0, models.c[f"{name}_key"].is_not(None))
        .group_by(models.c[f"{name}_key"], models.c[name])
        for name in ("category", "base_model", "type")
    }
    of_tags = select(tags.c.key, tags.c.label, func.count()).join(models, models.c.id == tags.c.model_id)
    return queries | {"tags": of_tags.where(models.c.files > 0).group_by(tags.c.key, tags.c.label)}

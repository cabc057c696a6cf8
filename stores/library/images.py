"""The pictures of models: those beside them, and those that people have given."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, delete, func, select, update

from ops.infra.clock import Clock
from schemas.errors import NotFound
from schemas.library.model_views import ImageView
from schemas.library.sanitize import strip_control_chars
from stores.library.index.read_model import rebuild_read_model
from stores.library.rows import dump_json, insert_row, writing
from stores.library.tables import images, models
from stores.sql.errors import sql_errors

IMAGE_NOT_FOUND, MODEL_NOT_FOUND = "Image not found", "Model not found"


class ModelImages:
    """The pictures in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def get(self, image_id: int) -> ImageView:
        """A picture; raises NotFound."""
        with sql_errors(), self._engine.connect() as connection:
            row = connection.execute(select(images).where(images.c.id == image_id)).one_or_none()
        if row is None:
            raise NotFound(IMAGE_NOT_FOUND)
        return image_from_row(row)

    def list_user_images(self, model_id: int) -> list[ImageView]:
        """What people have given to a model, in their order."""
        query = select(images).where(images.c.model_id == model_id, images.c.slot.is_(None))
        with sql_errors(), self._engine.connect() as connection:
            return list(map(image_from_row, connection.execute(query.order_by(images.c.sort_order, images.c.id))))

    def list_recent(self, limit: int) -> list[ImageView]:
        """What was given last, to any model."""
        query = select(images).where(images.c.slot.is_(None)).order_by(images.c.id.desc()).limit(limit)
        with sql_errors(), self._engine.connect() as connection:
            return list(map(image_from_row, connection.execute(query)))

    def add(self, model_id: int, version_id: int | None, columns: Mapping[str, Any]) -> ImageView:
        """A picture that was given; ``values`` are columns. It is the last of the model's. Raises NotFound."""
        with writing(self._engine) as connection:
            if connection.execute(select(models.c.id).where(models.c.id == model_id)).first() is None:
                raise NotFound(MODEL_NOT_FOUND)
            mine = (images.c.model_id == model_id) & images.c.slot.is_(None)
            last = connection.execute(select(func.max(images.c.sort_order)).where(mine)).scalar_one()
            order = 0 if last is None else last + 1
            kept = _columns(columns) | {"created_at": self._clock.now_ms(), "sort_order": order}
            ident = insert_row(connection, images, model_id=model_id, version_id=version_id, **kept)
            rebuild_read_model(connection, [model_id])
        return self.get(ident)

    def update(self, model_id: int, image_id: int, values: Mapping[str, Any]) -> ImageView:
        """Write down something else of a picture that was given; raises NotFound."""
        with writing(self._engine) as connection:
            changed = update(images).where(_given(model_id, image_id))
            known = select(images.c.id).where(_given(model_id, image_id))
            if connection.execute(known).one_or_none() is None:
                raise NotFound(IMAGE_NOT_FOUND)
            if values:
                connection.execute(changed.values(**_columns(values)))
            rebuild_read_model(connection, [model_id])
        return self.get(image_id)

    def delete(self, model_id: int, image_id: int) -> ImageView:
        """Forget a picture that was given; what it was, for its bytes to be deleted. Raises NotFound."""
        with writing(self._engine) as connection:
            row = connection.execute(select(images).where(_given(model_id, image_id))).one_or_none()
            if row is None:
                raise NotFound(IMAGE_NOT_FOUND)
            connection.execute(delete(images).where(images.c.id == image_id))
            rebuild_read_model(connection, [model_id])
        return image_from_row(row)

    def record_thumbnail(self, image_id: int, stamp: str, values: Mapping[str, Any]) -> None:
        """Write down what was found when a picture beside its model was looked at, if the row is of the same bytes."""
        same = (images.c.id == image_id) & (images.c.stamp == stamp)
        with writing(self._engine) as connection:
            connection.execute(update(images).where(same).values(**values))

    def list_media_keys(self) -> set[str]:
        """All objects that pictures are kept in."""
        query = select(images.c.media_key, images.c.thumb_key)
        with sql_errors(), self._engine.connect() as connection:
            return {key for row in connection.execute(query) for key in row if key}


def _given(model_id: int, image_id: int) -> Any:
    return (images.c.id == image_id) & (images.c.model_id == model_id) & images.c.slot.is_(None)


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: dump_json(value) if name == "params" else value for name, value in values.items()}
    return kept | ({"prompt": strip_control_chars(kept["prompt"])} if kept.get("prompt") else {})


def image_from_row(row: Any, prefix: str = "") -> ImageView:
    """A picture as its table kept it; ``prefix`` stands before the names of the row's columns."""

    def of(name: str) -> Any:
        return getattr(row, prefix + name)

    plain = ("id", "model_id", "version_id", "root", "path", "media_key", "thumb_key", "media_type", "width", "height")
    more = ("nsfw_level", "blurhash", "prompt", "sort_order", "created_at", "job_id")
    return ImageView(
        **{name: of(name) for name in (*plain, *more)}, given=of("slot") is None, params=json.loads(of("params"))
    )

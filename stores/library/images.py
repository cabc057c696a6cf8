"""Images of models: previews next to model files, and user images, which are in the media store."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select, update

from ops.infra.clock import Clock
from ops.infra.database import LIBRARY_LOCK_ID
from schemas.errors import NotFound
from schemas.library.model_views import ImageView
from schemas.library.sanitize import strip_control_chars
from stores.library.index.transaction import index_transaction
from stores.library.rows import dump_json, insert_row
from stores.library.tables import images, models
from stores.sql.database import Database

IMAGE_NOT_FOUND, MODEL_NOT_FOUND = "Image not found", "Model not found"


class ModelImages:
    """The images of all models."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, image_id: int) -> ImageView:
        """Return an image; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(images).where(images.c.id == image_id)).one_or_none()
        if row is None:
            raise NotFound(IMAGE_NOT_FOUND)
        return image_from_row(row)

    def list_user_images(self, model_id: int) -> list[ImageView]:
        """Return the user images of a model, in their order."""
        query = select(images).where(images.c.model_id == model_id, images.c.slot.is_(None))
        with self._database.read() as connection:
            return list(map(image_from_row, connection.execute(query.order_by(images.c.sort_order, images.c.id))))

    def list_recent(self, limit: int) -> list[ImageView]:
        """Return the user images of all models, the newest first."""
        query = select(images).where(images.c.slot.is_(None)).order_by(images.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return list(map(image_from_row, connection.execute(query)))

    def add(self, model_id: int, version_id: int | None, columns: Mapping[str, Any]) -> ImageView:
        """Append a user image to a model's images; raises NotFound."""
        with index_transaction(self._database, self._clock) as transaction:
            if transaction.execute(select(models.c.id).where(models.c.id == model_id)).first() is None:
                raise NotFound(MODEL_NOT_FOUND)
            of_model = (images.c.model_id == model_id) & images.c.slot.is_(None)
            last = transaction.execute(select(func.max(images.c.sort_order)).where(of_model)).scalar_one()
            order = 0 if last is None else last + 1
            values = _serialize(columns) | {"created_at": transaction.now_ms, "sort_order": order}
            owner = {"model_id": model_id, "version_id": version_id}
            image_id = insert_row(transaction.connection, images, **owner, **values)
            transaction.mark_changed(model_id)
        return self.get(image_id)

    def update(self, model_id: int, image_id: int, values: Mapping[str, Any]) -> ImageView:
        """Change columns of a user image; raises NotFound."""
        image = _user_image(model_id, image_id)
        with index_transaction(self._database, self._clock) as transaction:
            if transaction.execute(select(images.c.id).where(image)).one_or_none() is None:
                raise NotFound(IMAGE_NOT_FOUND)
            if values:
                transaction.execute(update(images).where(image).values(**_serialize(values)))
            transaction.mark_changed(model_id)
        return self.get(image_id)

    def delete(self, model_id: int, image_id: int) -> ImageView:
        """Delete a user image and return it; its objects in the media store are the caller's to delete.

        Raises:
            NotFound: the model has no such user image.
        """
        with index_transaction(self._database, self._clock) as transaction:
            row = transaction.execute(select(images).where(_user_image(model_id, image_id))).one_or_none()
            if row is None:
                raise NotFound(IMAGE_NOT_FOUND)
            transaction.execute(delete(images).where(images.c.id == image_id))
            transaction.mark_changed(model_id)
        return image_from_row(row)

    def record_thumbnail(self, image_id: int, stamp: str, values: Mapping[str, Any]) -> None:
        """Store what inspecting a preview image found out, unless its bytes have changed since (``stamp``)."""
        same_bytes = (images.c.id == image_id) & (images.c.stamp == stamp)
        with self._database.write_exclusively(LIBRARY_LOCK_ID) as connection:
            connection.execute(update(images).where(same_bytes).values(**values))

    def list_media_keys(self) -> set[str]:
        """Return the keys of all objects in the media store that images refer to."""
        query = select(images.c.media_key, images.c.thumb_key)
        with self._database.read() as connection:
            return {key for row in connection.execute(query) for key in row if key}


def _user_image(model_id: int, image_id: int) -> Any:
    return (images.c.id == image_id) & (images.c.model_id == model_id) & images.c.slot.is_(None)


def _serialize(values: Mapping[str, Any]) -> dict[str, Any]:
    columns = {name: dump_json(value) if name == "params" else value for name, value in values.items()}
    return columns | ({"prompt": strip_control_chars(columns["prompt"])} if columns.get("prompt") else {})


def image_from_row(row: Any, prefix: str = "") -> ImageView:
    """Convert from a row of ``library_images``; ``prefix`` precedes the names of its columns in a join."""
    names = (
        *("id", "model_id", "version_id", "root", "path", "media_key", "thumb_key", "media_type", "width", "height"),
        *("nsfw_level", "blurhash", "prompt", "sort_order", "created_at", "job_id"),
    )
    columns = {name: getattr(row, prefix + name) for name in names}
    is_user_image = getattr(row, f"{prefix}slot") is None
    return ImageView(**columns, is_user_image=is_user_image, params=json.loads(getattr(row, f"{prefix}params")))

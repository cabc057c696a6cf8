"""The description of the form of an edit: the fields of a generation as a form has them, and files."""

from typing import Any

from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, MAX_URL_LENGTH, PLAIN_TEXT, VISIBLE_TEXT
from schemas.http.webhook_url import WebhookUrlField
from schemas.jobs.job import MAX_PRIORITY, MIN_PRIORITY
from schemas.jobs.openai_requests import (
    B64_JSON,
    MAX_IMAGES,
    MAX_MODEL_LENGTH,
    MAX_PARTIAL_IMAGES,
    MAX_PICTURES,
    OUTPUT_FORMATS,
    URL,
)

FILE = {"type": "string", "format": "binary"}
EDIT_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_PROMPT_LENGTH,
            "pattern": VISIBLE_TEXT,
            "description": "What to generate, in words.",
            "example": "a lighthouse at dusk, oil painting",
        },
        "model": {
            "type": "string",
            "maxLength": MAX_MODEL_LENGTH,
            "pattern": PLAIN_TEXT,
            "description": "A site that takes pictures, or `SITE:MODEL`.",
        },
        # Generators of clients make one name of "image" and "image[]", and leave out an operation that has both.
        "image[]": {
            "type": "array",
            "items": FILE,
            "maxItems": MAX_IMAGES,
            "description": "The picture to begin with, or several for a site that has inputs for them. One alone may"
            " be called `image`.",
        },
        "mask": {**FILE, "description": "Transparent where the picture is repainted."},
        "n": {"type": "integer", "minimum": 1, "maximum": MAX_PICTURES, "description": "Number of pictures."},
        "size": {
            "type": "string",
            "pattern": "^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$",
            "description": "Width and height in pixels, such as `512x512`, or `auto`.",
        },
        "response_format": {"type": "string", "enum": [URL, B64_JSON]},
        "output_format": {"type": "string", "enum": list(OUTPUT_FORMATS)},
        "stream": {"type": "boolean"},
        "partial_images": {"type": "integer", "minimum": 0, "maximum": MAX_PARTIAL_IMAGES},
        "lora": {"type": "string", "minLength": 1, "maxLength": MAX_LORA_NAME_LENGTH, "pattern": VISIBLE_TEXT},
        "priority": {"type": "integer", "minimum": MIN_PRIORITY, "maximum": MAX_PRIORITY},
        "webhook": {"type": "string", "maxLength": MAX_URL_LENGTH, "pattern": WebhookUrlField.pattern},
    },
    "required": ["prompt"],
    "additionalProperties": {"type": "string", "description": "An input of the site, or `image`."},
}

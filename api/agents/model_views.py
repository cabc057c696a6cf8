"""Models of the library as agents get them: little enough to read, and what generate_image needs."""

from typing import Any

from schemas.library.model_views import ModelView
from schemas.library.sanitize import html_to_text

MAX_DESCRIPTION_CHARS, MAX_WORDS, MAX_TAGS = 300, 20, 10
LORA = "LoRA"


def model_uri(model_id: int) -> str:
    """Return the URI of the resource that is a model."""
    return f"darkroom://models/{model_id}"


def agent_model(model: ModelView) -> dict[str, Any]:
    """Return a model; ``lora`` is its file's name, which is never ambiguous, and only there if it is on disk."""
    metadata, stems = model.metadata, model.present_stems
    is_lora = LORA in (model.category, model.type)
    view = {
        "id": model.id,
        "name": model.name,
        "lora": stems[0] if is_lora and stems else None,
        "file": stems[0] if stems and not is_lora else None,
        "type": model.type,
        "baseModel": model.base_model,
        "trainedWords": list(metadata.trained_words)[:MAX_WORDS],
        "preferredWeight": metadata.preferred_weight,
        "tags": list(metadata.tags)[:MAX_TAGS],
        "description": html_to_text(metadata.description or "", MAX_DESCRIPTION_CHARS),
        "resource": model_uri(model.id),
    }
    return {name: value for name, value in view.items() if value not in (None, "", [])}

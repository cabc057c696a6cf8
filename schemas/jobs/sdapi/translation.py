"""Translation of a request of ``txt2img`` or ``img2img`` into a job's prompt, LoRA and inputs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.errors import Invalid
from schemas.fields import MAX_LORA_NAME_LENGTH, to_snake_case
from schemas.jobs.sdapi.prompt_loras import PromptLora, find_loras, remove_lora, takes_prompt_loras
from schemas.jobs.sdapi.requests import DEFAULTS
from schemas.jobs.sdapi.sampler_names import is_unspecified, match_choice, program_name, split_schedule
from schemas.sites.input_aliases import ClientApi, ClientField, SentField, find_input, translate
from schemas.sites.recipe import Recipe

OPTION_MODEL, OPTION_VAE, OPTION_CLIP_SKIP = "sd_model_checkpoint", "sd_vae", "CLIP_stop_at_last_layers"
AUTOMATIC1111 = ClientApi(
    title="AUTOMATIC1111",
    fields=(
        ClientField("prompt", ("prompt", "lora", "lora_weight")),
        ClientField(OPTION_MODEL, ("model", "site")),
        ClientField("negative_prompt", ("negative_prompt",)),
        ClientField("seed", ("seed",)),
        ClientField("steps", ("steps",)),
        ClientField("cfg_scale", ("guidance",)),
        ClientField("width", ("width",)),
        ClientField("height", ("height",)),
        ClientField("sampler_name", ("sampler",)),
        ClientField("sampler_index", ("sampler",)),
        ClientField("scheduler", ("scheduler",)),
        ClientField("init_images", ("image",)),
        ClientField("mask", ("mask",)),
        ClientField("denoising_strength", ("strength",)),
        ClientField("batch_size", ("count",)),
        ClientField("n_iter", ("count",)),
        ClientField("clip_skip", ("clip_skip",)),
        ClientField(OPTION_CLIP_SKIP, ("clip_skip",)),
        ClientField(OPTION_VAE, ("vae",)),
        ClientField("send_images", ("answer",)),
        ClientField("include_init_images", ("answer",)),
        ClientField("save_images", ("ignored",)),
        ClientField("styles", ("ignored",)),
        ClientField("restore_faces", ("ignored",)),
        ClientField("tiling", ("ignored",)),
        ClientField("enable_hr", ("ignored",)),
    ),
)
# This module reports fields that a site does not take; a value that it does not accept is an error.
STRICT = replace(AUTOMATIC1111, refuses_unknown=True)
PLAIN_FIELDS = ("negative_prompt", "steps", "cfg_scale", "width", "height")
# Fields that this module treats one by one, or that are about the answer.
HANDLED = frozenset({each.name for each in AUTOMATIC1111.fields} - {"restore_faces", "tiling", "enable_hr"}) | {
    "script_name",
    "script_args",
    "alwayson_scripts",
    "override_settings",
    "override_settings_restore_afterwards",
    "force_task_id",
    "infotext",
    "do_not_save_samples",
    "do_not_save_grid",
}
# Fields that would change a picture, but for which few sites have an input.
FEATURES = ("restore_faces", "tiling", "enable_hr", "styles")
# Names of recipes for inputs that other fields set.
COVERED = frozenset(name for each in AUTOMATIC1111.fields for name in each.own_names())
WHITE_SPACE = re.compile(r"\s+")
DATA_URL_PREFIX = "data:"
# The media type is a formality: the examination determines the real type.
ASSUMED_PREFIX = "data:image/png;base64,"
URL = re.compile(r"[a-z]{1,20}://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Translation:
    """A job's prompt, LoRA and inputs. ``ignored`` names fields without effect, ``pictures`` are data: URLs."""

    prompt: str
    lora: str | None
    inputs: dict[str, Any]
    pictures: tuple[str, ...] = field(default=(), repr=False)
    ignored: tuple[str, ...] = ()


def translate_generation(
    recipe: Recipe,
    body: Mapping[str, Any],
    *,
    raw: Mapping[str, Any],
    options: Mapping[str, Any],
    model: str | None,
    choices: Mapping[str, Sequence[str]],
) -> Translation:
    """Return what a request asks of a site.

    ``raw`` is the body as sent and ``body`` the validated one. ``choices`` are those of the recipe's inputs, as far as
    they are known. Fields that the site has no input for are ignored, because clients send all fields always.

    Raises:
        Invalid: the site does not accept a value, has no input for the pictures or the mask, or takes fewer LoRAs.
    """
    prompt, lora, sent = _split_loras(recipe, body["prompt"])
    ignored: list[str] = []
    sent += [SentField(name, body[name]) for name in PLAIN_FIELDS if name in body]
    if body.get("seed", -1) >= 0:
        sent.append(SentField("seed", body["seed"]))
    if model:
        sent.append(SentField(OPTION_MODEL, model, find_input(recipe, "model") or ""))
    sent += _sampler_fields(recipe, body, choices, ignored)
    sent += _option_fields(recipe, body, options, choices, ignored)
    sent += _picture_fields(recipe, body)
    sent += _own_fields(recipe, raw)
    known = [each for each in sent if _takes(recipe, each)]
    ignored += [each.name for each in sent if each not in known and each.value != DEFAULTS.get(each.name)]
    inputs = translate(STRICT, recipe, known).inputs
    pictures = tuple(map(picture_url, body.get("init_images", ())))
    return Translation(prompt, lora, inputs, pictures, tuple(dict.fromkeys(ignored + _ignored_features(recipe, body))))


def picture_url(text: str) -> str:
    """Return a picture of a request as a data: URL; links are unchanged, and refused where pictures are read."""
    if URL.match(text):
        return text
    if text[:5].lower() != DATA_URL_PREFIX:
        return ASSUMED_PREFIX + WHITE_SPACE.sub("", text)
    head, comma, content = text.partition(",")
    return head + comma + WHITE_SPACE.sub("", content)


def _takes(recipe: Recipe, sent: SentField) -> bool:
    if sent.input is not None:
        return bool(sent.input)
    known = AUTOMATIC1111.find(sent.name)
    names = known.own_names() if known else ()
    return to_snake_case(sent.name) in recipe.inputs or any(name in recipe.inputs for name in names)


def _split_loras(recipe: Recipe, prompt: str) -> tuple[str, str | None, list[SentField]]:
    """Return the prompt for the page, the LoRA of its own input for one, and that LoRA's weight."""
    loras = find_loras(prompt)
    if takes_prompt_loras(recipe):
        # The page reads LoRAs in its prompt. One goes through the site's input all the same: it knows the library.
        if len(loras) == 1 and _fits_weight(recipe, loras[0]):
            return remove_lora(prompt, loras[0]), loras[0].name, _weight_fields(recipe, loras[0])
        return prompt, None, []
    if not loras:
        return prompt, None, []
    if len(loras) > 1:
        names = ", ".join(lora.name for lora in loras)
        raise Invalid(problems=[f"prompt: {recipe.name} takes one LoRA, not several ({names})."])
    return remove_lora(prompt, loras[0]), loras[0].name, _weight_fields(recipe, loras[0])


def _fits_weight(recipe: Recipe, lora: PromptLora) -> bool:
    """Whether the site's input for the weight takes that of a LoRA."""
    name = find_input(recipe, "lora_weight")
    if name is None or lora.weight is None or len(lora.name) > MAX_LORA_NAME_LENGTH:
        return False
    try:
        recipe.validate_inputs({name: lora.weight})
    except Invalid:
        return False
    return True


def _weight_fields(recipe: Recipe, lora: PromptLora) -> list[SentField]:
    name = find_input(recipe, "lora_weight")
    return [SentField("lora_weight", lora.weight, name)] if name and lora.weight is not None else []


def _sampler_fields(
    recipe: Recipe, body: Mapping[str, Any], choices: Mapping[str, Sequence[str]], ignored: list[str]
) -> Iterator[SentField]:
    """Yield sampler and scheduler as the site spells them; clients have defaults that the site need not offer."""
    sampler, scheduler = body.get("sampler_name") or body.get("sampler_index"), body.get("scheduler")
    own_sampler, own_scheduler = find_input(recipe, "sampler"), find_input(recipe, "scheduler")
    if own_sampler and not is_unspecified(sampler):
        offered = choices.get(own_sampler, ())
        sampler, schedule = split_schedule(str(sampler), offered)
        scheduler = schedule if is_unspecified(scheduler) else scheduler
        spelled = _spell(recipe, own_sampler, sampler, offered)
        if spelled is None:
            ignored.append("sampler_name")
        else:
            yield SentField("sampler_name", spelled)
    if own_scheduler and not is_unspecified(scheduler):
        spelled = _spell(recipe, own_scheduler, str(scheduler), choices.get(own_scheduler, ()))
        if spelled is None:
            ignored.append("scheduler")
        else:
            yield SentField("scheduler", spelled)


def _spell(recipe: Recipe, name: str, value: str, offered: Sequence[str]) -> str | None:
    """Return a choice as the site spells it; None if the site does not offer it, as far as its choices are known."""
    if offered:
        return match_choice(value, offered)
    return None if recipe.inputs[name].choices_from else program_name(value)


def _option_fields(
    recipe: Recipe,
    body: Mapping[str, Any],
    options: Mapping[str, Any],
    choices: Mapping[str, Sequence[str]],
    ignored: list[str],
) -> Iterator[SentField]:
    clip_skip = body.get("clip_skip", options.get(OPTION_CLIP_SKIP))
    if clip_skip is not None and str(clip_skip) != "1":
        yield SentField(OPTION_CLIP_SKIP, clip_skip)
    vae, own_vae = options.get(OPTION_VAE), find_input(recipe, "vae")
    if vae is None or is_unspecified(str(vae)):
        return
    spelled = _spell(recipe, own_vae, str(vae), choices.get(own_vae, ())) if own_vae else None
    if spelled is None:
        ignored.append(OPTION_VAE)
    else:
        yield SentField(OPTION_VAE, spelled)


def _picture_fields(recipe: Recipe, body: Mapping[str, Any]) -> Iterator[SentField]:
    """Yield the first picture, the mask and the strength; a site must take what makes another picture without it."""
    if not body.get("init_images"):
        return
    if find_input(recipe, "image") is None:
        raise Invalid(problems=[f"init_images: {recipe.name} takes no picture; choose another sd_model_checkpoint."])
    yield SentField("init_images", picture_url(body["init_images"][0]))
    if body.get("mask"):
        if find_input(recipe, "mask") is None:
            raise Invalid(problems=[f"mask: {recipe.name} takes no mask."])
        if body.get("inpainting_mask_invert") and "inpainting_mask_invert" not in recipe.inputs:
            raise Invalid(problems=[f"inpainting_mask_invert: {recipe.name} cannot do that; send the mask inverted."])
        yield SentField("mask", picture_url(body["mask"]))
    if "denoising_strength" in body:
        yield SentField("denoising_strength", body["denoising_strength"])


def _own_fields(recipe: Recipe, raw: Mapping[str, Any]) -> Iterator[SentField]:
    """Yield fields that are inputs of the recipe by their own name."""
    for name, value in raw.items():
        is_free = name not in HANDLED and to_snake_case(name) in recipe.inputs.keys() - COVERED
        if is_free and value is not None and value != DEFAULTS.get(name):
            yield SentField(name, value)


def _ignored_features(recipe: Recipe, body: Mapping[str, Any]) -> list[str]:
    features = [
        name for name in ("restore_faces", "tiling", "enable_hr") if body.get(name) and name not in recipe.inputs
    ]
    return features + (["styles"] if body.get("styles") else [])

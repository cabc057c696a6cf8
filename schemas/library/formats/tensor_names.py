"""Determines the type and the base model of a file from the names and shapes of its tensors.

Used if neither the header nor a sidecar states them. Only what a network cannot lack is compared, and only what
distinguishes it from its relatives: networks that share their tensors (Wan 2.1 and 2.2) have the name of their family.
"""

import re
from collections.abc import Mapping, Sequence

from schemas.library.formats import base_models
from schemas.library.formats.safetensors import Tensor

MAX_NAMES = 20_000
# Civitai's types.
LORA, CHECKPOINT, CONTROLNET, VAE, EMBEDDING = "LORA", "Checkpoint", "Controlnet", "VAE", "TextualInversion"
# Civitai has no type for text encoders; this is the name of their category.
TEXT_ENCODER = "Text Encoder"
_ADAPTER = re.compile(
    r"[._](?:lora_(?:up|down|A|B|mid)(?:\.\w+)?\.weight|lora_(?:up|down|A|B)|hada_w[12]_[ab]|lokr_w[12](?:_[ab])?"
    r"|dora_scale|oft_blocks|oft_diag|boft_\w+|processor\.to_\w+_lora\.\w+\.weight)$",
    re.ASCII,
)
_UNET_BLOCK = re.compile(r"(?:input|output|middle|down|up|mid)_blocks?[._]", re.ASCII)
_CROSS_ATTENTION_KEY = re.compile(r"attn2[._]to_k(?:\.weight|\.lora_(?:down|A)(?:\.default)?(?:\.weight)?)$", re.ASCII)
_CONTEXT_WIDTHS: Mapping[int, str] = {
    768: base_models.SD1,
    1024: base_models.SD2,
    1280: base_models.SDXL_REFINER,
    2048: base_models.SDXL,
}
_CONTAINERS = ("model.diffusion_model.", "diffusion_model.", "transformer.", "net.", "model.")
_FLUX2_WIDTHS: Mapping[int, str] = {
    6144: base_models.FLUX2_DEV,
    4096: base_models.FLUX2_KLEIN_9B,
    3072: base_models.FLUX2_KLEIN_4B,
}
_JOINT_BLOCK = re.compile(r"joint_blocks\.(\d{1,3})\.", re.ASCII)
_TEXT_ENCODER = re.compile(
    r"(?:encoder\.block\.0\.layer\.0\.SelfAttention\.q|(?:text_model\.)?encoder\.layers\.0\.self_attn\.q_proj"
    r"|(?:model\.|language_model\.){0,3}layers\.0\.self_attn\.q_proj|transformer\.resblocks\.0\.attn\.in_proj_)",
    re.ASCII,
)
VAE_CONTAINER = "first_stage_model."
_VAE_PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "model_ema.", "loss.")
_EMBEDDINGS = ({"emb_params"}, {"clip_g", "clip_l"}, {"clip_l"}, {"string_to_param.*"})


def find_type(tensors: Mapping[str, Tensor]) -> str | None:
    """Return Civitai's type of a file with these tensors, or ``TEXT_ENCODER``; None if they do not tell."""
    names = list(tensors)[:MAX_NAMES]
    if any(_ADAPTER.search(name) for name in names):
        return LORA
    if set(names) in _EMBEDDINGS:
        return EMBEDDING
    if any(name.startswith(("control_model.", "controlnet_")) or "input_hint_block." in name for name in names):
        return CONTROLNET
    return CHECKPOINT if _is_checkpoint(tensors, names) else _find_component_type(names)


def _is_checkpoint(tensors: Mapping[str, Tensor], names: Sequence[str]) -> bool:
    bare = (_strip_container(name) for name in names)
    return bool(_find_transformer(tensors)) or any(_UNET_BLOCK.match(name) and "attn2" in name for name in bare)


def _find_component_type(names: Sequence[str]) -> str | None:
    """Return the type of a part of a checkpoint that has its own file."""
    if any(_TEXT_ENCODER.match(name) for name in names) and not any("vision" in name for name in names):
        return TEXT_ENCODER
    bare = [name.removeprefix(VAE_CONTAINER) for name in names]
    if "decoder.conv_out.weight" in bare and all(name.startswith(_VAE_PARTS) for name in bare):
        return VAE
    return None


def find_base_model(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the base model of a file with these tensors; None if they do not tell."""
    return _find_transformer(tensors) or _find_unet(tensors)


def _find_unet(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the base model of a U-Net, or of an adapter for one, by the width of the text that it attends to."""
    names = list(tensors)[:MAX_NAMES]
    if any("time_stack" in name or "temporal" in name for name in names):
        return None
    if any(name.endswith("encoder_hid_proj.weight") for name in names):
        return base_models.KOLORS
    for name in names:
        if _CROSS_ATTENTION_KEY.search(name) and _UNET_BLOCK.search(name) and len(tensors[name].shape) >= 2:
            return _CONTEXT_WIDTHS.get(tensors[name].shape[1])
    return None


def _find_transformer(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the base model of a whole transformer, by tensors that only it has."""
    bare = {_strip_container(name): tensor for name, tensor in list(tensors.items())[:MAX_NAMES]}
    return _find_flux(bare) or _find_stable_diffusion_3(bare) or _find_hunyuan(bare) or _find_other_transformer(bare)


def _find_flux(bare: Mapping[str, Tensor]) -> str | None:
    if "double_stream_modulation_img.lin.weight" in bare:
        return _FLUX2_WIDTHS.get(_size(bare, "double_stream_modulation_img.lin.weight", 1))
    if "double_blocks.0.img_attn.norm.key_norm.scale" not in bare and "double_blocks.0.img_attn.qkv.weight" not in bare:
        return None
    if any(name.startswith("distilled_guidance_layer.") for name in bare):
        return base_models.CHROMA
    if "vector_in.in_layer.weight" not in bare or any("individual_token_refiner" in name for name in bare):
        return None
    if _size(bare, "img_in.weight", 1) == 384:
        return base_models.FLUX1_FILL
    return base_models.FLUX1_DEV if "guidance_in.in_layer.weight" in bare else base_models.FLUX1_SCHNELL


def _find_stable_diffusion_3(bare: Mapping[str, Tensor]) -> str | None:
    blocks = {int(match[1]) for name in bare if (match := _JOINT_BLOCK.match(name))}
    if "joint_blocks.0.x_block.attn.qkv.weight" not in bare:
        return None
    if "joint_blocks.0.x_block.attn2.qkv.weight" in bare:
        return base_models.SD35_MEDIUM
    return {24: base_models.SD3, 38: base_models.SD35_LARGE}.get(len(blocks))


def _find_hunyuan(bare: Mapping[str, Tensor]) -> str | None:
    if (
        not any(name.startswith("txt_in.individual_token_refiner.") for name in bare)
        or "vision_in.proj.0.weight" in bare
    ):
        return None
    rank = len(bare["img_in.proj.weight"].shape) if "img_in.proj.weight" in bare else 0
    return {4: base_models.HUNYUAN_IMAGE, 5: base_models.HUNYUAN_VIDEO}.get(rank)


def _find_other_transformer(bare: Mapping[str, Tensor]) -> str | None:
    if "double_layers.0.attn.w1q.weight" in bare:
        return base_models.AURAFLOW
    if "caption_projection.0.linear.weight" in bare:
        return base_models.HIDREAM
    if "cap_embedder.1.weight" in bare:
        widths = {2304: base_models.LUMINA, 3840: base_models.ZIMAGE}
        return widths.get(_size(bare, "cap_embedder.1.weight", 0))
    if "txt_norm.weight" in bare and "transformer_blocks.0.attn.add_q_proj.weight" in bare:
        return base_models.QWEN
    if "blocks.0.cross_attn.k.weight" in bare and "patch_embedding.weight" in bare:
        return base_models.WAN_22_5B if _size(bare, "patch_embedding.weight", 1) == 48 else base_models.WAN
    return None


def _size(bare: Mapping[str, Tensor], name: str, dimension: int) -> int:
    shape = bare[name].shape if name in bare else ()
    return shape[dimension] if len(shape) > dimension else 0


def _strip_container(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in _CONTAINERS if name.startswith(prefix)), name)

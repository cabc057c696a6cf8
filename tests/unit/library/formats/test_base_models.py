"""Base models: by the spellings of trainers, by the checkpoint that was trained on, and by tensors."""

import pytest

from schemas.library.formats import base_models, tensor_names
from schemas.library.formats.safetensors import Tensor
from schemas.library.formats.training_metadata import parse_training_metadata


@pytest.mark.parametrize(
    ("spelling", "base_model"),
    [
        ("sd_v1", "SD 1.5"),
        ("sd_1.5", "SD 1.5"),
        ("sd1", "SD 1.5"),
        ("stable-diffusion-v1/lora", "SD 1.5"),
        ("STABLE_DIFFUSION_15", "SD 1.5"),
        ("sd-1", "SD 1.5"),
        ("runwayml/stable-diffusion-v1-5", "SD 1.5"),
        ("sd_v2_v", "SD 2.1"),
        ("STABLE_DIFFUSION_21", "SD 2.1"),
        ("stable-diffusion-v2-768-v/lora", "SD 2.1"),
        ("sdxl_base_v1-0", "SDXL 1.0"),
        ("sdxl_1.0", "SDXL 1.0"),
        ("STABLE_DIFFUSION_XL_10_BASE", "SDXL 1.0"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "SDXL 1.0"),
        ("sdxl-refiner", "SDXL Refiner"),
        ("stable-diffusion-xl-v1-base/lora", "SDXL 1.0"),
        ("stable-diffusion-xl-v1-refiner/lora", "SDXL Refiner"),
        ("sdxl_turbo", "SDXL Turbo"),
        ("sdxl_lightning", "SDXL Lightning"),
        ("pony", "Pony"),
        ("illustrious", "Illustrious"),
        ("noobai", "NoobAI"),
        ("sd3_m", "SD 3"),
        ("stable-diffusion-3-medium/lora", "SD 3"),
        ("stable-diffusion-3.5-large/lora", "SD 3.5 Large"),
        ("sd3.5_large", "SD 3.5 Large"),
        ("sd3.5m", "SD 3.5 Medium"),
        ("STABLE_DIFFUSION_35", "SD 3.5"),
        ("stabilityai/stable-diffusion-3.5-large-turbo", "SD 3.5 Large Turbo"),
        ("pony_v7", "Pony V7"),
        ("flux1", "Flux.1 D"),
        ("flux-1-dev/lora", "Flux.1 D"),
        ("Flux.1-dev/lora", "Flux.1 D"),
        ("black-forest-labs/FLUX.1-dev", "Flux.1 D"),
        ("flux.1", "Flux.1 D"),
        ("FLUX_DEV_1", "Flux.1 D"),
        ("FLUX_FILL_DEV_1", "Flux.1 Fill"),
        ("flux_schnell", "Flux.1 S"),
        ("flux-1-schnell/lora", "Flux.1 S"),
        ("flux-1-kontext-dev/lora", "Flux.1 Kontext"),
        ("flux_kontext", "Flux.1 Kontext"),
        ("flux-1-krea-dev/lora", "Flux.1 Krea"),
        ("flux_fill", "Flux.1 Fill"),
        ("flux2", "Flux.2 D"),
        ("flux-2-dev/lora", "Flux.2 D"),
        ("Flux.2-dev/lora", "Flux.2 D"),
        ("flux2_klein_9b", "Flux.2 Klein 9B"),
        ("flux_2_klein_4b", "Flux.2 Klein 4B"),
        ("chroma", "Chroma"),
        ("qwen_image", "Qwen"),
        ("qwen-image-edit/lora", "Qwen Image Edit"),
        ("qwen_image_edit_plus", "Qwen Image Edit"),
        ("QWEN", "Qwen"),
        ("qwen-image-2512", "Qwen"),
        ("qwen_image_edit_plus:2511", "Qwen Image Edit"),
        ("hunyuan_video", "Hunyuan Video"),
        ("hunyuan-image-2.1", "Hunyuan Image 2.1"),
        ("hunyuandit", "Hunyuan 1"),
        ("hidream_i1_dev", "HiDream"),
        ("hunyuan_video_1_5", "Hunyuan Video 1.5"),
        ("hunyuan_image_2_1", "Hunyuan Image 2.1"),
        ("wan", "Wan Video"),
        ("wan2.1", "Wan Video"),
        ("wan21:1b", "Wan Video 1.3B t2v"),
        ("wan21_i2v:14b480p", "Wan Video 14B i2v 480p"),
        ("Wan2.1-T2V-14B", "Wan Video 14B t2v"),
        ("wan22_14b:t2v", "Wan Video 2.2 T2V-A14B"),
        ("wan2.2", "Wan Video 2.2"),
        ("wan22_14b", "Wan Video 2.2 T2V-A14B"),
        ("wan22_14b_i2v", "Wan Video 2.2 I2V-A14B"),
        ("wan22_5b", "Wan Video 2.2 TI2V-5B"),
        ("z_image", "ZImageBase"),
        ("zimage:turbo", "ZImageTurbo"),
        ("lumina-2", "Lumina"),
        ("lumina2", "Lumina"),
        ("aura_flow", "AuraFlow"),
        ("kolors", "Kolors"),
    ],
)
def test_spellings_of_trainers_have_base_models(spelling: str, base_model: str) -> None:
    """Case and punctuation do not matter, and both keys of the header are read."""
    for key in ("modelspec.architecture", "ss_base_model_version"):
        for text in (spelling, spelling.upper(), spelling.replace("_", "-"), spelling.replace("_", " ")):
            assert parse_training_metadata({key: text}).base_model == base_model


@pytest.mark.parametrize(
    ("spelling", "shown"),
    [
        ("wanderer", "wanderer"),
        ("flux3", "flux3"),
        ("flux-3-dev/lora", "flux-3-dev"),
        ("sd4", "sd4"),
        ("wan3.0", "wan3.0"),
        ("qwen3_image", "qwen3_image"),
        ("sdxl2", "sdxl2"),
        ("stable-diffusion-3.9-huge/lora", "stable-diffusion-3.9-huge"),
        ("hunyuan_video_2", "hunyuan_video_2"),
        ("/lora", None),
        ("  ", None),
    ],
)
def test_unknown_spellings_show_themselves(spelling: str, shown: str | None) -> None:
    """They are never taken for the model whose name they begin with."""
    assert parse_training_metadata({"modelspec.architecture": spelling}).base_model == shown


def test_no_spelling_stands_for_two_base_models() -> None:
    """Punctuation does not matter; each base model is also a spelling of itself."""
    owners: dict[str, str] = {}
    for base_model, spellings in base_models.SPELLINGS.items():
        assert base_models.find_base_model(base_model) == base_model
        for spelling in (base_model, *spellings):
            key = "".join(filter(str.isalnum, spelling.lower()))
            assert owners.setdefault(key, base_model) == base_model


@pytest.mark.parametrize(
    ("architecture", "checkpoint", "base_model"),
    [
        ("sdxl_base_v1-0", "ponyDiffusionV6XL.safetensors", "Pony"),
        ("stable-diffusion-xl-v1-base/lora", "Illustrious-XL-v0.1.safetensors", "Illustrious"),
        ("sdxl_base_v1-0", "noobaiXLNAIXL_vPred10Version.safetensors", "NoobAI"),
        ("sdxl_base_v1-0", "sd_xl_turbo_1.0.safetensors", "SDXL Turbo"),
        ("sdxl_base_v1-0", "ponytail_mix.safetensors", "SDXL 1.0"),
        ("sdxl_base_v1-0", "sd_xl_base_1.0.safetensors", "SDXL 1.0"),
        ("flux1", "flux1-schnell.safetensors", "Flux.1 S"),
        ("flux1", "flux1-krea-dev_fp8.safetensors", "Flux.1 Krea"),
        ("flux1", "flux1-dev-kontext.safetensors", "Flux.1 Kontext"),
        ("flux1", "flux1-dev.safetensors", "Flux.1 D"),
        ("sd_v1", "ponyDiffusion.safetensors", "SD 1.5"),
    ],
)
def test_the_checkpoint_distinguishes_descendants(architecture: str, checkpoint: str, base_model: str) -> None:
    """Trainers write only the family."""
    metadata = {"ss_base_model_version": architecture, "ss_sd_model_name": checkpoint}
    assert parse_training_metadata(metadata).base_model == base_model


def make_tensors(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Return tensors of these shapes; "__" in a name stands for "."."""
    return {name.replace("__", "."): Tensor("F16", shape, 0, 0) for name, shape in shapes.items()}


UNET_LORA = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k__lora_down__weight"
UNET = "model__diffusion_model__input_blocks__4__1__transformer_blocks__0__attn2__to_k__weight"
FLUX = "double_blocks__0__img_attn__qkv__weight"
FLUX2 = "double_stream_modulation_img__lin__weight"
SD3 = {f"joint_blocks__{index}__x_block__attn__qkv__weight": (4, 4) for index in range(24)}


@pytest.mark.parametrize(
    ("shapes", "base_model"),
    [
        ({UNET_LORA: (16, 768)}, "SD 1.5"),
        ({UNET_LORA: (16, 1024)}, "SD 2.1"),
        ({UNET_LORA: (16, 2048)}, "SDXL 1.0"),
        ({UNET: (640, 1280)}, "SDXL Refiner"),
        ({UNET: (640, 2048)}, "SDXL 1.0"),
        ({UNET: (640, 2048), "encoder_hid_proj__weight": (4096, 4096)}, "Kolors"),
        ({UNET: (320, 1024), "model__time_stack__weight": (1,)}, None),
        ({UNET_LORA: (16, 555)}, None),
        ({"transformer_blocks__0__attn2__to_k__weight": (2048, 2048)}, None),
        ({FLUX: (1, 1), "vector_in__in_layer__weight": (1, 1), "guidance_in__in_layer__weight": (1, 1)}, "Flux.1 D"),
        ({FLUX: (1, 1), "vector_in__in_layer__weight": (1, 1)}, "Flux.1 S"),
        ({FLUX: (1, 1), "vector_in__in_layer__weight": (1, 1), "img_in__weight": (3072, 384)}, "Flux.1 Fill"),
        ({FLUX: (1, 1), "distilled_guidance_layer__in_proj__weight": (1, 1)}, "Chroma"),
        ({FLUX: (1, 1), FLUX2: (36864, 6144)}, "Flux.2 D"),
        ({f"model__diffusion_model__{FLUX2}": (1, 4096)}, "Flux.2 Klein 9B"),
        (SD3, "SD 3"),
        (SD3 | {"joint_blocks__0__x_block__attn2__qkv__weight": (4, 4)}, "SD 3.5 Medium"),
        ({"double_layers__0__attn__w1q__weight": (1, 1)}, "AuraFlow"),
        ({"cap_embedder__1__weight": (2304, 2304)}, "Lumina"),
        ({"cap_embedder__1__weight": (3840, 2560)}, "ZImageBase"),
        ({"blocks__0__cross_attn__k__weight": (1, 1), "patch_embedding__weight": (1, 16, 1, 2, 2)}, "Wan Video"),
        ({"a": (1,)}, None),
        ({}, None),
    ],
)
def test_tensors_tell_the_base_model(shapes: dict[str, tuple[int, ...]], base_model: str | None) -> None:
    """Tensors that several base models share give the name of their family, or none."""
    assert tensor_names.find_base_model(make_tensors(**shapes)) == base_model


@pytest.mark.parametrize(
    ("shapes", "type_"),
    [
        ({UNET_LORA: (16, 768)}, "LORA"),
        ({"lora_te_text_model_encoder_layers_0_mlp_fc1__lora_up__weight": (1, 1)}, "LORA"),
        ({"transformer__single_blocks__0__linear1__lora_A__weight": (1, 1)}, "LORA"),
        ({"lora_unet_mid_block_attentions_0_proj_in__hada_w1_a": (1, 1)}, "LORA"),
        ({"lora_unet_mid_block_attentions_0_proj_in__lokr_w1": (1, 1)}, "LORA"),
        ({"emb_params": (4, 768)}, "TextualInversion"),
        ({"clip_g": (4, 1280), "clip_l": (4, 768)}, "TextualInversion"),
        ({UNET: (640, 2048)}, "Checkpoint"),
        ({FLUX: (1, 1), FLUX2: (36864, 6144)}, "Checkpoint"),
        ({"control_model__input_hint_block__0__weight": (1, 1)}, "Controlnet"),
        ({"encoder__conv_in__weight": (1, 1), "decoder__conv_out__weight": (1, 1)}, "VAE"),
        ({"a": (1,)}, None),
        ({}, None),
    ],
)
def test_tensors_tell_the_type(shapes: dict[str, tuple[int, ...]], type_: str | None) -> None:
    """Types have Civitai's names."""
    assert tensor_names.find_type(make_tensors(**shapes)) == type_


@pytest.mark.parametrize(
    "frequencies",
    [
        '{"10_x": {"1girl": 90, "solo": 80, "looking at viewer": 70}}',
        '{"10_inkstyle": {"1girl": 9, "solo": 9, "inkstyle": 9}}',
    ],
)
def test_frequent_tags_are_no_trigger_words(frequencies: str) -> None:
    """The most frequent tags of a training are those of all pictures; a phrase or class token is one."""
    assert parse_training_metadata({"ss_tag_frequency": frequencies}).trigger_words == ()
    phrase = {"ss_tag_frequency": frequencies, "modelspec.trigger_phrase": "inkstyle"}
    assert parse_training_metadata(phrase).trigger_words == ("inkstyle",)
    datasets = '[{"subsets": [{"class_tokens": "inkstyle"}]}]'
    assert parse_training_metadata({"ss_datasets": datasets}).trigger_words == ("inkstyle",)

"""Categories from types and folders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.library import categories
from schemas.library.categories import Category


@pytest.mark.parametrize(
    ("path", "category", "subcategory"),
    [
        ("loras/a.safetensors", "LoRA", None),
        ("loras/sdxl/a.safetensors", "LoRA", "sdxl"),
        ("LORA/sdxl/style/a.safetensors", "LoRA", "sdxl"),
        ("LyCORIS/a.safetensors", "LoRA", None),
        ("checkpoints/a.ckpt", "Checkpoint", None),
        ("Stable-diffusion/xl/a.safetensors", "Checkpoint", "xl"),
        ("StableDiffusion/a.safetensors", "Checkpoint", None),
        ("stable_diffusion/a.safetensors", "Checkpoint", None),
        ("diffusion_models/flux/a.gguf", "Diffusion Model", "flux"),
        ("unet/a.gguf", "Diffusion Model", None),
        ("vae/a.pt", "VAE", None),
        ("ControlNet/a.pth", "ControlNet", None),
        ("embeddings/a.pt", "Embedding", None),
        ("upscale_models/a.pth", "Upscaler", None),
        ("ESRGAN/a.pth", "Upscaler", None),
        ("clip/a.safetensors", "Text Encoder", None),
        ("text_encoders/a.safetensors", "Text Encoder", None),
        ("hypernetworks/a.pt", "Hypernetwork", None),
        ("My Things/new/a.safetensors", "My Things", "new"),
        ("sdxl/lora/a.safetensors", "LoRA", None),
        ("sdxl/main/a.safetensors", "Checkpoint", None),
        ("sd-1/main/foo/a.safetensors", "Checkpoint", "foo"),
        ("photos/main/a.safetensors", "photos", "main"),
        ("9f583d2f-deab-4f43-aa68-8a4e356fc753/a.safetensors", "Other", None),
        ("any/t5_encoder/a.safetensors", "Text Encoder", None),
        ("any/clip_embed/a.safetensors", "Text Encoder", None),
        ("any/spandrel_image_to_image/a.pth", "Upscaler", None),
        ("TextualInversion/a.pt", "Embedding", None),
        ("SwinIR/a.pth", "Upscaler", None),
        ("extensions/sd-webui-controlnet/models/a.pth", "ControlNet", "models"),
        ("vae_approx/a.pt", "vae_approx", None),
        ("clip_vision/a.safetensors", "clip_vision", None),
        ("models/Lora/style/a.safetensors", "LoRA", "style"),
        ("sdxl/main/foo/model.safetensors", "Checkpoint", "foo"),
        ("a.safetensors", "Other", None),
        ("./loras//a.safetensors", "LoRA", None),
        ("", "Other", None),
    ],
)
def test_folders_determine_the_category(path: str, category: str, subcategory: str | None) -> None:
    """A file's own name is never a subcategory."""
    assert categories.categorize(path) == Category(category, subcategory)


@pytest.mark.parametrize(
    ("category", "type_"),
    [
        ("LoRA", "LORA"),
        ("Checkpoint", "Checkpoint"),
        ("Diffusion Model", "Checkpoint"),
        ("Embedding", "TextualInversion"),
        ("ControlNet", "Controlnet"),
        ("Text Encoder", "Other"),
        ("My Things", "Other"),
    ],
)
def test_categories_have_a_civitai_type(category: str, type_: str) -> None:
    """Unknown categories are "Other"."""
    assert categories.civitai_type(category) == type_


@pytest.mark.parametrize(
    ("path", "type_", "category", "subcategory"),
    [
        ("a.safetensors", "LORA", "LoRA", None),
        ("style/a.safetensors", "LoCon", "LoRA", "style"),
        ("9f583d2f-deab-4f43-aa68-8a4e356fc753/a.safetensors", "DoRA", "LoRA", None),
        ("checkpoints/ink/a.safetensors", "LORA", "LoRA", "ink"),
        ("loras/sdxl/a.safetensors", "Checkpoint", "Checkpoint", "sdxl"),
        ("a.safetensors", "Checkpoint", "Checkpoint", None),
        ("a.safetensors", "Controlnet", "ControlNet", None),
        ("a.safetensors", "Workflows", "Other", None),
        ("loras/a.safetensors", "Workflows", "LoRA", None),
        ("unet/a.safetensors", "Checkpoint", "Diffusion Model", None),
        ("vae/a.pt", "Checkpoint", "VAE", None),
        ("clip/a.safetensors", "Checkpoint", "Text Encoder", None),
    ],
)
def test_the_type_determines_the_category_before_the_folder(
    path: str, type_: str, category: str, subcategory: str | None
) -> None:
    """A catalogue lists the VAE and the text encoder of a checkpoint under its type; these folders say more."""
    assert categories.categorize(path, type_) == Category(category, subcategory)


@pytest.mark.parametrize(
    ("root", "category"),
    [
        ("/srv/webui/models/Lora", "LoRA"),
        ("/srv/loras/sdxl/", "LoRA"),
        ("/srv/Data/Models/StableDiffusion", "Checkpoint"),
        ("/home/vae/models", None),
        ("/home/lora/ai/models", None),
        ("/", None),
    ],
)
def test_the_name_of_the_root_is_the_last_to_say_something(root: str, category: str | None) -> None:
    """The folders in it come before it, and are subcategories if they are no categories."""
    assert categories.categorize("a.safetensors", None, root) == Category(category or "Other")
    assert categories.categorize("vae/a.safetensors", None, root) == Category("VAE")
    expected = Category(category, "style") if category else Category("style")
    assert categories.categorize("style/a.safetensors", None, root) == expected


@given(st.text(max_size=200), st.none() | st.text(max_size=20), st.text(max_size=50))
def test_any_path_has_a_category(path: str, type_: str | None, root: str) -> None:
    """Whatever its type and its root are called."""
    assert categories.categorize(path, type_, root).name

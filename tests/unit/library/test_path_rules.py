"""Category, epoch and title from paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.library import path_rules
from schemas.library.path_rules import Category


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
        ("models/Lora/style/a.safetensors", "LoRA", "style"),
        ("sdxl/main/foo/text_encoder/model.safetensors", "Text Encoder", None),
        ("a.safetensors", "Other", None),
        ("./loras//a.safetensors", "LoRA", None),
        ("", "Other", None),
    ],
)
def test_folders_determine_the_category(path: str, category: str, subcategory: str | None) -> None:
    """A file's own name is never a subcategory."""
    assert path_rules.categorize(path) == Category(category, subcategory)


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
    assert path_rules.civitai_type(category) == type_


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("ink-e10", ("ink", 10)),
        ("ink-E3", ("ink", 3)),
        ("ink_epoch_10", ("ink", 10)),
        ("ink-epoch-4", ("ink", 4)),
        ("ink-000010", ("ink", 10)),
        ("my-ink-v2-000004", ("my-ink-v2", 4)),
        ("ink", None),
        ("ink-240115", None),
        ("ink-10", None),
        ("-e10", None),
        ("-000010", None),
        ("ink-e", None),
        ("epoch_10", None),
        ("ink-e\u0663", None),
        ("", None),
    ],
)
def test_epochs_are_parsed(stem: str, expected: tuple[str, int] | None) -> None:
    """Dates and versions are not epochs."""
    assert path_rules.parse_epoch(stem) == expected


@pytest.mark.parametrize(
    ("stem", "title"),
    [
        ("figma-mid_7984-vid_9413", "figma"),
        ("my_ink__style", "my ink style"),
        ("ink-v2.1", "ink-v2.1"),
        ("___", "___"),
        ("a\nb\u202egpj", "a bgpj"),
        ("-mid_1-vid_2", "-mid_1-vid_2"),
    ],
)
def test_titles_are_readable(stem: str, title: str) -> None:
    """They are one line and never empty."""
    assert path_rules.title_from_stem(stem) == title


@given(st.text(max_size=200))
def test_any_name_has_a_category_and_a_title(name: str) -> None:
    """An empty name has no title."""
    assert path_rules.categorize(name).name
    assert bool(path_rules.title_from_stem(name)) is bool(name)
    path_rules.parse_epoch(name)


@pytest.mark.parametrize(
    ("path", "type_", "category", "subcategory"),
    [
        ("a.safetensors", "LORA", "LoRA", None),
        ("style/a.safetensors", "LoCon", "LoRA", "style"),
        ("9f583d2f-deab/a.safetensors", "DoRA", "LoRA", "9f583d2f-deab"),
        ("a.safetensors", "Checkpoint", "Checkpoint", None),
        ("a.safetensors", "Controlnet", "ControlNet", None),
        ("a.safetensors", "Workflows", "Other", None),
        ("unet/a.safetensors", "Checkpoint", "Diffusion Model", None),
    ],
)
def test_the_type_determines_the_category_where_no_folder_does(
    path: str, type_: str, category: str, subcategory: str | None
) -> None:
    """As in a library whose root is the folder of LoRAs."""
    assert path_rules.categorize(path, type_) == Category(category, subcategory)

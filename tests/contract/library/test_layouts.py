"""What a model is in the folders of various programs, in SQLite and PostgreSQL."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from stores.library import Library, tables
from tests.conftest import FakeClock
from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import write_safetensors, write_tensors
from workers.library.scanner.scan import Scan, ScanScope
from workers.library.scanner.walk import FolderWalk

# Names and shapes of tensors by which networks are recognized.
LORA = {"lora_unet_mid_block_proj_in.lora_up.weight": (1, 1)}
UNET = {"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (1, 2048)}
CHECKPOINT = {"model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (1, 2048)}
VAE = {"encoder.conv_in.weight": (1, 1), "decoder.conv_out.weight": (1, 1)}
CLIP = {"text_model.encoder.layers.0.self_attn.q_proj.weight": (1, 1)}
T5 = {"encoder.block.0.layer.0.SelfAttention.q.weight": (1, 1)}
CONTROLNET = {"controlnet_cond_embedding.conv_in.weight": (1, 1)}
EMBEDDING = {"clip_g": (1, 1280), "clip_l": (1, 768)}
UNKNOWN = {"w": (1,)}
INVOKEAI_ID = "9f583d2f-deab-4f43-aa68-8a4e356fc753"

# The roots of each program, with the path, the tensors and the expected category of each file.
LAYOUTS: Mapping[str, Mapping[str, tuple[Mapping[str, tuple[int, ...]], str]]] = {
    "ComfyUI with extra paths": {
        "models/checkpoints/sdxl/base.safetensors": (CHECKPOINT, "Checkpoint"),
        "models/diffusion_models/flux.safetensors": (UNET, "Diffusion Model"),
        "models/loras/ink.safetensors": (LORA, "LoRA"),
        "models/loras/odd.safetensors": (UNKNOWN, "LoRA"),
        "models/text_encoders/t5.safetensors": (T5, "Text Encoder"),
        "models/embeddings/bad.safetensors": (EMBEDDING, "Embedding"),
        "models/upscale_models/4x.safetensors": (UNKNOWN, "Upscaler"),
        "extra/loras/wash.safetensors": (UNKNOWN, "LoRA"),
        "extra/downloads/neon.safetensors": (LORA, "LoRA"),
    },
    "AUTOMATIC1111": {
        "models/Stable-diffusion/base.safetensors": (CHECKPOINT, "Checkpoint"),
        "models/Stable-diffusion/misplaced.safetensors": (LORA, "LoRA"),
        "models/Lora/style/ink.safetensors": (UNKNOWN, "LoRA"),
        "models/VAE/soft.safetensors": (VAE, "VAE"),
        "models/ControlNet/canny.safetensors": (CONTROLNET, "ControlNet"),
        "models/ESRGAN/4x.safetensors": (UNKNOWN, "Upscaler"),
        "embeddings/bad.safetensors": (EMBEDDING, "Embedding"),
        "extensions/sd-webui-controlnet/models/depth.safetensors": (UNKNOWN, "ControlNet"),
    },
    "Forge": {
        "models/Stable-diffusion/flux.safetensors": (UNET, "Checkpoint"),
        "models/text_encoder/clip.safetensors": (CLIP, "Text Encoder"),
        "models/VAE/ae.safetensors": (VAE, "VAE"),
        "models/Lora/ink.safetensors": (LORA, "LoRA"),
    },
    "InvokeAI": {
        "models/sdxl/main/base.safetensors": (UNKNOWN, "Checkpoint"),
        "models/sdxl/lora/ink.safetensors": (UNKNOWN, "LoRA"),
        "models/sdxl/vae/soft.safetensors": (VAE, "VAE"),
        "models/any/t5_encoder/t5.safetensors": (UNKNOWN, "Text Encoder"),
        "models/sd-1/embedding/bad.safetensors": (UNKNOWN, "Embedding"),
        f"models/{INVOKEAI_ID}/neon.safetensors": (LORA, "LoRA"),
    },
    "SwarmUI": {
        "Models/Stable-Diffusion/base.safetensors": (CHECKPOINT, "Checkpoint"),
        "Models/diffusion_models/flux.safetensors": (UNET, "Diffusion Model"),
        "Models/Lora/ink.safetensors": (UNKNOWN, "LoRA"),
        "Models/Embeddings/bad.safetensors": (UNKNOWN, "Embedding"),
        "Models/clip/clip.safetensors": (UNKNOWN, "Text Encoder"),
    },
    "Fooocus": {
        "models/checkpoints/juggernaut.safetensors": (CHECKPOINT, "Checkpoint"),
        "models/loras/offset.safetensors": (LORA, "LoRA"),
        "models/embeddings/bad.safetensors": (UNKNOWN, "Embedding"),
        "models/vae_approx/xl.safetensors": (UNKNOWN, "vae_approx"),
        "models/upscale_models/up.safetensors": (UNKNOWN, "Upscaler"),
    },
    "Stability Matrix": {
        "Data/Models/StableDiffusion/base.safetensors": (UNKNOWN, "Checkpoint"),
        "Data/Models/Lora/ink.safetensors": (UNKNOWN, "LoRA"),
        "Data/Models/LyCORIS/wash.safetensors": (UNKNOWN, "LoRA"),
        "Data/Models/DiffusionModels/flux.safetensors": (UNKNOWN, "Diffusion Model"),
        "Data/Models/TextEncoders/t5.safetensors": (UNKNOWN, "Text Encoder"),
        "Data/Models/TextualInversion/bad.safetensors": (UNKNOWN, "Embedding"),
        "Data/Models/SwinIR/4x.safetensors": (UNKNOWN, "Upscaler"),
    },
    "a folder of LoRAs": {
        "Lora/ink.safetensors": (LORA, "LoRA"),
        "Lora/odd.safetensors": (UNKNOWN, "LoRA"),
        "Lora/style/wash.safetensors": (UNKNOWN, "LoRA"),
        "Lora/base.safetensors": (CHECKPOINT, "Checkpoint"),
    },
}
# The folders that MODELS_DIR names, where it is not the whole.
ROOTS: Mapping[str, Sequence[str]] = {
    "ComfyUI with extra paths": ("models", "extra"),
    "InvokeAI": ("models",),
    "SwarmUI": ("Models",),
    "Fooocus": ("models",),
    "Stability Matrix": ("Data/Models",),
    "a folder of LoRAs": ("Lora",),
}


@pytest.mark.parametrize("program", LAYOUTS)
def test_categories_are_right_in_the_folders_of_a_program(
    program: str, engine: Engine, clock: FakeClock, tmp_path: Path
) -> None:
    """Whichever of its folders MODELS_DIR names."""
    for path, (tensors, _) in LAYOUTS[program].items():
        write_tensors(tmp_path / path, tensors, seed=path)
    roots = [tmp_path / root for root in ROOTS.get(program, (".",))]
    library = Library.from_engine(engine, clock)
    Scan(library.scan_writer, roots).run([ScanScope(root) for root in roots])
    columns = (tables.files.c.root, tables.files.c.path, tables.models.c.category)
    joined = tables.files.join(tables.versions).join(tables.models)
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).select_from(joined)).all()
    found = {str((Path(row.root) / row.path.decode()).relative_to(tmp_path)): row.category for row in rows}
    assert found == {path: category for path, (_, category) in LAYOUTS[program].items()}


def test_a_lora_is_recognized_in_any_folder(library: IndexedFolder) -> None:
    """Tensors, header or sidecar identify it; a sidecar can name the kind, but not exclude it."""
    write_tensors(library.folder / "ink.safetensors", LORA, seed="ink")
    write_tensors(library.folder / "style/wash.safetensors", LORA, seed="wash")
    write_tensors(library.folder / "kind.safetensors", LORA, seed="kind")
    write_tensors(library.folder / "wrong.safetensors", LORA, seed="wrong")
    headers = {
        "kohya": {"ss_network_module": "networks.lora"},
        "lycoris": {"ss_network_module": "lycoris.kohya"},
        "spec": {"modelspec.architecture": "flux-1-dev/lora"},
        "peft": {"lora_adapter_metadata": "{}"},
    }
    for name, metadata in headers.items():
        write_safetensors(library.folder / f"{name}.safetensors", data=name.encode(), metadata=metadata)
    for name, type_ in {"named": "LoCon", "kind": "DoRA", "wrong": "Checkpoint"}.items():
        if name == "named":
            write_safetensors(library.folder / f"{name}.safetensors", data=b"named")
        sidecar = library.folder / f"{name}.civitai.info"
        sidecar.write_text(json.dumps({"model": {"name": name, "type": type_}}))
    other = {"modelspec.architecture": "stable-diffusion-xl-v1-base/textual-inversion"}
    write_safetensors(library.folder / "embedding.safetensors", data=b"embedding", metadata=other)
    lllite = {"ss_network_module": "networks.control_net_lllite"}
    write_safetensors(library.folder / "lllite.safetensors", data=b"lllite", metadata=lllite)
    library.scan()
    loras = ["ink", "kind", "kohya", "lycoris", "named", "peft", "spec", "wash", "wrong"]
    assert library.names("category:lora") == loras
    assert library.names("type:lora") == [name for name in loras if name not in ("named", "kind")]
    assert (library.names("type:dora"), library.names("type:locon")) == (["kind"], ["named"])
    assert library.names("subcategory:style") == ["wash"]
    assert (library.names("category:embedding"), library.names("category:controlnet")) == (["embedding"], ["lllite"])


def write_diffusers_folder(folder: Path, *, index: bool = True, text_encoder: str = "same") -> None:
    """Write a diffusers folder of SDXL, whose denoiser has two shards."""
    for shard in (1, 2):
        path = folder / "unet" / f"diffusion_pytorch_model-0000{shard}-of-00002.safetensors"
        write_tensors(path, UNET if shard == 1 else UNKNOWN, seed=f"{folder.name} {shard}")
    write_tensors(folder / "vae" / "diffusion_pytorch_model.safetensors", VAE, seed="same")
    write_tensors(folder / "text_encoder" / "model.safetensors", CLIP, seed=text_encoder)
    if index:
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("place", ["diffusers/foo", "sdxl/main/foo", "foo"])
def test_a_diffusers_folder_is_one_model(library: IndexedFolder, place: str, *, index: bool) -> None:
    """It has the name of the folder and all files; parts that are equal in two models do not join the models."""
    write_diffusers_folder(library.folder / place, index=index)
    write_diffusers_folder((library.folder / place).with_name("bar"), index=index)
    library.scan()
    library.hash()
    library.scan(full=True)
    assert library.names() == library.names("category:checkpoint base:sdxl type:checkpoint") == ["bar", "foo"]
    for model in library.stores.models.get_many(library.ids(), with_versions=True):
        [version] = model.versions
        assert sorted((file.header.get("part"), file.header.get("shard")) for file in version.files) == [
            ("text_encoder", None),
            ("unet", "1/2"),
            ("unet", "2/2"),
            ("vae", None),
        ] or pytest.fail(str(version.files))


def test_folders_of_another_program_are_no_diffusers_folder(library: IndexedFolder) -> None:
    """ComfyUI and Forge have folders of the same names; a list of parts beside them changes nothing."""
    for path in ("unet/flux", "vae/ae", "text_encoder/t5"):
        write_safetensors(library.folder / f"{path}.safetensors", data=path.encode())
    (library.folder / "model_index.json").write_text("{}")
    library.scan()
    assert library.names() == ["ae", "flux", "t5"]
    assert library.names("category:vae") == ["ae"]


def test_a_moved_diffusers_folder_stays_one_model(library: IndexedFolder) -> None:
    """Renamed, or copied elsewhere and deleted, which changes all inodes and times."""
    write_diffusers_folder(library.folder / "foo")
    library.scan()
    library.hash()
    [model_id] = library.ids()
    library.write_edit(model_id, "notes", "mine")
    (library.folder / "foo").rename(library.folder / "renamed")
    library.scan()
    library.hash()
    assert (library.ids(), library.edits()) == ([model_id], {model_id: "mine"})
    shutil.copytree(library.folder / "renamed", library.folder / "copied", copy_function=shutil.copyfile)
    shutil.rmtree(library.folder / "renamed")
    library.scan()
    library.hash()
    library.scan(full=True)
    assert (library.ids(), library.edits()) == ([model_id], {model_id: "mine"})
    assert library.names() == ["copied"]
    [model] = library.stores.models.get_many([model_id], with_versions=True)
    assert [len(version.files) for version in model.versions] == [4]


def test_parts_that_were_models_become_one(library: IndexedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of an earlier release has each file as a model, and equal parts of two folders as one."""
    for name in ("foo", "bar"):
        write_diffusers_folder(library.folder / name)
    run = FolderWalk.run
    with monkeypatch.context() as patch:
        patch.setattr(
            FolderWalk, "run", lambda self, *subfolder: (replace(file, part=None) for file in run(self, *subfolder))
        )
        library.scan()
        library.hash()
    assert len(library.ids()) == 6
    library.scan(full=True)
    assert library.names() == library.names("base:sdxl category:checkpoint") == ["bar", "foo"]
    assert library.scan(full=True).read == 8
    assert library.names() == ["bar", "foo"]


def test_a_part_is_recognized_by_a_scan_of_its_folder_alone(library: IndexedFolder) -> None:
    """As after a change in it; a change of the list of parts reads the parts again."""
    write_diffusers_folder(library.folder / "foo")
    library.scan(subfolder=b"foo/vae")
    library.scan(subfolder=b"foo/unet")
    assert library.names() == ["foo"]
    library.scan()
    (library.folder / "foo" / "model_index.json").write_text('{"_name_or_path": "stabilityai/sdxl-turbo"}')
    assert library.scan(subfolder=b"foo").read == 4


def test_shards_are_one_model(library: IndexedFolder) -> None:
    """They have the name without numbers, and the category of the first."""
    for number in (1, 2, 3):
        path = library.folder / "text_encoders" / f"qwen-0000{number}-of-00003.safetensors"
        write_tensors(path, T5 if number == 1 else UNKNOWN, seed=f"{number}")
    write_safetensors(library.folder / "text_encoders" / "qwen.safetensors", data=b"whole")
    library.scan()
    library.hash()
    assert library.names() == ["qwen", "qwen"]
    assert sorted(len(version.files) for version in _versions(library)) == [1, 3]


def test_files_with_general_names_have_that_of_their_folder(library: IndexedFolder) -> None:
    """As they lie in folders of InvokeAI and in the cache of the Hugging Face hub; folders of a category have none."""
    revision = "462165984030d82259a11f4367a4eed129e94a7b"
    paths = {
        "controlnet/canny/diffusion_pytorch_model": "canny",
        f"hub/models--nerijs--pixel-art-xl/snapshots/{revision}/pytorch_lora_weights": "pixel-art-xl",
        "loras/ink/adapter_model": "ink",
        "loras/pytorch_lora_weights": "pytorch lora weights",
        "embedding/cat-toy/learned_embeds": "cat-toy",
    }
    for path in paths:
        write_safetensors(library.folder / f"{path}.safetensors", data=path.encode())
    library.scan()
    assert sorted(library.names()) == sorted(paths.values())


def _versions(library: IndexedFolder) -> list[object]:
    models = library.stores.models.get_many(library.ids(), with_versions=True)
    return [version for model in models for version in model.versions]

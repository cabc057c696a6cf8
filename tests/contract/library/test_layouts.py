"""What a model is in the folders of various programs, in SQLite and PostgreSQL."""

import json

from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import write_safetensors


def test_a_lora_is_one_wherever_it_lies(library: IndexedFolder) -> None:
    """By its tensors or by its sidecar, if no folder says what it is."""
    tensor = {"dtype": "U8", "shape": [1, 1], "data_offsets": [4, 5]}
    key = "lora_unet_mid_block_proj_in.lora_up.weight"
    for name in ("ink", "style/wash"):
        path = write_safetensors(
            library.folder / f"{name}.safetensors", data=name[:4].encode().ljust(4), **{key: tensor}
        )
        path.write_bytes(path.read_bytes() + b"x")
    write_safetensors(library.folder / "named.safetensors", data=b"named")
    (library.folder / "named.civitai.info").write_text(json.dumps({"id": 1, "model": {"name": "N", "type": "LoCon"}}))
    library.scan()
    assert library.names("category:lora") == ["ink", "N", "wash"]
    assert library.names("type:lora") == ["ink", "wash"]
    assert library.names("subcategory:style") == ["wash"]

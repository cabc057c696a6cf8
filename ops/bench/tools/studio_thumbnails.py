"""Regenerate the thumbnails of the studio's styles with a running Darkroom.

``python -m ops.bench.tools.studio_thumbnails [STYLE ...]``, after a change to the studio's renderer.
"""

import io
import re
import sys

import httpx
from PIL import Image

from ops.infra.settings import SHIPPED_RECIPES, load_settings
from ops.processes.instance_file import read_instance
from stores.accounts.owner_key import OwnerKey

FOLDER = SHIPPED_RECIPES / "studio" / "styles"
GENERATED_SIDE, SIDE = 384, 192
MAX_BYTES = 15_000
QUALITIES = (82, 78, 72, 64, 56, 48)
SUBJECTS = {
    "Aurora": "a cabin by a mountain lake",
    "Autochrome": "a woman with an umbrella in a flower garden",
    "Blueprint": "a castle with towers on a hill",
    "Charcoal": "a ship on the sea under clouds, dramatic, golden hour",
    "Contour Lines": "mountain lake",
    "Cross-hatch": "a windmill and village",
    "Cyanotype": "fern garden with flowers and a house, morning",
    "Film Noir": "a street at night, a man with an umbrella in the rain",
    "Flow Field": "starry night over a village with cypress",
    "Fresco": "ruins on a hill with cypress, morning",
    "Gouache": "a village by the harbour with boats, morning",
    "Halftone": "a red rocket in space with a planet",
    "Ink Wash": "misty mountains, a pine and a lone boat",
    "Linocut": "a fox in the forest at dusk",
    "Low Poly": "mountain lake at sunset with a deer",
    "Mosaic": "an orange fish in a coral reef",
    "Neon Night": "a city at night in the rain",
    "Oil Impasto": "a lighthouse at dusk",
    "Pastel": "lavender field at sunset with a tree",
    "Pointillism": "a meadow of poppies with trees in summer",
    "Polaroid": "a red car on a desert road at noon",
    "Risograph": "a hot air balloon over hills at noon",
    "Sepia Tintype": "a steam train in a valley with mountains",
    "Stained Glass": "a castle on a hill with a tree at sunset",
    "Tapestry": "a white unicorn in a garden of flowers, summer noon",
    "Ukiyo-e": "mount fuji over the sea with a boat, sunset",
    "Vaporwave": "palm beach at sunset",
    "Watercolour Wash": "venice canal with a bridge and boats, golden hour",
}


def main(styles: list[str]) -> int:
    """Regenerate the thumbnails of ``styles``, or of all styles."""
    settings = load_settings()
    instance = read_instance(settings.data_dir)
    if instance is None:
        sys.stderr.write("Start Darkroom first: ./darkroom up\n")
        return 2
    headers = {"x-api-key": OwnerKey.from_settings(settings).read()}
    with httpx.Client(base_url=instance.url, headers=headers, timeout=60, trust_env=False) as client:
        for style in styles or SUBJECTS:
            slug = re.sub(r"[^a-z0-9]+", "-", style.lower())
            (FOLDER / f"{slug}.webp").write_bytes(_compress(_generate(client, style)))
    return 0


def _generate(client: httpx.Client, style: str) -> bytes:
    inputs = {"width": GENERATED_SIDE, "height": GENERATED_SIDE, "steps": 20}
    job = client.post("/api/v1/jobs", json={"prompt": SUBJECTS[style], "lora": style, "inputs": inputs}).json()
    while job["status"] not in ("COMPLETED", "FAILED"):
        job = client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 30, "since": job["seq"]}).json()
    return client.get(f"/api/v1/jobs/{job['id']}/result").raise_for_status().content


def _compress(data: bytes) -> bytes:
    """Return a WebP of the highest quality that fits into MAX_BYTES."""
    with Image.open(io.BytesIO(data)) as image:
        small = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        out = io.BytesIO()
        small.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= MAX_BYTES:
            break
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Draw the pictures of the console in the README again: ``python -m ops.bench.tools.console_pictures``.

It starts a temporary Darkroom, makes pictures in the Make section, and photographs the page.
"""

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from ops.bench.tools.console_browser import READY, open_browser, open_page
from ops.infra.settings import ROOT
from ops.testbed.stack import run_stack

FOLDER = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1440, 900
ANIMATION_WIDTH, FRAME_MS, LAST_FRAME_MS = 900, 350, 3000
MAX_FRAMES = 60
TIMEOUT_MS = 90_000
EARLIER = (
    "a village in the snow under northern lights",
    "a fox in a birch forest, woodcut",
    "a castle above the sea at dawn",
    "misty mountains, a pine and a lone boat, ink wash",
    "a city at night in the rain, neon",
)
PROMPT = "a lighthouse at dusk, oil painting"


def main() -> None:
    """Draw ``console.png`` and ``console-previews.webp``."""
    with run_stack("web", "worker", "background", "clock") as stack, open_browser() as browser:
        size = {"width": WIDTH, "height": HEIGHT}
        page = open_page(browser, stack, viewport=size, color_scheme="dark")
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"{stack.settings.public_url}/console/make")
        page.wait_for_selector(READY, state="attached")
        for seed, prompt in enumerate(EARLIER, 3):
            _submit(page, prompt, seed, steps=16)
            page.wait_for_selector("#state.is-good")
        _submit(page, PROMPT, 7, steps=30)
        frames = _watch(page)
        page.wait_for_timeout(500)
        _write_picture(page.screenshot(), FOLDER / "console.png")
        _write_animation([*frames, page.screenshot()], FOLDER / "console-previews.webp")


def _submit(page: Page, prompt: str, seed: int, *, steps: int) -> None:
    page.fill("#prompt", prompt)
    page.fill("#input-seed", str(seed))
    page.fill("#input-steps", str(steps))
    address = page.url
    page.keyboard.press("Control+Enter")
    page.wait_for_url(lambda url: url != address)
    page.wait_for_selector("#state:not(.is-good)")
    page.locator("#prompt").evaluate("element => { element.blur(); scrollTo(0, 0); }")


def _watch(page: Page) -> list[bytes]:
    """Return a photograph of each moment until the picture is finished."""
    frames: list[bytes] = []
    page.wait_for_selector("#frame img.is-preview")
    while len(frames) < MAX_FRAMES and not page.locator("#state.is-good").count():
        frames.append(page.screenshot())
        page.wait_for_timeout(FRAME_MS)
    return frames


def _write_picture(photograph: bytes, file: Path) -> None:
    with Image.open(io.BytesIO(photograph)) as image:
        # 256 colours: a third of the bytes.
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(file, optimize=True)


def _write_animation(photographs: list[bytes], file: Path) -> None:
    frames = []
    for photograph in photographs:
        with Image.open(io.BytesIO(photograph)) as image:
            height = round(image.height * ANIMATION_WIDTH / image.width)
            frames.append(image.convert("RGB").resize((ANIMATION_WIDTH, height), Image.Resampling.LANCZOS))
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=60, method=4)


if __name__ == "__main__":
    main()

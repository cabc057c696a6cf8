"""``./darkroom sites try --image`` gives a page a picture."""

from pathlib import Path

from tests.integration.sites.test_recipe_tools import run_sites_command
from tests.support.image_pages import image_page_recipe, serve_image_page
from tests.support.images import draw_image, encode
from tests.support.recipe_files import write_recipe

PHOTO = encode(draw_image((96, 64)), "PNG")


def test_try_gives_the_page_a_picture(tmp_path: Path) -> None:
    """The result is what the page made of it; a wrong name and a file that is no picture are explained."""
    (tmp_path / "photo.png").write_bytes(PHOTO)
    (tmp_path / "words.txt").write_text("no picture")
    with serve_image_page() as url:
        recipe = image_page_recipe(url, {"image": "init", "selectors": ["#init"]})
        write_recipe(tmp_path / "pictures.toml", recipe)
        done = run_sites_command(tmp_path, "try", "pictures", "a wall", "--image", "init=photo.png", "-o", "out.png")
    unknown = run_sites_command(tmp_path, "try", "pictures", "a wall", "--image", "face=photo.png")
    wrong = run_sites_command(tmp_path, "try", "pictures", "a wall", "--image", "init=words.txt")

    assert done[0] == 0, done[1]
    assert (tmp_path / "out.png").read_bytes() == PHOTO + b"!"
    assert "the image inputs of pictures are: init, mask" in unknown[1]
    assert "words.txt: The file is not a picture" in wrong[1]
    assert (unknown[0], wrong[0]) == (2, 2)

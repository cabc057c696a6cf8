"""Pictures for image inputs, from files that a command names."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import Invalid, ResultRefused
from schemas.fields import to_camel_case, to_snake_case
from schemas.images.input_images import InputFile, InputImage
from schemas.sites.recipe import Recipe
from workers.images import convert


def read_image_files(recipe: Recipe, pairs: Sequence[str]) -> dict[str, InputFile]:
    """Return the pictures of ``NAME=FILE`` pairs by the names of the recipe's image inputs.

    Raises:
        Invalid: a pair is malformed, there is no such input, or the file is no picture.
    """
    files = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if to_snake_case(name) not in recipe.image_inputs:
            accepted = ", ".join(to_camel_case(known) for known in recipe.image_inputs) or "none"
            raise Invalid(problems=[f"--image {name}: the image inputs of {recipe.name} are: {accepted}."])
        try:
            image = convert.identify(Path(path).read_bytes())
        except OSError as error:
            raise Invalid(problems=[f"--image {name}: {path} cannot be read: {error.strerror}."]) from error
        except ResultRefused as error:
            raise Invalid(
                problems=[f"--image {name}: {path}: {error.message.removeprefix('From the site: ')}"]
            ) from error
        digest = hashlib.sha256(image.data).hexdigest()
        described = InputImage(image.media_type, image.width, image.height, len(image.data), digest)
        files[to_snake_case(name)] = InputFile.of(described, image.data)
    return files

"""File names of sidecars, previews and civitdl."""

import pytest

from schemas.images import formats
from schemas.library.metadata import Source
from schemas.library.model_views import VIDEO_EXTENSIONS
from schemas.library.sidecars import (
    PREVIEW_EXTENSIONS,
    LocalFile,
    civitdl,
    find_previews,
    find_sidecars,
    parse_civitdl_ids,
)


def test_sidecars_are_found_by_suffix() -> None:
    """Upper and lower case are equal; files of other models are left out."""
    names = [
        "ink.safetensors",
        "ink.JSON",
        "ink.civitai.info",
        "ink.Metadata.json",
        "ink.cm-info.json",
        "ink.api_info.json",
        "ink2.json",
        "ink.txt",
        "ink.yaml.json",
        "ink",
    ]
    assert find_sidecars("ink", names) == [
        ("ink.civitai.info", Source.CIVITAI_INFO),
        ("ink.Metadata.json", Source.LORA_MANAGER),
        ("ink.cm-info.json", Source.STABILITY_MATRIX),
        ("ink.api_info.json", Source.API_INFO),
        ("ink.JSON", Source.A1111),
    ]


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Foo7", "foo7.civitai.info"),
        ("bar7", "BAR7.CIVITAI.INFO"),
        ("\u00e97", "e\u03017.civitai.info"),
        ("e\u03017", "\u00e97.civitai.info"),
        ("\uac007", "\u1100\u11617.civitai.info"),
        ("\u00c97", "e\u03017.civitai.info"),
    ],
)
def test_names_are_compared_without_case_and_normal_form(stem: str, name: str) -> None:
    """Archives, shares and macOS change both."""
    assert find_sidecars(stem, [name, "x" + name]) == [(name, Source.CIVITAI_INFO)]
    preview = name[: -len(".civitai.info")] + ".PNG"
    assert find_previews(stem, [preview, "x.png"]) == [preview]


def test_names_are_not_patterns() -> None:
    """Special characters are literal."""
    assert find_sidecars("a[1].*", ["a[1].*.json", "a1.b.json"]) == [("a[1].*.json", Source.A1111)]
    assert find_sidecars("v1.5", ["v1.5.json", "v1.json"]) == [("v1.5.json", Source.A1111)]


def test_the_best_preview_comes_first() -> None:
    """Files named ".preview" come before others of the same time."""
    names = ["ink.gif", "ink.png", "ink.PREVIEW.webp", "ink.preview.jpeg", "ink.preview.mp4", "ink.mp4", "link.png"]
    assert find_previews("ink", names) == [
        *("ink.preview.jpeg", "ink.PREVIEW.webp", "ink.preview.mp4", "ink.png", "ink.gif", "ink.mp4")
    ]
    assert find_previews("ink", []) == []


@pytest.mark.parametrize(
    ("stem", "ids"),
    [
        ("figma-mid_7984-vid_9413", (7984, 9413)),
        ("a-mid_1-vid_2-mid_3-vid_4", (3, 4)),
        ("-mid_1-vid_2", (1, 2)),
        ("figma-mid_7984", None),
        ("figma-mid_x-vid_y", None),
        ("figma-mid_1-vid_" + "9" * 30, None),
        ("figma-mid_\u0661-vid_2", None),
        ("", None),
    ],
)
def test_civitdl_ids_are_parsed(stem: str, ids: tuple[int, int] | None) -> None:
    """The last ids in a name count."""
    assert parse_civitdl_ids(stem) == ids


def test_civitdl_names_its_folder_by_ids() -> None:
    """The file in the folder is named by ids too."""
    assert civitdl.folder_name(9413) == "extra_data-vid_9413"
    assert civitdl.model_dict_name(7984, 9413) == "model_dict-mid_7984-vid_9413.json"


def test_civitdl_images_are_paired_with_json_files() -> None:
    """JSON files may have current or older names; other files are left out."""
    names = [
        "3.PNG",
        "1.jpeg",
        "1.json",
        "2.webp",
        "2-prompt.json",
        "3.image.json",
        "4.gif",
        ".png",
        "5.mp4",
        "5.json",
        "model_dict-mid_1-vid_2.json",
    ]
    assert civitdl.find_images(names) == [
        ("1.jpeg", "1.json"),
        ("2.webp", "2-prompt.json"),
        ("3.PNG", "3.image.json"),
        ("4.gif", None),
    ]


def test_a_local_file_knows_its_civitai_name() -> None:
    """The downloader civitdl keeps it in the file name."""
    ours = LocalFile("figma-mid_7984-vid_9413.safetensors")
    assert (ours.civitai_name, ours.civitai_version_id, ours.stem) == (
        "figma.safetensors",
        9413,
        "figma-mid_7984-vid_9413",
    )
    other = LocalFile("figma.v2.safetensors", known_version_id=5)
    assert (other.civitai_name, other.civitai_version_id, other.stem) == ("figma.v2.safetensors", 5, "figma.v2")
    assert LocalFile("figma").stem == "figma"


def test_previews_are_of_all_known_formats() -> None:
    """What a job may deliver may also lie beside a model."""
    known = {f".{extension}" for form in formats.DELIVERED for extension in form.extensions}
    assert set(PREVIEW_EXTENSIONS) == known
    videos = {f".{extension}" for form in formats.DELIVERED if form.is_video for extension in form.extensions}
    assert set(VIDEO_EXTENSIONS) == videos

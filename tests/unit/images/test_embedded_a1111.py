"""AUTOMATIC1111 infotext and its imitations, including texts that broke other readers."""

from typing import Any

import pytest

from schemas.images.embedded.a1111.reader import read_a1111
from schemas.images.embedded.samplers import split_sampler
from schemas.images.generation_params import GenerationParams, Resource

MOST = 2**64 - 1
HEX, OTHER_HEX = "0123456789ab", "ba9876543210"


def read(text: str) -> GenerationParams:
    """Read an infotext."""
    params = read_a1111({"parameters": text})
    assert params
    return params


LINE = "Steps: 9, Sampler: Euler a, CFG scale: 7, Seed: 5"


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        (f"cat\nNegative prompt: dog\n{LINE}", "cat", "dog"),
        (f"cat\n{LINE}", "cat", None),
        (f"Negative prompt: dog\n{LINE}", None, "dog"),
        (LINE, None, None),
        (f"a\nb\nNegative prompt: c\nd\n{LINE}", "a\nb", "c\nd"),
        (f"cat\r\nNegative prompt: dog\r\n{LINE}\r\n", "cat", "dog"),
        (f"Parameters : cat\nNegative prompt: dog\n{LINE}", "cat", "dog"),
        (f"cat.Negative prompt: dog.{LINE}", "cat.", "dog."),
        (f"cat {LINE}", "cat", None),
        (f"the words Negative prompt: and Steps: 4, up\n{LINE}", "the words Negative prompt: and Steps: 4, up", None),
        (f"Steps: 20, Seed: 3, stairs\nNegative prompt: x\n{LINE}", "Steps: 20, Seed: 3, stairs", "x"),
        (f"Steps: 1, Sampler: b, Seed: 3\n{LINE}", "Steps: 1, Sampler: b, Seed: 3", None),
        (f"cat Negative prompt: a Negative prompt: dog {LINE}", "cat Negative prompt: a", "dog"),
        (f"cat\n{LINE}\nTemplate: {{cat|dog}}, Steps: 4\nNegative Template: x", "cat", None),
        (f"cat\n{LINE.replace(', CFG', chr(10) + 'CFG')}", "cat", None),
        ("cat\nSeed: 5, Steps: 9, Sampler: Euler a, CFG scale: 7", "cat", None),
        ("cat\nSampler: Euler a, CFG scale: 7, Seed: 5, steps: 9", "cat", None),
        (f"cat\n{LINE}, Hires Steps: 3, Hires Seed: 4, Size: 8x8, Model: m", "cat", None),
    ],
)
def test_infotexts_are_split(text: str, prompt: str | None, negative: str | None) -> None:
    """Prompts may contain the labels of the other parts, and line breaks may be lost."""
    params = read(text)
    assert (params.prompt, params.negative_prompt) == (prompt, negative)
    assert (params.steps, params.sampler, params.cfg_scale, params.seed) == (9, "Euler a", 7, 5)


def test_a_text_without_parameters_is_a_prompt() -> None:
    """Any other text is accepted as a prompt."""
    assert read("a cat: Steps, many\nand more") == GenerationParams(
        "AUTOMATIC1111", prompt="a cat: Steps, many\nand more"
    )


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("Sampler: DPM++ 2M Karras", {"sampler": "DPM++ 2M", "scheduler": "Karras"}),
        ("Sampler: DPM++ 2M, Schedule type: Karras", {"sampler": "DPM++ 2M", "scheduler": "Karras"}),
        ("Sampler: DPM++ 2M Karras, Scheduler: karras", {"sampler": "DPM++ 2M", "scheduler": "karras"}),
        ("Sampler: Euler, Schedule type: Automatic", {"sampler": "Euler", "scheduler": "Automatic"}),
        (f"Seed: {MOST}", {"seed": MOST}),
        (f"Seed: {MOST + 1}", {"seed": None, "other": {"Seed": str(MOST + 1)}}),
        ("Seed: -1", {"seed": None, "other": {"Seed": "-1"}}),
        ("CFG scale: NaN", {"cfg_scale": None, "other": {"CFG scale": "NaN"}}),
        ("CFG scale: 1e999", {"cfg_scale": None, "other": {"CFG scale": "1e999"}}),
        ("CFG scale: 3.5, Distilled CFG Scale: 2", {"cfg_scale": 3.5, "other": {"Distilled CFG Scale": "2"}}),
        ("Steps: many", {"steps": None, "other": {"Steps": "many"}}),
        ("Size: 512x768", {"width": 512, "height": 768}),
        ("Size: big", {"width": None, "other": {"Size": "big"}}),
        ("Size: 0x9", {"width": None, "height": 9, "other": {"Width": "0"}}),
        ("Clip skip: 2, Denoising strength: 0.35", {"clip_skip": 2, "denoise": 0.35}),
        ("Denoising strength: Infinity", {"denoise": None, "other": {"Denoising strength": "Infinity"}}),
        ("Created Date: 2024-10-10T10:20:30.5Z", {"other": {"Created Date": "2024-10-10T10:20:30.5Z"}}),
        ('ControlNet 0: "Module: canny, Weight: 1"', {"other": {"ControlNet 0": "Module: canny, Weight: 1"}}),
        ('Note: "a \\"b\\"\\n\\u0000, c"', {"other": {"Note": 'a "b"\n\ufffd, c'}}),
        ('Note: "open, ENSD: 31337', {"other": {"Note": '"open', "ENSD": "31337"}}),
        ("Seed: 5, Seed: 6", {"seed": 5}),
        ("Version: f2.0.1v1.10.1", {"tool": "Forge"}),
        ("Version: ComfyUI", {"tool": "ComfyUI"}),
        ("Version: v1.9.3", {"tool": "AUTOMATIC1111"}),
        ("Version: Fooocus v2.4", {"tool": "Fooocus"}),
        ("App: SD.Next", {"tool": "SD.Next"}),
    ],
)
def test_parameters_fill_fields(pairs: str, expected: dict[str, Any]) -> None:
    """A value that is invalid in its field is kept as text and costs no other."""
    params = read(f"cat\nModel hash: ?, Model: m, Schedule type: , Size: , {pairs}, Steps: 9, Seed: 7, Sampler: x")
    plain = {"other": dict(params.other)} if "other" in expected else {}
    got = {name: getattr(params, name) for name in expected} | plain
    assert got == expected | ({"other": got["other"] | expected["other"]} if "other" in expected else {})
    assert (params.prompt, params.model) == ("cat", "m")


@pytest.mark.parametrize(
    ("prompt", "pairs", "expected"),
    [
        ("<lora:ink:0.8>", f'Lora hashes: "ink: {HEX}"', Resource("lora", "ink", HEX, 0.8)),
        ("<lora:ink>", "", Resource("lora", "ink", None, 1.0)),
        ("<lora:ink wash 猫:-0.5:1>", "", Resource("lora", "ink wash 猫", None, -0.5)),
        ("<lora:ink:te=0.7:unet=1>", "", Resource("lora", "ink", None, 0.7)),
        ("<lyco:ink:0.5>", f'Lora hashes: "ink: {HEX}"', Resource("lycoris", "ink", HEX, 0.5)),
        ("<hypernet:h:0.5>", "", Resource("hypernetwork", "h", None, 0.5)),
        ("", f'Lora hashes: "a: , b, c: {HEX}"', Resource("lora", "b, c", HEX)),
        ("", 'Lora hashes: "a: , b: x"', Resource("lora", "a")),
        ("", 'Lora hashes: "a: e3b0c44298fc"', Resource("lora", "a")),
        ("", f'TI hashes: "easy: {HEX}"', Resource("embedding", "easy", HEX)),
        ("<lora:Ink:1>", f'Hashes: {{"model":"{OTHER_HEX}","lora:ink":"{HEX}"}}', Resource("lora", "Ink", HEX, 1.0)),
        ("", f'Hashes: {{"model":"{HEX}", "vae": "x"}}', Resource("checkpoint", "m", HEX)),
        ("", f'Hashes: {{"embed:easy":"{HEX}"}}', Resource("embedding", "easy", HEX)),
        ("", f"Model hash: {HEX}", Resource("checkpoint", "m", HEX)),
        ("", f"VAE hash: {HEX}, VAE: v.pt", Resource("vae", "v.pt", HEX)),
        ("", "Module 1: clip_l", Resource("other", "clip_l")),
        (
            "",
            'Civitai resources: [{"type":"checkpoint"},{"type":"lora","weight":0.8,"modelVersionId":8}]',
            Resource("lora", None, None, 0.8, 8),
        ),
        (
            "",
            'Civitai resources: [{"type":"checkpoint","modelVersionId":7}]',
            Resource("checkpoint", "m", None, None, 7),
        ),
        (
            "",
            'Civitai resources: [{"air":"urn:air:sdxl:embedding:civitai:1@9","modelName":"E"}, 3]',
            Resource("embedding", "E", None, None, 9),
        ),
        (
            "",
            f"AddNet Model 1: ink({HEX}), AddNet Weight A 1: 0.8, AddNet Weight B 1: 1",
            Resource("lora", "ink", HEX, 0.8),
        ),
        ("", f"AddNet Model 1: ink({HEX}), AddNet Weight A 1: NaN", Resource("lora", "ink", HEX)),
        (
            "",
            f"Lora_0 Model name: a.safetensors, Lora_0 Model hash: {HEX}, Lora_0 Strength model: 0.5",
            Resource("lora", "a.safetensors", HEX, 0.5),
        ),
        ("<lora:ink:1>", f'Lora hashes: "ink.safetensors: {HEX}"', Resource("lora", "ink", HEX, 1.0)),
        ("", f'Lora hashes: "ink: {HEX}", Lora weights: "ink: 0.4"', Resource("lora", "ink", HEX, 0.4)),
    ],
)
def test_resources_are_combined(prompt: str, pairs: str, expected: Resource) -> None:
    """Prompt and parameters name the same models, which are listed once."""
    params = read(f"{prompt}\n{LINE}, Model: m, {pairs}")
    assert expected in params.resources
    identities = {(resource.kind, resource.name, resource.civitai_version_id) for resource in params.resources}
    assert len(identities) == len(params.resources)
    assert (params.steps, params.seed, params.model) == (9, 5, "m")


def test_unreadable_lists_are_kept_as_text() -> None:
    """The parameters after them are still read."""
    params = read(f"cat\n{LINE}, Hashes: {{model: 1}}, Civitai resources: [1, Size: 8x8")
    assert params.other["Hashes"] == "{model: 1}"
    assert params.other["Civitai resources"].startswith("[1")
    assert (params.steps, params.width) == (9, 8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DPM++ 2M SDE Karras", ("DPM++ 2M SDE", "Karras")),
        ("DPM++ 3M SDE Exponential", ("DPM++ 3M SDE", "Exponential")),
        ("dpmpp_2m_sgm_uniform", ("dpmpp_2m", "sgm_uniform")),
        ("Euler a", ("Euler a", None)),
        ("Karras", ("Karras", None)),
    ],
)
def test_combined_sampler_names_are_split(name: str, expected: tuple[str, str | None]) -> None:
    """Old names contain the schedule."""
    assert split_sampler(name) == expected


@pytest.mark.parametrize("separator", [" | ", "|", "; ", "\t", " \u2022 "])
def test_parameters_may_have_another_separator_than_commas(separator: str) -> None:
    """A line may also end in a comma, and the prompt may have a heading."""
    pairs = ["Steps: 25", "Seed: 5", "Sampler: Euler a", "CFG scale: 7", "Size: 768x512", "Model: m", "Operations: "]
    text = "prompt: a red barn\nNegative prompt: planet, (worst:2)\nVersion: aa62f6d, Pipeline: Original,\n"
    params = read(text + separator.join(pairs))
    assert (params.prompt, params.negative_prompt) == ("a red barn", "planet, (worst:2)")
    assert (params.steps, params.seed, params.sampler, params.cfg_scale) == (25, 5, "Euler a", 7)
    assert (params.width, params.height, params.model) == (768, 512, "m")
    assert params.other == {"Version": "aa62f6d", "Pipeline": "Original"}


@pytest.mark.parametrize("prompt", ["a | b | Seed: 3", "Steps: 1 | Seed: 2 | stairs", "[cat|dog]; bird"])
def test_separators_within_prompts_stay(prompt: str) -> None:
    """Only a line with several parameters has another separator."""
    assert read(f"{prompt}\n{LINE}").prompt == prompt


NAMED = 'Lora hashes: "one: a4f81ec6c80b, USNR STYLE_XL: 3acf9bb397af"'


@pytest.mark.parametrize(
    ("pairs", "weights", "other"),
    [
        (f'{NAMED}, loraweights: "0.33,0.22"', [0.33, 0.22], {}),
        (f'{NAMED}, Lora weights: "0.33, 0.22"', [0.33, 0.22], {}),
        (f'{NAMED}, Lora weights: "one: 0.5, USNR STYLE_XL: 0.6"', [0.5, 0.6], {}),
        (f'{NAMED}, loraweights: "0.33"', [None, None], {"loraweights": "0.33"}),
        (f'{NAMED}, loraweights: "0.33,x"', [0.33, None], {"USNR STYLE_XL weight": "x"}),
    ],
)
def test_lists_parallel_to_the_loras_are_their_weights(
    pairs: str, weights: list[float | None], other: dict[str, str]
) -> None:
    """They must be as long as the list of LoRAs; otherwise they are kept as text."""
    params = read(f"cat\n{LINE}, {pairs}")
    assert [resource.weight for resource in params.resources if resource.kind == "lora"] == weights
    assert params.other == other

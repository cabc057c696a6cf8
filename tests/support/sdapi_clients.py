"""What popular programs send to AUTOMATIC1111's API, in their order, with what they read of the answers.

Sources: the public code of SillyTavern (its server's routes for the Stable Diffusion web UI), of Open WebUI (its
router for images), of Cyanic SD Krita (its client of the API) and of Auto-Photoshop-StableDiffusion-Plugin (version
1.4.1: its settings, modes, progress and lists). Nothing here is theirs but the names of fields.
"""

import base64
import io
import json
from typing import Any

import httpx
from PIL import Image

TIMEOUT_S = 60.0


class ProgramError(Exception):
    """The program would have shown an error."""


class RecordedProgram:
    """A program that speaks the API at ``url``; ``calls`` are the requests it has sent."""

    def __init__(self, url: str, authorization: tuple[str, str] | None) -> None:
        self._client = httpx.Client(base_url=url, auth=authorization, timeout=TIMEOUT_S, trust_env=False)
        self.calls: list[str] = []

    def get(self, path: str) -> Any:
        """Read a route."""
        return self._answer("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Send JSON, or nothing."""
        return self._answer("POST", path, json=body) if body is not None else self._answer("POST", path)

    def post_empty(self, path: str) -> Any:
        """Send nothing, with the media type of JSON."""
        return self._answer("POST", path, headers={"Content-Type": "application/json"})

    def find(self, path: str) -> Any:
        """Read a route of an extension; None if the extension is not there."""
        self.calls.append(f"GET {path}")
        response = self._client.get(path)
        return None if response.status_code == httpx.codes.NOT_FOUND else response.json()

    def _answer(self, method: str, path: str, **content: Any) -> Any:
        self.calls.append(f"{method} {path}")
        response = self._client.request(method, path, **content)
        if not response.is_success:
            raise ProgramError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def open_picture(text: str) -> Image.Image:
    """Open a picture of an answer."""
    return Image.open(io.BytesIO(base64.b64decode(text)))


def play_silly_tavern(program: RecordedProgram, model: str, prompt: str) -> Image.Image:
    """Connect, fill the lists of the settings, choose a model, wait until it is loaded, and make a picture."""
    program.get("/sdapi/v1/options")
    samplers = [each["name"] for each in program.get("/sdapi/v1/samplers")]
    schedulers = [each["name"] for each in program.get("/sdapi/v1/schedulers")]
    models = [each["title"] for each in program.get("/sdapi/v1/sd-models")]
    upscalers = [each["name"] for each in program.get("/sdapi/v1/upscalers")]
    upscalers[1:1] = [each["name"] for each in program.get("/sdapi/v1/latent-upscale-modes")]
    vaes = [each["model_name"] for each in program.get("/sdapi/v1/sd-vae")]
    if model not in models:
        raise ProgramError(f"{model} is not among {models}")
    program.post("/sdapi/v1/options", {"sd_model_checkpoint": model})
    progress = program.get("/sdapi/v1/progress")
    if progress["progress"] != 0.0 or progress["state"]["job_count"] != 0:
        raise ProgramError(f"The model is still loading: {progress}")
    body = {
        "url": "http://127.0.0.1:7860",
        "auth": "darkroom:key",
        "prompt": prompt,
        "negative_prompt": "blurry",
        "sampler_name": samplers[0],
        "scheduler": schedulers[0],
        "steps": 12,
        "cfg_scale": 7,
        "width": 512,
        "height": 512,
        "restore_faces": False,
        "enable_hr": False,
        "hr_upscaler": upscalers[0],
        "hr_scale": 2,
        "denoising_strength": 0.7,
        "hr_second_pass_steps": 0,
        "override_settings": {"CLIP_stop_at_last_layers": 1, **({"sd_vae": vaes[0]} if vaes else {})},
        "override_settings_restore_afterwards": True,
        "clip_skip": 1,
        "save_images": True,
        "send_images": True,
        "do_not_save_grid": False,
        "do_not_save_samples": False,
    }
    return open_picture(program.post("/sdapi/v1/txt2img", body)["images"][0])


def play_open_webui(program: RecordedProgram, model: str, prompt: str) -> list[Image.Image]:
    """Verify the address, list the models, send back all options with another model, and make two pictures."""
    program.get("/sdapi/v1/options")
    listed = {each["title"]: each["model_name"] for each in program.get("/sdapi/v1/sd-models")}
    options = program.get("/sdapi/v1/options")
    if model != options["sd_model_checkpoint"]:
        program.post("/sdapi/v1/options", options | {"sd_model_checkpoint": model})
    if program.get("/sdapi/v1/options")["sd_model_checkpoint"] not in listed:
        raise ProgramError("The model that is set is not listed.")
    body = {"prompt": prompt, "batch_size": 2, "width": 512, "height": 512, "steps": 8, "negative_prompt": "text"}
    answer = program.post(
        "/sdapi/v1/txt2img", body | {"cfg_scale": 7.0, "sampler_name": "Euler", "scheduler": "Karras"}
    )
    json.loads(answer["info"])
    return [open_picture(text) for text in answer["images"]]


def play_krita(program: RecordedProgram, model: str, prompt: str, picture: str) -> tuple[Image.Image, Image.Image]:
    """Connect, make a picture of words and show the progress, and make one of a layer."""
    if program.get("/queue/status") is None:
        raise ProgramError("There is no queue.")
    lists = {
        name: program.get(f"/sdapi/v1/{name}")
        for name in (
            "sd-models",
            "sd-vae",
            "samplers",
            "upscalers",
            "face-restorers",
            "prompt-styles",
            "scripts",
            "loras",
            "embeddings",
            "hypernetworks",
            "options",
        )
    }
    names = {each["title"]: each["model_name"] for each in lists["sd-models"]}
    if "txt2img" not in lists["scripts"] or "loaded" not in lists["embeddings"] or model not in names:
        raise ProgramError(f"The lists lack something: {lists}")
    body = {
        "prompt": prompt,
        "negative_prompt": "",
        "width": 512,
        "height": 512,
        "seed": 7,
        "steps": 8,
        "cfg_scale": 7.0,
        "n_iter": 1,
        "batch_size": 1,
        "sampler_name": lists["samplers"][0]["name"],
        "styles": [],
        "override_settings": {"sd_model_checkpoint": model, "sd_vae": lists["options"]["sd_vae"]},
        "override_settings_restore_afterwards": False,
        "alwayson_scripts": {},
    }
    words = program.post("/sdapi/v1/txt2img", body)
    state = program.get("/sdapi/v1/progress")["state"]
    if state["skipped"] or state["interrupted"]:
        raise ProgramError("The progress says that the picture was interrupted.")
    layer = {
        "init_images": [picture],
        "denoising_strength": 0.5,
        "inpainting_fill": 1,
        "mask_blur": 4,
        "override_settings": {"sd_model_checkpoint": model, "img2img_color_correction": True},
    }
    layers = program.post("/sdapi/v1/img2img", body | layer)
    json.loads(words["info"])
    return open_picture(words["images"][0]), open_picture(layers["images"][0])


def play_photoshop(
    program: RecordedProgram, model: str, prompt: str, picture: str, mask: str
) -> tuple[list[Image.Image], list[Image.Image], str]:
    """Connect, choose a model, make two pictures of words and one of a selection with a mask, and interrupt.

    Return the pictures of both requests, and the seed that the plugin shows after the first one.
    """
    program.get("/sdapi/v1/options")
    if program.find("/sdapi/auto-photoshop-sd/heartbeat") is not None:
        raise ProgramError("An extension answers that is not there.")
    sampler = program.get("/sdapi/v1/samplers")[0]["name"]
    models = [each["title"] for each in program.get("/sdapi/v1/sd-models")]
    program.get("/sdapi/v1/loras")
    if "loaded" not in program.get("/sdapi/v1/embeddings") or not program.get("/sdapi/v1/upscalers"):
        raise ProgramError("The lists lack something.")
    program.post("/sdapi/v1/options", {"inpainting_mask_weight": 1.0})
    if program.get("/sdapi/v1/options")["sd_model_checkpoint"] not in models:
        raise ProgramError("The model that is set is not listed.")
    scripts = program.get("/sdapi/v1/scripts")
    if "ADetailer" in scripts["txt2img"] or program.find("/controlnet/model_list") is not None:
        raise ProgramError("Scripts are listed that are not there.")
    program.post("/sdapi/v1/options", {"sd_model_checkpoint": model})
    program.post("/sdapi/v1/options", {"CLIP_stop_at_last_layers": 1})
    settings = _photoshop_settings(prompt, sampler) | {"mode": "txt2img", "batch_size": 2}
    words = program.post("/sdapi/v1/txt2img", settings)["images"]
    seeds = [_seed_that_photoshop_shows(program, text) for text in words]
    if program.get("/sdapi/v1/progress?skip_current_image=false")["progress"] != 0.0:
        raise ProgramError("The progress does not end.")
    selection = {
        "mode": "inpaint",
        "init_images": [picture],
        "mask": mask,
        "expanded_mask": mask,
        "mask_expansion": 0,
        "denoising_strength": 0.7,
        "inpaint_full_res": False,
        "inpaint_full_res_padding": 32,
        "inpainting_fill": 1,
        "batch_size": 1,
    }
    repainted = program.post("/sdapi/v1/img2img", settings | selection)["images"]
    if program.post_empty("/sdapi/v1/interrupt") is None:
        raise ProgramError("The plugin reads an object.")
    return [open_picture(text) for text in words], [open_picture(text) for text in repainted], seeds[0]


def _photoshop_settings(prompt: str, sampler: str) -> dict[str, Any]:
    """Return what the plugin sends with every request, its own fields included; the seed is a text."""
    return {
        "selection_info": {"left": 0, "top": 0, "right": 512, "bottom": 512, "width": 512, "height": 512},
        "alwayson_scripts": {},
        "prompt": prompt,
        "negative_prompt": "",
        "original_prompt": prompt,
        "original_negative_prompt": "",
        "clip_skip": 1,
        "steps": 8,
        "sampler_index": sampler,
        "width": 512,
        "height": 512,
        "denoising_strength": 0.5,
        "cfg_scale": 7,
        "seed": "7",
        "mask_blur": 4,
        "use_sharp_mask": "none",
        "use_prompt_shortcut": False,
        "prompt_shortcut_ui_dict": {},
        "uniqueDocumentId": "5f0c2a9b",
        "restore_faces": False,
        "tiling": False,
    }


def _seed_that_photoshop_shows(program: RecordedProgram, text: str) -> str:
    """Return the seed in the last line of the infotext, which the plugin takes apart at commas and colons."""
    info = program.post("/sdapi/v1/png-info", {"image": f"data:image/png;base64,{text}"})["info"]
    pairs = (part.split(":", 1) for part in info.rpartition("\n")[2].split(","))
    return {name.strip(): value.strip() for name, value in pairs}["Seed"]

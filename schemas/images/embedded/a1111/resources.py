"""Which models a text of AUTOMATIC1111's kind names: in its prompt, and in keys of several extensions. Pure.

What is read is taken out of the pairs; what cannot be read stays.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.embedded.untrusted_json import read_json, read_object

Pairs = dict[str, tuple[str, str]]
NETS = re.compile(r"<(lora|lyco|hypernet):([^<>:\n]{1,300})((?::[^<>:\n]{0,100}){0,10})>", re.IGNORECASE)
NET_KINDS = {"lora": "lora", "lyco": "lycoris", "hypernet": "hypernetwork"}
# In "Hashes" and in Civitai's lists, by how a name begins.
KINDS: Mapping[str, str] = {
    "model": "checkpoint",
    "checkpoint": "checkpoint",
    "lora": "lora",
    "dora": "lora",
    "lyco": "lycoris",
    "locon": "lycoris",
    "vae": "vae",
    "embed": "embedding",
    "textualinversion": "embedding",
    "hypernet": "hypernetwork",
}
AIR = re.compile(r"urn:air:[^:]*:(?P<kind>[^:]*):civitai:\d+@(?P<version>\d+)")
NAME_AND_HASH = re.compile(r"(.*)\(([0-9a-fA-F]+)\)")
ADDNET = re.compile(r"addnet model (\d+)")
SAVER = re.compile(r"lora_(\d+) model name")
MODULE = re.compile(r"module \d+")


def add_resources(draft: GenerationBuilder, pairs: Pairs) -> None:
    """All of them, each once, with what several keys say of it."""
    hashes = _hashes(pairs)
    civitai = _civitai(pairs)
    _add_checkpoint(draft, pairs, hashes, civitai)
    add_prompt_networks(draft, draft.fields.get("prompt", ""))
    _add_listed(draft, pairs)
    for kind, name, value in hashes:
        draft.add_resource(kind, name, value)
    _add_addnet(draft, pairs)
    _add_saved(draft, pairs)
    _add_single(draft, pairs)
    for kind, one in civitai:
        draft.add_resource(kind, one.get("modelName"), None, one.get("weight"), one.get("modelVersionId"))


def add_prompt_networks(draft: GenerationBuilder, prompt: str) -> None:
    """Those that the prompt itself calls for: ``<lora:name:weight>``, with a weight of 1 where it says none."""
    for net in NETS.finditer(prompt):
        weight = net[3][1:].partition(":")[0].rpartition("=")[2].strip() or 1.0
        draft.add_resource(NET_KINDS[net[1].lower()], net[2].strip(), weight=weight)


def _add_checkpoint(draft: GenerationBuilder, pairs: Pairs, hashes: list[Any], civitai: list[Any]) -> None:
    """The model, of which up to three keys speak; the first of Civitai's checkpoints is the same one."""
    name = pairs.get("model", ("", ""))[1] or None
    said = _pop(pairs, "model hash") or next((value for kind, own, value in hashes if (kind, own) == MAIN), None)
    hashes[:] = [one for one in hashes if one[:2] != MAIN]
    index = next((place for place, (kind, _) in enumerate(civitai) if kind == "checkpoint"), None)
    one = {} if index is None else civitai.pop(index)[1]
    draft.add_resource("checkpoint", name or one.get("modelName"), said, version=one.get("modelVersionId"))
    if not name:
        draft.set_field("model", one.get("modelName"), "Model")


MAIN = ("checkpoint", None)


def _hashes(pairs: Pairs) -> list[tuple[str, str | None, Any]]:
    """``{"model": …, "lora:name": …}``, which is not quoted: kind, name, hash."""
    found = read_object(pairs.get("hashes", ("", ""))[1])
    if found is None:
        return []
    del pairs["hashes"]
    parts = [(*key.partition(":"), value) for key, value in found.items()]
    return [(_kind(kind), name or None, value) for kind, _, name, value in parts]


def _civitai(pairs: Pairs) -> list[tuple[str, dict[str, Any]]]:
    found = read_json(pairs.get("civitai resources", ("", ""))[1])
    if not isinstance(found, list):
        return []
    del pairs["civitai resources"]
    return [_civitai_one(one) for one in found if isinstance(one, dict)]


def _civitai_one(one: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    air = AIR.match(str(one.get("air", "")))
    if air:
        one = {"type": air["kind"], "modelVersionId": air["version"]} | one
    return _kind(one.get("type")), one


def _kind(word: Any) -> str:
    plain = word.lower() if isinstance(word, str) else ""
    return next((kind for start, kind in KINDS.items() if plain.startswith(start)), "other")


def _add_listed(draft: GenerationBuilder, pairs: Pairs) -> None:
    """``name: hash, name: hash``; a hash may be missing, and a name may have a comma in it."""
    for key, kind in (("lora hashes", "lora"), ("ti hashes", "embedding")):
        for name, value in _listed(_pop(pairs, key)):
            draft.add_resource(kind, name, value)
    for name, value in _listed(_pop(pairs, "lora weights")):
        draft.add_resource("lora", name, weight=value)


def _listed(text: str | None) -> Iterator[tuple[str, str]]:
    name = ""
    for part in (text or "").split(","):
        before, colon, value = part.rpartition(":")
        if colon:
            yield (name + before).strip(), value.strip()
            name = ""
        else:
            name += part + ","


def _add_addnet(draft: GenerationBuilder, pairs: Pairs) -> None:
    """Of the extension Additional Networks: ``name(hash)``, and weights for two parts of the model."""
    for number, value in _numbered(pairs, ADDNET):
        found = NAME_AND_HASH.fullmatch(value)
        weight = _pop(pairs, f"addnet weight a {number}") or _pop(pairs, f"addnet weight {number}")
        draft.add_resource("lora", found[1] if found else value, found[2] if found else None, weight)


def _add_saved(draft: GenerationBuilder, pairs: Pairs) -> None:
    """Of a saver of ComfyUI, which numbers them from 0."""
    for number, value in _numbered(pairs, SAVER):
        weight, said = _pop(pairs, f"lora_{number} strength model"), _pop(pairs, f"lora_{number} model hash")
        draft.add_resource("lora", value, said, weight)


def _add_single(draft: GenerationBuilder, pairs: Pairs) -> None:
    draft.add_resource("vae", _pop(pairs, "vae"), _pop(pairs, "vae hash"))
    if network := _pop(pairs, "hypernet"):
        draft.add_resource("hypernetwork", network, _pop(pairs, "hypernet hash"), _pop(pairs, "hypernet strength"))
    for key in [key for key in pairs if MODULE.fullmatch(key)]:
        draft.add_resource("other", _pop(pairs, key))


def _numbered(pairs: Pairs, pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    found = [match for key in pairs if (match := pattern.fullmatch(key))]
    return [(match[1], pairs.pop(match[0])[1]) for match in found]


def _pop(pairs: Pairs, key: str) -> str | None:
    return pairs.pop(key, (None, None))[1]

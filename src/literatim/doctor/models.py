"""Where models come from and are kept: the bundled one, the hub or its mirror, the cache, the default model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from literatim import demo
from literatim.doctor.child import Answer, Look, ask
from literatim.doctor.findings import FAIL, INFO, OK, WARN, Finding
from literatim.errors import LiteratimError

SECTION = "models"
_ROOM = 2 * 10**9  # bytes: openai/whisper-small in float32 is 1 GB
_REINSTALL = "pip install --force-reinstall --no-deps literatim"
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def findings(look: Look, variables: Mapping[str, str], ask_network: bool) -> list[Finding]:
    """What the file system and the environment say; the network is asked only with `ask_network`."""
    answer = ask("models", look=look)
    found = [_bundled()]
    if answer.result is None:
        text = f"cannot be looked at: {answer.trouble}"
        return [*found, Finding(SECTION, "hub", FAIL, text, "pip install --upgrade huggingface_hub")]
    said = answer.result
    found.append(_default(said["model"], said["offline"], "LITERATIM_MODEL" in variables))
    found.extend(_cache(said["cache"]))
    found.append(_hub(said, variables))
    if ask_network:
        found.append(_network(said, look))
    return found


def _bundled() -> Finding:
    try:
        folder = demo.model_path("demo")
    except LiteratimError as error:
        return Finding(SECTION, "demo", FAIL, str(error).partition(";")[0], _REINSTALL)
    absent = [name for name in ("model.safetensors", "tokenizer.json") if not (folder / name).is_file()]
    if absent or not demo.recordings():
        what = ", ".join(absent) or "every recording"
        return Finding(SECTION, "demo", FAIL, f"the bundled model lacks {what} ({folder})", _REINSTALL)
    return Finding(SECTION, "demo", OK, f"bundled, with {len(demo.recordings())} recordings")


def _default(model: Mapping[str, Any], offline: bool, chosen: bool) -> Finding:
    name, where = model["name"], model["path"]
    said = f"{name} (LITERATIM_MODEL)" if chosen else name
    if where is not None:
        return Finding(SECTION, "default", OK, f"{said}: {where}")
    if model["error"]:
        return Finding(
            SECTION,
            "default",
            FAIL,
            f"{said}: {model['error']}",
            "`export LITERATIM_MODEL=NAME` with one of `literatim models list`, or `unset LITERATIM_MODEL`",
        )
    mend = f"literatim models download {name}"
    if offline:
        text = f"{said} is not on this machine, and the network is switched off"
        mend = f"`HF_HUB_OFFLINE=0 {mend}`, or copy its folder from elsewhere and give it with `--model`"
        return Finding(SECTION, "default", WARN, text, mend)
    return Finding(SECTION, "default", INFO, f"{said} is not on this machine yet; the first use downloads it", mend)


def _cache(cache: Mapping[str, Any]) -> list[Finding]:
    path, free = cache["path"], cache["free"]
    mend = "`export HF_HOME=FOLDER`, or give `--model_dir FOLDER`, with a folder that can be written"
    if cache["refused"]:
        text = f"{path}: nothing can be written there ({cache['refused']}); models that are there already still load"
        return [Finding(SECTION, "cache", WARN, text, mend)]
    room = "" if free is None else f", {free / 1e9:.1f} GB free"
    if not cache["exists"]:
        text = f"{path}, which the first download makes{room}"
    else:
        size = f"{'' if cache.get('counted', True) else 'more than '}{cache['bytes'] / 1e9:.1f} GB"
        text = f"{path}: {cache['models']} models, {size}{room}"
    if free is not None and free < _ROOM:
        return [Finding(SECTION, "cache", WARN, f"{text}: little for a model", f"make room, or {mend}")]
    return [Finding(SECTION, "cache", OK, text)]


def _hub(said: Mapping[str, Any], variables: Mapping[str, str]) -> Finding:
    mirror = " (HF_ENDPOINT)" if variables.get("HF_ENDPOINT") else ""
    login = ", with HF_TOKEN" if variables.get("HF_TOKEN") else ""
    if said["offline"]:
        named = [f"{name}={variables[name]}" for name in _OFFLINE if variables.get(name)]
        text = f"switched off by {' and '.join(named) or 'huggingface_hub'}: only what is on this machine can be used"
        return Finding(SECTION, "hub", INFO, text, f"unset {' '.join(_OFFLINE)}")
    return Finding(SECTION, "hub", INFO, f"{said['endpoint']}{mirror}{login}")


def _network(said: Mapping[str, Any], look: Look) -> Finding:
    if said["offline"]:
        return Finding(SECTION, "network", INFO, "not asked: it is switched off")
    return network(ask("network", look=look), said["endpoint"])


def network(answer: Answer, endpoint: str) -> Finding:
    """Whether the hub answered, and how long that took."""
    if answer.result is not None:
        return Finding(SECTION, "network", OK, f"{endpoint} answers, in {answer.result['seconds']:.1f} s")
    said = answer.trouble.partition(" Ways on:")[0].rstrip(".")
    why = said.partition(f"from {endpoint}: ")[2] or said.partition(": ")[2] or said
    mend = "`export HF_ENDPOINT=MIRROR` or `HTTPS_PROXY=...`; or copy a model's folder here, and give it with `--model`"
    return Finding(SECTION, "network", WARN, f"{endpoint} does not answer: {why}", mend)

"""Models of the Hugging Face hub: whether they can be had, asked once and quickly, and the shapes of those that recipes
name.

Without a network the hub's client asks again for minutes, for every file; here one question of a few seconds decides,
and the cache on this disk is taken alone where it fails.
"""

import functools
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from itertl.errors import UsageError

_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_WAIT_S = 6.0  # the connection, and looking up the name, which has no limit of its own

_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "max_position_embeddings", "tie_word_embeddings",
)  # fmt: skip
# Name -> class and arguments of its configuration, as its config.json says: enough for a plan on a machine without
# network.
SHAPES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    name: (kind, dict(zip(_SIZES, sizes, strict=True)))
    for name, kind, *sizes in (
        ("deepseek-ai/deepseek-coder-6.7b-instruct", "LlamaConfig", 32256, 4096, 11008, 32, 32, 32, 16384, False),
        ("Qwen/Qwen2.5-Coder-0.5B-Instruct", "Qwen2Config", 151936, 896, 4864, 24, 14, 2, 32768, True),
        ("Qwen/Qwen2.5-Coder-1.5B-Instruct", "Qwen2Config", 151936, 1536, 8960, 28, 12, 2, 32768, True),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "LlamaConfig", 49152, 576, 1536, 30, 9, 3, 8192, True),
    )
}


def is_hub_name(name: str) -> bool:
    """Whether a text can be the name of a repository; a folder of that name comes first everywhere."""
    return bool(_NAME.match(name)) and not name.startswith(".") and not Path(name).expanduser().exists()


def require(name: str, revision: str | None) -> None:
    """Have the client use the cache alone where the hub cannot be reached.

    Raises UsageError where the cache has no such model.
    """
    if is_reachable() or not is_hub_name(name):
        return
    from huggingface_hub import constants

    if _cached(name, "config.json", revision) is None:
        raise UsageError(
            f"model {name}: no folder of that name here, not in the hub's cache, and {constants.ENDPOINT} cannot be "
            f"reached; check the path, or fetch it where there is a network (hf download {name}) and give its folder "
            "as model"
        )


def is_had(name: str) -> bool:
    """Whether a repository can be had: the hub answers, or its cache holds the repository's configuration."""
    return is_reachable() or _cached(name, "config.json", None) is not None


def hub_file(name: str, file: str, revision: str | None) -> Path | None:
    """One file of a repository, from the hub or its cache; None where there is none, or it cannot be had."""
    if not is_hub_name(name):
        return None
    if not is_reachable():
        return _cached(name, file, revision)
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except (errors.EntryNotFoundError, errors.HfHubHTTPError, OSError, ValueError):
        return None  # a name that is wrong or closed is reported where the model is loaded


def _cached(name: str, file: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


@functools.cache
def is_reachable() -> bool:
    """Whether the hub answers, by an error or not. Where it does not, its client is set to work offline."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered: list[bool] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
            with urllib.request.urlopen(request, timeout=_WAIT_S):
                answered.append(True)
        except urllib.error.HTTPError:
            answered.append(True)
        except (OSError, ValueError):
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_WAIT_S)
    if not answered:
        constants.HF_HUB_OFFLINE = True
        os.environ["HF_HUB_OFFLINE"] = "1"  # for the processes that are started from here
    return bool(answered)

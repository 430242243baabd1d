"""Upload of a finished export to the Hugging Face hub. The token comes from the environment or the hub's own login."""

import re
from pathlib import Path

from itertl.errors import UsageError

_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_TOKEN = re.compile(r"hf_\w+")


def check_push(name: str) -> None:
    """Raise UsageError now for what would make ``push`` fail after all the other work: the name, or no token."""
    from huggingface_hub import get_token

    if not _NAME.match(name):
        raise UsageError(f"--push {name!r}: give the name of a hub repository, OWNER/MODEL")
    if get_token() is None:
        raise UsageError("--push needs a token of the hub: set HF_TOKEN, or log in with `hf auth login`")


def push(folder: Path, name: str, *, private: bool) -> str:
    """Upload ``folder`` to the model repository ``name``, made if need be. Returns its address.

    Raises UsageError where the hub refuses, is not reached, or the repository is there and public while ``private`` is
    asked for; the message never holds a token. The folder stays as it is.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = str(api.create_repo(name, private=private, exist_ok=True))
        is_public = private and not api.model_info(name).private
        if not is_public:
            api.upload_folder(repo_id=name, folder_path=str(folder), commit_message="Export of itertl")
    except Exception as error:  # the hub's client raises its own errors and those of whichever network library it has
        raise UsageError(
            f"--push {name}: {_without_token(error)}; {folder} is complete, so the same can be pushed again"
        ) from error
    if is_public:
        raise UsageError(
            f"--push {name} --private: the repository is there and public; make it private first, or take another name"
        )
    return address


def _without_token(error: Exception) -> str:
    from huggingface_hub import get_token

    message = " ".join(str(error).split()) or type(error).__name__
    if secret := get_token():
        message = message.replace(secret, "(token)")
    return _TOKEN.sub("(token)", message)[:400]

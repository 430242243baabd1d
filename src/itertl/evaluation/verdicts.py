"""What is kept of verdicts and of references' runs, in the log of a call and in the cache that other runs read.

The log keeps all that is not a fault of ours, the cache leaves out timeouts too. What a reference said is kept where it
was right; what went wrong is tried again by the next call.
"""

import json
from typing import Any, TypeAlias

from itertl.judging.outcomes import Judgement
from itertl.judging.strict import Said
from itertl.records import Fault, Verdict
from itertl.work.desk import Form

Answer: TypeAlias = Judgement | Said


def _logged(answer: Answer) -> dict[str, Any] | None:
    if isinstance(answer, Said):
        return {"found": {"lines": list(answer.lines)}} if answer.stopped is None and answer.lines else None
    verdict, detail = answer
    return {"found": [verdict.value, detail]} if verdict.fault is not Fault.OURS else None


def _kept(answer: Answer) -> str | None:
    entry = _logged(answer)
    if entry is None or (not isinstance(answer, Said) and answer[0] is Verdict.TIMEOUT):
        return None
    return json.dumps(entry["found"], ensure_ascii=False)


def _read(found: Any) -> Answer:
    if isinstance(found, dict):
        return Said(None, tuple(str(line) for line in found["lines"]))
    verdict, detail = found
    return Verdict(verdict), str(detail)


FORM: Form[Answer] = Form(
    name="verdicts", point="judge.item", logged=_logged, from_log=lambda entry: _read(entry["found"]),
    kept=_kept, from_cache=lambda text: _read(json.loads(text)),
)  # fmt: skip

"""The filters of written pairs, in their order: headers, length, duplicates, what tools say of the code, benchmarks.

A header, length and duplicates stand before anything more is asked of the teacher. What could not be judged by our own
fault is dropped too, and said to be so.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from itertl.audit.audit import audit
from itertl.audit.function import inspected
from itertl.audit.function_report import REMARKS
from itertl.problems import normalize
from itertl.problems.normalize import TEXT_GRAM, Vocabulary
from itertl.problems.prints import TEXT_OVERLAP
from itertl.records import Examined, Fault, Problem, Verdict
from itertl.scoring.engine import Effort
from itertl.scoring.rouge_l import rouge_l_f1
from itertl.search import cluster, traces
from itertl.search.workers import examine
from itertl.verilog.header import derive_top
from itertl.writing.checks import Question, empty
from itertl.writing.draft import OURS, Draft, in_running
from itertl.writing.examples import every_text
from itertl.writing.prompts import LEAST_WORDS, MOST_WORDS

ROUGE = 0.7  # F1 from above which two instructions are one
_TRACE_STEPS = 512
_CHECK = "itertl.writing.checks:check"
_UNPARSED = frozenset({Verdict.SYNTAX_ERROR, Verdict.NO_CODE})
Why = tuple[str, str]  # reason, detail


@dataclass(slots=True)
class Texts:
    """The instructions so far. One is like an earlier one where the Rouge-L F1 of their words exceeds ``ROUGE``, or
    where the shorter of the two has at least half of its 8-grams of words in the other."""

    _names: list[str] = field(default_factory=list[str])
    _words: list[list[str]] = field(default_factory=list[list[str]])
    _counts: list[Counter[str]] = field(default_factory=list[Counter[str]])
    _sizes: list[int] = field(default_factory=list[int])  # of the sets of 8-grams
    _holders: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # 8-gram -> texts
    _vocabulary: Vocabulary = field(default_factory=Vocabulary)

    @staticmethod
    def of_examples() -> "Texts":
        """Those that the teacher is shown: it does not write them."""
        found = Texts()
        for name, text in every_text():
            found.add(name, text)
        return found

    def like(self, text: str) -> tuple[str, str] | None:
        """(name of the earliest that it is like, how); None where it is like none."""
        words = normalize.words(text)
        grams = self._vocabulary.grams(words, TEXT_GRAM)
        shared = Counter(n for gram in grams for n in self._holders.get(gram, ()))
        counts = Counter(words)
        for number, name in enumerate(self._names):
            if shared[number] and shared[number] >= TEXT_OVERLAP * min(len(grams), self._sizes[number]):
                return name, "8-grams"
            if self._may_be_alike(words, counts, number) and rouge_l_f1(words, self._words[number]) > ROUGE:
                return name, "Rouge-L"
        return None

    def _may_be_alike(self, words: Sequence[str], counts: Counter[str], number: int) -> bool:
        """Whether their words, in any order, would do: what is common cannot be longer."""
        total = len(words) + len(self._words[number])
        if not total or 2 * min(len(words), len(self._words[number])) <= ROUGE * total:
            return False
        return 2 * (counts & self._counts[number]).total() > ROUGE * total

    def add(self, name: str, text: str) -> None:
        words = normalize.words(text)
        grams = self._vocabulary.grams(words, TEXT_GRAM)
        for gram in grams:
            self._holders[gram].append(len(self._names))
        self._names.append(name)
        self._words.append(words)
        self._counts.append(Counter(words))
        self._sizes.append(len(grams))


def by_header(drafts: Sequence[Draft], effort: Effort) -> None:
    """The last part of ``answer``: no code is asked for to a header that does not elaborate by itself."""
    asked = [Question(empty(draft.header), "", draft.top) for draft in drafts]
    answers = examine(_CHECK, asked, replace(effort, num_workers=1), lost=cluster.lost)  # one is begun sooner than more
    for draft, said in zip(drafts, answers, strict=True):
        if said.verdict is Verdict.PASSED:
            draft.passed.append("answer")
        else:
            fails = "parse" if said.verdict in _UNPARSED else "elaborate"
            draft.drop("answer", *_why(said, f"the header does not {fails}"))


def by_text(drafts: Iterable[Draft], texts: Texts) -> None:
    """Length, then duplicates of what passed before; what passes is added to ``texts``."""
    for draft in drafts:
        count = len(draft.instruction.split())
        if not LEAST_WORDS <= count <= MOST_WORDS:
            few = f"fewer than {LEAST_WORDS} words" if count < LEAST_WORDS else f"more than {MOST_WORDS} words"
            draft.drop("length", few, f"{count} words")
            continue
        draft.passed.append("length")
        found = texts.like(draft.instruction)
        if found is not None:
            draft.drop("duplicate", found[1], f"like {found[0]}")
            continue
        draft.passed.append("duplicate")
        texts.add(draft.name, draft.instruction)


def by_tools(drafts: Sequence[Draft], effort: Effort, on_done: Callable[[int], None] = lambda count: None) -> None:
    """Parse and elaborate, then sound hardware, of each draft's codes. What is described has the ports that it has."""
    headers = {d.name: "" if d.original else d.header for d in drafts}
    asked = {(code, headers[d.name]): Question(code, headers[d.name], d.top) for d in drafts for code in d.codes}
    answers = examine(_CHECK, list(asked.values()), effort, lost=cluster.lost)
    said = dict(zip(asked, answers, strict=True))
    for step, verdicts in (("parse", _UNPARSED), ("elaborate", frozenset[Verdict]())):
        for draft in in_running(drafts):
            found = {code: said[code, headers[draft.name]] for code in draft.codes}
            wrong = {
                code: _why(one, "does not parse" if verdicts else "does not elaborate")
                for code, one in found.items()
                if one.verdict is not Verdict.PASSED and (one.verdict in verdicts or not verdicts)
            }
            draft.keep_codes(step, wrong)
    _by_function(in_running(drafts), effort, on_done)


def _why(said: Examined, reason: str) -> Why:
    if said.verdict.fault is Fault.OURS:
        return f"{OURS}slang", said.message
    return said.group or reason, said.message


def _by_function(drafts: Sequence[Draft], effort: Effort, on_done: Callable[[int], None]) -> None:
    pairs = sorted({(code, d.top or derive_top(code) or "") for d in drafts for code in d.codes})
    faults, unjudged = inspected(pairs, num_workers=effort.num_workers, cache=effort.cache, on_done=on_done)
    for draft in drafts:
        wrong: dict[str, Why] = {}
        for code in draft.codes:
            key = code, draft.top or derive_top(code) or ""
            found = [fault for fault in faults.get(key, ()) if fault[0] not in REMARKS]
            if key in unjudged:
                wrong[code] = f"{OURS}audit by function", unjudged[key]
            elif found:
                wrong[code] = found[0]
        draft.keep_codes("sound", wrong)


def by_agreement(drafts: Sequence[Draft], draws: int, effort: Effort) -> None:
    """Keep the first code of the largest group that behaves alike on the same inputs, where it is more than half of
    the ``draws``."""
    questions = [traces.Question(code, d.header, d.top, _TRACE_STEPS) for d in drafts for code in d.codes]
    groups = iter(examine("itertl.search.traces:trace", questions, effort, lost=cluster.lost))
    for draft in drafts:
        said = [(code, next(groups).group) for code in draft.codes]
        sizes = Counter(group for _, group in said if group)
        largest = max(sizes.values(), default=0)
        draft.about["agreement"] = [largest, draws]
        if 2 * largest <= draws:
            why = "no answer runs" if not largest else "the answers disagree"
            draft.drop("agreement", why, f"{largest} of {draws} behave alike")
            continue
        draft.codes = [next(code for code, group in said if group and sizes[group] == largest)]
        draft.passed.append("agreement")


def by_overlap(rows: Mapping[str, Problem], drafts: Sequence[Draft], benchmarks: Sequence[Problem]) -> None:
    """Drop what overlaps a task of a benchmark, in words or code, as the audit finds it. ``rows``: by draft's name."""
    report = audit(list(rows.values()), benchmarks=benchmarks, check_tools=False)
    found = {finding.problem.id: finding for finding in reversed(report.contamination or ())}
    for draft in drafts:
        finding = found.get(rows[draft.name].id)
        if finding is None:
            draft.passed.append("overlap")
        else:
            draft.drop("overlap", f"{finding.kind} of {finding.benchmark}", f"{finding.task}: {finding.evidence}")

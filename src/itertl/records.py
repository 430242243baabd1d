"""The records that pass between stages and are stored on disk: the glossary of the project.

Everything here is frozen. Records are written as JSON Lines, one object a line, with the record's name and version in
the field ``schema``; ``storage.read_records`` refuses a line of another schema. Records that hold a tensor are not
here but beside the code that makes them (``training/batches.py``): they are never written.
"""

import hashlib
import json
from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

JsonValue = Any


def canonical_json(value: JsonValue) -> str:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8 kept. Hashes are taken over it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: JsonValue, length: int = 16) -> str:
    """The first ``length`` hexadecimal digits of SHA-256 over ``canonical_json(value)``."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]


class Fault(StrEnum):
    """Whose fault a verdict is. Only NONE and MODEL enter a rate; OURS is counted separately as unjudged."""

    NONE = "none"
    MODEL = "model"
    OURS = "ours"


class Verdict(StrEnum):
    """What came out of judging or scoring one candidate. Never a bool: "could not judge" is not "wrong"."""

    PASSED = "passed"  # all that was asked holds
    SCORED = "scored"  # a measure without pass or fail (likeness, say) was taken
    NO_CODE = "no_code"  # the text holds no module
    SYNTAX_ERROR = "syntax_error"  # does not parse
    ELABORATION_ERROR = "elaboration_error"  # parses, but ports, types or names do not fit
    COMPILE_ERROR = "compile_error"  # the simulator refused it, whichever of the two it was
    WRONG_OUTPUT = "wrong_output"  # ran, and an output differs from the reference
    GAMED = "gamed"  # uses what a design must not (testbench, files, time, tool macros): refused unrun
    RUNTIME_ERROR = "runtime_error"  # ran, and ended without a verdict (crash, early $finish, runtime message)
    TIMEOUT = "timeout"  # did not end within its limits of time, memory or output
    TRUNCATED = "truncated"  # generation hit its token limit before the code was complete
    TOOL_MISSING = "tool_missing"  # ours: a program or package is not installed
    TOOL_FAILED = "tool_failed"  # ours: a program or package broke
    UNJUDGEABLE = "unjudgeable"  # ours: the problem's own reference cannot be judged here
    UNDECIDED = "undecided"  # ours: a tool came to no answer on this candidate (a proof that ran out of time, say)

    @property
    def fault(self) -> Fault:
        if self in (Verdict.PASSED, Verdict.SCORED):
            return Fault.NONE
        if self in (Verdict.TOOL_MISSING, Verdict.TOOL_FAILED, Verdict.UNJUDGEABLE, Verdict.UNDECIDED):
            return Fault.OURS
        return Fault.MODEL


class Record(BaseModel):
    """Base of all records: frozen, unknown fields refused, ``schema`` on every line."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_name: ClassVar[str]

    def to_line(self) -> str:
        """One line of JSON (no newline), ``schema`` first, fields in declared order."""
        body = {"schema": self.schema_name, **self.model_dump(mode="json")}
        return json.dumps(body, ensure_ascii=False, allow_nan=False)


class Problem(Record):
    """One instruction, with its reference where there is one. Make it with ``Problem.create``.

    Example: ``Problem.create(instruction="Build a 2-to-1 mux …", header="module mux2(input a, …);\\n",
    reference="module mux2(input a, …);\\nassign y = s ? b : a;\\nendmodule\\n", source="synth:mux",
    licence="Apache-2.0")``
    """

    schema_name: ClassVar[str] = "itertl.problem/1"

    id: str  # content hash of instruction, header and reference
    instruction: str  # what the model is asked
    header: str = ""  # module header or skeleton given with the instruction; "" where none is
    reference: str | None = None  # a whole, right answer (header included)
    top: str | None = None  # name of the module asked for, where known
    testbench: str | None = None  # self-checking testbench, VerilogEval kind (module tb; holds its own reference)
    source: str  # where it comes from: "synth:FAMILY", a file name, a data set's name
    licence: str = "unknown"
    family: str | None = None  # generator family, for the held-out split
    split: str | None = None  # "train", "heldout-family", "heldout-parameter"
    upstream_id: str | None = None  # the id that the source gave it (task_id, row id)
    extra: dict[str, JsonValue] = Field(default_factory=dict)  # other upstream columns worth keeping

    @classmethod
    def create(cls, *, instruction: str, header: str = "", reference: str | None = None, **fields: Any) -> "Problem":
        """Fill in ``id``, the content hash of what the model is asked and what it is compared with."""
        ident = content_hash([instruction, header, reference])
        return cls(id=ident, instruction=instruction, header=header, reference=reference, **fields)


class Dropped(BaseModel):
    """A piece of generated text that extraction removed, and why. Example: ``("prose before the code", "Sure! …")``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    reason: str
    text: str


class SamplingSettings(BaseModel):
    """How text was drawn. ``temperature`` 0 is greedy. Example: ``(temperature=0.5, top_p=0.95)``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    temperature: float = Field(default=0.5, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_new_tokens: int = Field(default=512, ge=1)
    stop_at_module: bool = False  # end where the wanted module is complete, with all that it instantiates
    stop_at_repetition: bool = False  # end where a text repeats itself


# End token; token limit; the wanted module is complete; repetition.
FinishReason = Literal["stop", "length", "module", "repetition"]


class Continued(BaseModel):
    """Of an answer that was begun before it was drawn: where the draw began, and the most likely tokens there.

    Example: ``Continued(prefix_tokens=4, likely=(((318, 0.9), (25, 0.06)),))``: two tokens behind the fourth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    prefix_tokens: int  # of ``token_ids``, those that were given
    likely: tuple[tuple[tuple[int, float], ...], ...] = ()  # (token, probability), behind the prefix and later tokens


class Candidate(Record):
    """One sampled response. The reference is not a candidate: training adds it as the K-th response."""

    schema_name: ClassVar[str] = "itertl.candidate/1"

    problem_id: str
    index: int  # 0 … K-2 within its problem
    policy: str  # what sampled it: content hash of the checkpoint, or a back end's name for stored completions
    settings: SamplingSettings
    seed: int  # seed of this sample alone
    text: str  # what the model wrote (a header forced as prefill is not part of it)
    code: str  # the Verilog taken from it, whole module(s), header included; "" where there is none
    dropped: tuple[Dropped, ...] = ()  # what extraction removed from text
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    token_ids: tuple[int, ...] | None = None  # ids of text as sampled, end token included; None from other back ends
    token_logprobs: tuple[float, ...] | None = None  # of each token as its server reports it, where it does
    continued: Continued | None = Field(default=None, exclude_if=lambda found: found is None)

    @property
    def is_cut(self) -> bool:
        """Whether the text ends where the model would have gone on."""
        return self.finish_reason in ("length", "repetition")


class Examined(BaseModel):
    """What a search's tools said of one attempt."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    verdict: Verdict
    rank: float  # higher is better; from 1 on it is all that the strategy looks for
    message: str = ""  # what the model is shown of it
    group: str = ""  # attempts with equal groups behaved the same
    tool_calls: int = 0
    # with an aim: what the design costs, and what is known of its being equal to the first right one
    cost: float | None = Field(default=None, exclude_if=lambda cost: cost is None)
    proof: str = Field(default="", exclude_if=lambda proof: not proof)


class Attempt(Record):
    """One draw of a search at test time, what it went on from, and what became of it."""

    schema_name: ClassVar[str] = "itertl.attempt/1"

    candidate: Candidate  # ``index`` is the attempt's number in its search, from 0
    search: int  # which of its problem's searches
    round: int
    kind: str = ""  # what was asked for; "": a design
    parent: int | None = None  # the attempt whose code the model was shown last; None: none
    shown: tuple[tuple[int, str], ...] = ()  # (attempt, message) of each turn that stood in the prompt, oldest first
    examined: Examined

    @property
    def read_tokens(self) -> int:
        """Of its prompt, and of what its answer was begun with."""
        return self.candidate.prompt_tokens + self._begun

    @property
    def drawn_tokens(self) -> int:
        """That the model wrote: without those that the answer was begun with."""
        return self.candidate.completion_tokens - self._begun

    @property
    def _begun(self) -> int:
        return self.candidate.continued.prefix_tokens if self.candidate.continued else 0


Spans = tuple[tuple[int, int], ...]  # characters of a text: from the first to before the second, in order


class Signal(BaseModel):
    """One output of a candidate: whether it is right, and the statements that drive it.

    Example: ``("y", is_right=False, spans=((52, 69),), reference_spans=((40, 58),))``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    output: str
    is_right: bool
    spans: Spans | None  # in the candidate's code; None: they cannot be told from the rest of the text
    reference_spans: Spans | None  # the same in the reference


class Score(BaseModel):
    """What one scorer said of one candidate. ``value`` is None exactly when the fault is ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    scorer: str
    value: float | None
    verdict: Verdict
    detail: str = ""  # first error message, cut to a few hundred characters
    tool: str = ""  # "pyverilog", "slang", "iverilog", "rapidfuzz"
    tool_version: str = ""
    # inputs that show it wrong: ``equivalence.replay``
    counterexample: str = Field(default="", exclude_if=lambda text: not text)
    wrong_outputs: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)  # of ``vectors``
    signals: tuple[Signal, ...] = Field(default=(), exclude_if=lambda found: not found)  # of ``signals``


class Scored(Record):
    """A candidate and its scores side by side, never summed: z is made of them when training reads them."""

    schema_name: ClassVar[str] = "itertl.scored/1"

    candidate: Candidate
    scores: tuple[Score, ...]

    def score(self, scorer: str) -> Score:
        """The score of that name. Raises KeyError where it was not taken."""
        for score in self.scores:
            if score.scorer == scorer:
                return score
        raise KeyError(scorer)


class EvalRow(Record):
    """The verdict on one completion for one benchmark problem."""

    schema_name: ClassVar[str] = "itertl.eval_row/1"

    task_id: str
    index: int  # 0 … n-1 within its task
    verdict: Verdict
    passed: bool | None  # None: unjudged, whose fault is ours
    detail: str = ""
    completion_hash: str  # content hash of the judged text
    benchmark: str  # name and version
    simulator: str  # name and version
    rule: str  # name of the verdict rule
    sandbox: str = ""  # level under which the tools ran: "bubblewrap", "landlock" or "rlimits"
    temperature: float | None = None  # None for stored completions
    # how it was searched for, "" for one draw, and what the strategy looked at: "reference" saw what is asked for
    strategy: str = Field(default="", exclude_if=lambda text: not text)
    feedback: str = Field(default="", exclude_if=lambda text: not text)
    # shown before the question, as "2 by bm25 of …"
    examples: str = Field(default="", exclude_if=lambda text: not text)


class SearchCost(BaseModel):
    """What the searches behind some answers took."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    strategy: str
    feedback: str  # what it looked at beside the model's own texts
    answers: int
    attempts: int
    rounds: int  # of the longest search
    tool_calls: int
    prompt_tokens: int
    completion_tokens: int
    solved: int = 0  # searches in which an attempt holds all that the strategy looks at
    solved_at_once: int = 0  # those of them in which a plain draw of the first round does
    solved_by_plain: float | None = None  # how many plain draws of as many tokens are expected to solve, where known


class TrainStep(Record):
    """One optimizer step, as logged in ``train.jsonl``. Losses are means over the step's groups."""

    schema_name: ClassVar[str] = "itertl.train_step/1"

    step: int  # 1-based within the iteration
    epoch: float  # epochs done after this step
    loss: float
    loss_ce: float  # cross-entropy of the reference (eq. 3), or of the method's own target; 0 where it has none
    loss_ranking: float  # ranking sum (eq. 2), or what the method has in its place
    lam: float  # λ, mean over groups (eq. 4)
    grad_norm: float  # before clipping
    learning_rate: float
    groups: int
    tokens: int  # tokens put through the model
    plain_tokens: int = 0  # what one pass for each response, each with its own prompt, would have put through it
    pairs: int  # candidate pairs, all
    pairs_active: int  # z_k < z_tau - beta
    pairs_hinged: int  # active and with a positive hinge

    def tracked(self) -> dict[str, float]:
        """What experiment trackers are given of the step."""
        names = {"loss", "loss_ce", "loss_ranking", "lam", "grad_norm", "learning_rate", "tokens", "pairs_active"}
        return {name: float(value) for name, value in self.model_dump(include=names).items()}


class PassAtK(BaseModel):
    """An estimate of pass@k with its 95% interval over problems. ``value`` None: fewer than k samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    k: int
    value: float | None
    low: float | None = None
    high: float | None = None


class EvalSummary(BaseModel):
    """What one benchmark said of one policy: rates, and the account that adds up to ``total``.

    ``correct + wrong + truncated + unjudged == total`` (completions).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    benchmark: str
    problems: int
    total: int
    correct: int
    wrong: int
    truncated: int
    unjudged: int
    compiled: int  # correct, wrong output, runtime error or timeout: got past the compiler
    by_verdict: dict[str, int]
    gamed_by: dict[str, int] = Field(default_factory=dict)  # rule that refused a design unrun -> how many
    pass_at_k: tuple[PassAtK, ...]
    temperature: float | None
    rule: str
    simulator: str
    sandbox: str = ""  # level under which the tools ran
    mean_surrogate: float | None = None  # mean z that the recipe's scorers give these completions
    search: SearchCost | None = Field(default=None, exclude_if=lambda cost: cost is None)
    examples: str = Field(default="", exclude_if=lambda text: not text)  # as in its rows

    @property
    def pass_at_1(self) -> float | None:
        return next((p.value for p in self.pass_at_k if p.k == 1), None)

    @property
    def compile_rate(self) -> float | None:
        """Share of the judged completions that got past the compiler; None where none was judged.

        A truncated completion counts as judged: its fault is the model's.
        """
        judged = self.total - self.unjudged
        return self.compiled / judged if judged > 0 else None


class Telemetry(BaseModel):
    """What section 3.2 of the paper asks to watch, for one iteration. None: not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    problems: int  # groups that were sampled
    candidates: int
    unscored: int  # candidates without a z, by our fault
    mean_z: float | None  # over candidates, reference left out
    share_parses: float | None  # candidates whose code parses
    share_duplicates: float  # candidates whose code equals an earlier one of their group, or the reference
    share_truncated: float  # finish reason "length"
    share_active_pairs: float | None  # pairs with z_k < z_tau - beta, of all pairs of K responses
    share_hinged_pairs: float | None  # active pairs with a positive hinge, over the last epoch's steps
    mean_logp_old: float | None  # per token, of this iteration's samples, under the policy that sampled them
    mean_logp_new: float | None  # the same under the policy that training made of it
    kl_old_new: float | None  # mean over samples of log pi_t(a|s) - log pi_{t+1}(a|s), nats a sequence
    dropped_too_long: int  # responses left out of training for their length
    references_too_long: int  # groups left out because the reference is too long
    rungs: dict[str, int] | None = None  # of the recipe's ladder: candidates whose highest rung this is; "" for none
    share_surrogate_wrong: float | None = None  # of candidates with z = 1 by the paper's score, those wrong by function
    share_missed_by_surrogate: float | None = (
        None  # of pairs that z orders by more than beta, those that score does not
    )
    groups_of_equal_z: int | None = None  # groups whose candidates all have one z
    groups_with_right: int | None = None  # groups with a candidate that is right by function; None: no scorer says
    candidates_right: int | None = None
    groups_left_out: int = 0  # of training, but for their references, by ``train.groups``
    candidates_rejected: int = 0  # by rejection sampling
    candidates_verified: int | None = None  # right ones that were trained on; None: not what the method does
    share_compared_pairs: float | None = None  # pairs that training compared, of all pairs of its groups
    search: SearchCost | None = Field(default=None, exclude_if=lambda cost: cost is None)  # behind the candidates
    signal_pairs: int | None = None  # with credit by signal: pairs that differ in an output; None: not the method's
    signal_pairs_clear: int | None = None  # of them, those whose driving statements are told apart in both
    share_slice_tokens: float | None = None  # mean share of a compared response's tokens that these statements are


class IterationMetrics(Record):
    """One line of ``metrics.jsonl``. ``iterations`` 0 is the untouched model: no training, no telemetry."""

    schema_name: ClassVar[str] = "itertl.iteration_metrics/1"

    iterations: int  # iterations done
    method: str
    telemetry: Telemetry | None
    loss: float | None  # mean over the last epoch
    loss_ce: float | None
    loss_ranking: float | None
    evals: tuple[EvalSummary, ...]
    train_tokens: int = 0
    reference_tokens_seen: int = 0  # reference tokens in training so far, all iterations
    candidate_tokens_seen: int = 0

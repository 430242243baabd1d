"""From scored candidates to what training reads: one group for each problem, all token ids.

A group is a prompt with its K responses, the reference last. Records here hold no tensors, so this module needs no
torch; how groups lie in the rows of a batch is ``packing``'s, tensors are ``collate``'s.

What is left out is counted, never silently dropped: see ``GroupCounts``.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from itertl.config import PromptConfig, ScoreConfig, TrainConfig
from itertl.errors import DataError
from itertl.model.prompts import EncodedPrompt, encode_prompt, encode_response
from itertl.records import Problem, Scored
from itertl.scoring.combine import combine, compiles, is_right
from itertl.training.blocks import text_blocks
from itertl.training.credit import Credit, CreditCounts, SignalPair, Signals, check_known, count, signal_pairs
from itertl.training.methods import Method, accept
from itertl.training.packing import Piece
from itertl.verilog.text import rename_identifiers, tokenize

REFERENCE_Z = 1.0  # quality score of the reference, by definition


@dataclass(frozen=True, slots=True)
class Response:
    """One response to a group's prompt. Example: ``Response((91, 17, 2), 0.83)``."""

    token_ids: tuple[int, ...]  # end token included where the text ended
    z: float  # quality score
    is_reference: bool = False
    compiles: bool | None = (
        None  # by the scorers; None: they do not say, or not asked. The reference does, and is right
    )
    is_right: bool | None = None
    design: str = ""  # equal for two right ones that are one design; "" where nothing asks for it
    signals: Signals | None = None  # of its outputs, with credit by signal; None: not known, or not asked


@dataclass(frozen=True)
class Group:
    """A prompt with its responses, the reference last (the paper's a_1 … a_K)."""

    problem_id: str
    prompt_ids: tuple[int, ...]
    responses: tuple[Response, ...]

    @property
    def reference(self) -> Response:
        return self.responses[-1]

    @property
    def reference_tokens(self) -> int:
        """Of all its references: a block of whole files has several."""
        return sum(len(response.token_ids) for response in self.responses if response.is_reference)

    def num_pairs(self) -> int:
        """Unordered pairs of responses that could be compared; of each at most one order can be active."""
        references = sum(response.is_reference for response in self.responses)
        return math.comb(len(self.responses), 2) - math.comb(references, 2)

    def active_pairs(self, beta: float) -> list[tuple[int, int]]:
        """(k, tau) with z_k < z_tau - beta, in Python floats: the same set as ``losses.active_pairs``."""
        z = [response.z for response in self.responses]
        return [(k, tau) for k in range(len(z)) for tau in range(len(z)) if z[k] < z[tau] - beta]

    @cached_property
    def signal_pairs(self) -> tuple[SignalPair, ...]:
        """The pairs that differ in an output."""
        return signal_pairs(self.responses)

    def compared(self, method: Method) -> list[SignalPair]:
        """Of them those that the method compares, with credit by signal."""
        may_fall = self.may_fall(method)
        return [pair for pair in self.signal_pairs if may_fall[pair.worse]] if self.weight(method) else []

    def pairs(self, method: Method) -> list[tuple[int, int]]:
        """The pairs that the method compares, the worse response first: those of which it may fall, in a group that
        counts."""
        if method.credit == "signal":
            return [(pair.worse, pair.better) for pair in self.compared(method)]
        if not self.weight(method):
            return []
        may_fall = self.may_fall(method)
        return [pair for pair in self.active_pairs(method.beta) if may_fall[pair[0]]]

    def may_fall(self, method: Method) -> list[bool]:
        """Which responses may be pushed down (``method.negatives``)."""
        if method.negatives == "near":
            return [response.is_reference or response.compiles is True for response in self.responses]
        has_right = any(self.responses[index].is_right for index in self.members())
        may = method.negatives == "all" or (method.negatives == "beside-right" and has_right)
        return [may] * len(self.responses)

    def weight(self, method: Method) -> float:
        """Of the group's terms: 1, or √(p(1 - p)), p the share of right ones among its candidates (0 where unknown)."""
        if method.group_weight == "none":
            return 1.0
        known = [right for index in self.members() if (right := self.responses[index].is_right) is not None]
        share = sum(known) / len(known) if known else 0.0
        return math.sqrt(share * (1 - share))

    def needed(self, method: Method) -> tuple[int, ...]:
        """Indices of the responses whose log-probabilities enter the loss with a gradient, ascending; perhaps none.

        What is left out has a gradient of exactly zero: a candidate in no pair, a response that has the group's
        mean reward. With the softmax of eq. 13 all K enter the normalisation, so none is left out while a pair is
        active, nor is one with a term of the user's own.
        """
        found = set(self.ce_targets(method)) if method.uses_ce else set[int]()
        if method.compares_pairs:
            pairs = self.pairs(method)
            if (method.softmax and pairs) or (method.term and self.weight(method)):
                return tuple(range(len(self.responses)))
            found |= {index for pair in pairs for index in pair}
        if method.terms == "policy-gradient" and self.weight(method):
            members = self.members()
            z = [self.responses[index].z for index in members]
            if method.kl_weight > 0:
                found |= set(members)
            elif len(set(z)) > 1:
                may_fall, mean = self.may_fall(method), sum(z) / len(z)
                found |= {index for index in members if may_fall[index] or self.responses[index].z >= mean}
        return tuple(sorted(found))

    def ce_targets(self, method: Method) -> dict[int, float]:
        """Indices of the responses whose cross-entropy is taken, with the share of each; none where none serves.

        An answer that ends at once is not a text to imitate, however bad the others are.
        """
        last = len(self.responses) - 1
        if method.ce_target == "reference":
            total, is_mean = self.reference_tokens, method.ce_reduction == "mean"
            sizes = {n: len(one.token_ids) for n, one in enumerate(self.responses) if one.is_reference}
            return {n: size / total if is_mean else 1.0 for n, size in sizes.items()}
        if method.ce_target == "verified":
            right, share = self.verified(method), method.verified_share
            shares = {last: 1 - share} | {index: share / len(right) for index in right}
            return {index: part for index, part in shares.items() if part}
        ends_at_once = [len(response.token_ids) <= 1 for response in self.responses]
        choices = [k for k in range(last + (method.ce_target == "best")) if k == last or not ends_at_once[k]]
        best = max(choices, key=lambda index: (self.responses[index].z, index), default=None)
        return {} if best is None else {best: 1.0}

    def verified(self, method: Method) -> tuple[int, ...]:
        """The right candidates, one of each design, at most ``method.max_verified``: those of the largest z, of equals
        the first."""
        found: dict[str, int] = {}
        members = [index for index in self.members() if self.responses[index].is_right]
        for index in sorted(members, key=lambda index: (-self.responses[index].z, index)):
            found.setdefault(self.responses[index].design, index)
        return tuple(sorted(list(found.values())[: method.max_verified]))

    def members(self) -> tuple[int, ...]:
        """The candidates, over which a policy gradient normalises its rewards; the reference is not sampled."""
        return tuple(index for index, response in enumerate(self.responses) if not response.is_reference)

    def slots(self, needed: Sequence[int]) -> dict[int, int]:
        """For each index in ``needed``, the first of them with the same tokens: these share one forward pass."""
        first: dict[tuple[int, ...], int] = {}
        return {index: first.setdefault(self.responses[index].token_ids, index) for index in needed}

    def piece(self, number: int, method: Method) -> Piece | None:
        """What of this group goes through the model; None where nothing needs to."""
        slots = sorted(set(self.slots(self.needed(method)).values()))
        if not slots:
            return None
        return Piece(number, self.prompt_ids, tuple(self.responses[slot].token_ids for slot in slots), tuple(slots))

    def plain_tokens(self) -> int:
        """What the released code's way puts through the model: the prompt again with each of the K responses."""
        return sum(len(self.prompt_ids) + len(response.token_ids) for response in self.responses)


@dataclass(slots=True)
class GroupCounts:
    """What became of all problems and candidates; every candidate given is in exactly one of ``candidates_…``, or
    kept."""

    problems_without_reference: int = 0
    prompts_too_long: int = 0  # problems whose prompt leaves no room (or has more than the method's share of it)
    references_too_long: int = 0  # problems left out because prompt + reference exceed max_length
    duplicates: int = 0  # kept candidates whose tokens equal the reference's or an earlier candidate's of their group
    candidates: int = 0  # kept
    candidates_too_long: int = 0
    candidates_unscored: int = 0  # no z, by our fault
    candidates_empty: int = 0  # no token at all: no room, or the endpoint held the answer back
    candidates_of_dropped: int = 0  # their problem was left out
    groups_of_equal_z: int = 0  # with ``groups: mixed``: all candidates had one z; what is left is the reference
    candidates_of_equal_z: int = 0
    candidates_rejected: int = 0  # not accepted by ``accept_beta``


@dataclass(frozen=True)
class GroupSet:
    """All groups of one training round in the order of the problems, and counts of what is not in them."""

    groups: tuple[Group, ...]
    counts: GroupCounts = field(default_factory=GroupCounts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, scores and tokens of every group, and over what the method asks beside."""
        sha = hashlib.sha256()
        for g in self.groups:
            content = g.problem_id, g.prompt_ids, [(r.token_ids, r.z, r.is_reference) for r in g.responses]
            asked = [(r.compiles, r.is_right, r.design, r.signals) for r in g.responses]
            is_asked = any(one != (None, None, "", None) for one in asked)
            sha.update(repr((*content, asked) if is_asked else content).encode("utf-8", "surrogatepass"))
        return sha.hexdigest()

    def num_pairs(self) -> int:
        return sum(group.num_pairs() for group in self.groups)

    def num_active_pairs(self, method: Method) -> int:
        """Those that the method compares, in one order or in both."""
        return sum(len({frozenset(pair) for pair in g.pairs(method)}) for g in self.groups)

    def credit_counts(self, method: Method) -> CreditCounts:
        return count((g.responses, g.compared(method)) for g in self.groups)


def build_groups(
    scored: Sequence[Scored],
    problems: Sequence[Problem],
    tokenizer: Any,
    *,
    prompt: PromptConfig,
    score: ScoreConfig,
    train: TrainConfig,
    method: Method,
    seed: int = 0,
) -> GroupSet:
    """Encode every problem that has a reference, with its candidates, as a group.

    A method that uses no candidates gets groups of the reference alone, one of whole files gets blocks of references as
    texts (``blocks_of``). Candidates come in the order of their index; ``seed`` decides which are accepted, for a
    method that rejects some. Raises DataError for a candidate of an unknown problem, a problem given twice, or a prompt
    that encodes to nothing.
    """
    build = _Builder(tokenizer, prompt, score, train, method, seed, Credit(tokenizer))
    if method.credit == "signal":
        check_known(scored)
    by_problem = by_problem_id(scored if method.uses_candidates else (), problems)
    if method.whole_files:
        return GroupSet(tuple(build.blocks_of(problems)), build.counts)
    groups: list[Group] = []
    for problem in problems:
        group = build.group_of(problem, by_problem[problem.id])
        if group is None:
            build.counts.candidates_of_dropped += len(by_problem[problem.id])
        groups += [] if group is None else [group]
    if method.groups == "mixed" or method.ce_target == "verified":
        groups = [g for g in groups if _teaches(g, method)] or groups
    return GroupSet(tuple(groups), build.counts)


def _teaches(group: Group, method: Method) -> bool:
    """Whether a group takes a place in a step: not one that lost its candidates, or has none that is right, and whose
    reference the method does not train on."""
    return bool(group.needed(method)) or (method.ce_target != "verified" and len(group.responses) > 1)


@dataclass(frozen=True, slots=True)
class _Builder:
    """Encodes problems and candidates, and counts what cannot be trained on."""

    tokenizer: Any
    prompt: PromptConfig
    score: ScoreConfig
    train: TrainConfig
    method: Method
    seed: int
    credit: Credit
    counts: GroupCounts = field(default_factory=GroupCounts)

    def group_of(self, problem: Problem, rows: Sequence[Scored]) -> Group | None:
        """The group of one problem; None where it cannot be trained on, counted."""
        if not (problem.reference and problem.reference.strip()):
            self.counts.problems_without_reference += 1
            return None
        encoded = encode_prompt(problem, self.prompt, self.tokenizer)
        length, limit = len(encoded.token_ids), self.train.max_length
        if not length:
            raise DataError(
                f"problem {problem.id}: its prompt encodes to no token; give it an instruction or a prompt.template"
            )
        share = self.method.max_prompt_share
        if length >= limit or (share < 1 and length >= share * limit):
            self.counts.prompts_too_long += 1
            return None
        reference = encode_response(problem.reference, encoded, self.tokenizer)
        if length + len(reference) > limit:
            self.counts.references_too_long += 1
            return None
        begun = (encoded.prefill, problem.header) if self.method.credit == "signal" else None
        found = [self._candidate(row, encoded, begun) for row in rows]
        responses = self._chosen(problem.id, [response for response in found if response is not None])
        self.counts.candidates += len(responses)
        self.counts.duplicates += len(responses) + 1 - len({reference, *(r.token_ids for r in responses)})
        signals = None if begun is None else self.credit.of_reference(rows, reference, problem.reference, begun)
        responses.append(Response(reference, REFERENCE_Z, is_reference=True, signals=signals))
        return Group(problem.id, encoded.token_ids, tuple(responses))

    def _chosen(self, problem_id: str, found: list[Response]) -> list[Response]:
        """The candidates that the method takes; those it does not are counted."""
        if self.method.accept_beta is not None and found:
            accepted = accept([response.z for response in found], self.method, self.seed, problem_id)
            self.counts.candidates_rejected += len(found) - len(accepted)
            found = [found[place] for place in accepted]
        if self.method.groups == "mixed" and len({response.z for response in found}) == 1:
            self.counts.groups_of_equal_z += 1
            self.counts.candidates_of_equal_z += len(found)
            return []
        return found

    def blocks_of(self, problems: Sequence[Problem]) -> list[Group]:
        """All references as plain text in blocks of at most ``max_length`` tokens: a begin token as prompt, then texts
        with their end tokens, each of which sees the begin token and itself alone. Longer texts are cut, and every
        token of every text is trained on, with the same weight within its block.
        """
        begin = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.tokenizer.eos_token_id
        texts = [(p.id, p.reference) for p in problems if p.reference and p.reference.strip()]
        self.counts.problems_without_reference += len(problems) - len(texts)
        return [
            Group(block[0][0], (int(begin),), tuple(Response(ids, REFERENCE_Z, True) for _, ids in block))
            for block in text_blocks(texts, self.tokenizer, self.train.max_length - 1)
        ]

    def _candidate(self, row: Scored, encoded: EncodedPrompt, begun: Sequence[str] | None) -> Response | None:
        """One candidate as a response, or None, counted. ``begun``: see ``Credit``; None: its signals are not asked."""
        z = combine(row.scores, self.score)
        if z is None:
            self.counts.candidates_unscored += 1
            return None
        token_ids = candidate_tokens(row, encoded, self.tokenizer, self.train.candidate_text)
        if not token_ids:
            self.counts.candidates_empty += 1
            return None
        if len(encoded.token_ids) + len(token_ids) > self.train.max_length:
            self.counts.candidates_too_long += 1
            return None
        compiled, right = (compiles(row.scores), is_right(row.scores)) if self.method.asks_verdicts else (None, None)
        is_taken = right and self.method.ce_target == "verified"
        design = "\n".join(rename_identifiers(tokenize(row.candidate.code))) if is_taken else ""
        signals = None if begun is None else self.credit.of_candidate(row, token_ids, begun)
        return Response(token_ids, float(z), compiles=compiled, is_right=right, design=design, signals=signals)


def by_problem_id(scored: Sequence[Scored], problems: Sequence[Problem]) -> Mapping[str, list[Scored]]:
    """Candidates of each problem in the order of their index; a key for every problem."""
    table: dict[str, list[Scored]] = {problem.id: [] for problem in problems}
    if len(table) != len(problems):
        counts = Counter(problem.id for problem in problems)
        twice = ", ".join(sorted(ident for ident, count in counts.items() if count > 1)[:5])
        raise DataError(f"problems given twice: {twice}; keep one of each (itertl data audit finds them)")
    for row in scored:
        if row.candidate.problem_id not in table:
            raise DataError(
                f"candidate {row.candidate.index} belongs to problem {row.candidate.problem_id}, which is not among "
                f"the {len(table)} problems given; score and train with the problems that were sampled"
            )
        table[row.candidate.problem_id].append(row)
    return {ident: sorted(rows, key=lambda s: s.candidate.index) for ident, rows in table.items()}


def candidate_tokens(row: Scored, encoded: EncodedPrompt, tokenizer: Any, text: str) -> tuple[int, ...]:
    """Token ids of a candidate after its prompt; () where the model wrote none. An answer that ends at once
    is its end token.

    Args:
        text: "code", what extraction kept, or "raw", what the model wrote. A candidate without code is trained on as
            written: it must still be pushed down. Where both texts are equal up to white space around them, the ids are
            those that were sampled, which may differ from how the tokenizer would cut that text.
    """
    candidate = row.candidate
    whole, code = encoded.prefill + candidate.text, candidate.code.strip()
    if text == "code" and code and code != whole.strip():
        return encode_response(candidate.code, encoded, tokenizer)
    if candidate.token_ids is not None:
        return candidate.token_ids
    return encode_response(whole, encoded, tokenizer, ended=candidate.finish_reason == "stop", is_answer=False)

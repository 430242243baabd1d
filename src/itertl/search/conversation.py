"""A person and a model design together: what is said, what the tools say of each answer, and the transcript.

(Chip-Chat, Blocklove et al., 2023, arXiv:2305.13243.) Each answer is compiled, and compared with the reference where
the problem has one; what the tools say stands before the person's next words in the prompt. The transcript is written
as it grows, a line for each of the person's, answer and tool, and a line of the person's only once it has had its
effect; a conversation that was left goes on from it, and the person's lines of one can be played to another model.
"""

import re
import shlex
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from itertl.errors import UsageError
from itertl.model.prompts import Turn, clean
from itertl.records import Candidate, Examined, Problem, Record
from itertl.runs import outputs, rows
from itertl.runs.storage import AppendLog, is_node, parse_record, write_bytes, write_text
from itertl.sampling.backend import Backend
from itertl.sampling.batching import SampleRequest
from itertl.sampling.draw import SamplingJob, as_candidate, encode
from itertl.scoring.candidates import item_of
from itertl.scoring.engine import Effort
from itertl.search import look
from itertl.search.workers import examine
from itertl.tools import icarus
from itertl.work.pool import map_unordered
from itertl.work.seeds import derive_seed

HELP = """what is typed is said to the model, behind what the tools say of its last answer; an empty line: that alone
/auto N           let the tools talk to the model N times, or until all they look at holds
/simulate TB.v    run the design in a testbench; what it prints is shown to the model next
/waveform F.vcd [TB.v]   the signals of that run, or, of a problem with a reference, those around the first mismatch
/code             print the design      /save FILE   write it
/undo             take back the last answer and what led to it
/quit             leave; the same command goes on"""
_DUMP = f'module itertl_dump; initial begin $dumpfile("{icarus.WAVE}"); $dumpvars; end endmodule\n'


class Said(Record):
    """One line of a transcript: the task, a line of the person's, an answer, or what a tool said."""

    schema_name: ClassVar[str] = "itertl.said/1"

    role: Literal["task", "person", "model", "tool"]
    text: str = ""
    problem: Problem | None = None  # of the task
    candidate: Candidate | None = None  # of the model
    examined: Examined | None = None  # of a tool that looked at an answer


_BEGIN = f'{{"schema": "{Said.schema_name}"'.encode()


def check_transcript(out: Path) -> None:
    """That ``out`` can be written, and is a transcript where it is there: a log cuts off what it cannot read.
    Raises UsageError."""
    outputs.check_place(out)
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; give the name of the transcript to write")
    begin = b"" if is_node(out) or not out.exists() else out.read_bytes()[: len(_BEGIN)]
    if not _BEGIN.startswith(begin):  # a torn one is ours too
        raise UsageError(f"{out}: exists, and is not a transcript of `itertl chat`; give another --out")


class Conversation:
    """One problem, one model. ``tell`` is given what a person should read.

    Raises UsageError where the transcript at ``out`` is another task's.
    """

    def __init__(
        self,
        problem: Problem,
        job: SamplingJob,
        backend: Backend,
        out: Path,
        *,
        effort: Effort,
        tell: Callable[[str], None],
    ) -> None:
        self._problem, self._job, self._backend, self._effort, self._tell = problem, job, backend, effort, tell
        self.answers: list[Candidate] = []
        self._messages: list[str] = []  # what led from an answer to the next
        self._found: list[Examined] = []  # of each answer
        self._heard: list[str] = []  # what other tools said since the last answer
        self._drawn = 0
        self._log = AppendLog(out)
        earlier = [parse_record(Said, row, f"{out}:{n}") for n, row in enumerate(self._log.existing, 1)]
        if earlier and earlier[0].problem != problem:
            raise UsageError(f"{out}: the transcript of another task; give another --out")
        self._known = deque(earlier[1:])
        self.said = [one.text for one in self._known if one.role == "person"]  # by the person, in earlier calls
        if not earlier:
            self._write(Said(role="task", problem=problem))

    @property
    def code(self) -> str:
        """The design as it is; "" before the first answer."""
        return self.answers[-1].code if self.answers else ""

    @property
    def examined(self) -> Examined | None:
        """What the tools say of it."""
        return self._found[-1] if self._found else None

    def begin(self) -> None:
        """Ask for the first answer, or go on from the transcript."""
        self._answer([])
        while self._known:
            if self._known[0].role != "person":
                self._known.popleft()
                continue
            self.enter(self._known[0].text)

    def enter(self, line: str) -> bool:
        """One line of the person's; False where it ends the conversation.

        Raises UsageError for a command that cannot be, and as the back end does: the conversation stays as it was.
        """
        known = self._take("person")
        said = [] if known is not None else [Said(role="person", text=line)]
        word, _, rest = line.strip().partition(" ")
        if word.startswith("/"):
            return self._command(word, rest, said)
        if not line.strip() and not self._due():
            raise UsageError("the tools have nothing to say against it; write what to change, or /quit")
        self._answer(said, "\n".join(part for part in (self._due(), clean(line.strip())) if part))
        return True

    def _command(self, word: str, rest: str, said: Sequence[Said]) -> bool:
        """``said``: what is to be written of it, before what it makes; nothing where it was written before."""
        if word == "/quit":
            return False
        changing: dict[str, tuple[Callable[..., None], range]] = {
            "/auto": (self._auto, range(2)), "/simulate": (self._simulate, range(1, 2)), "/undo": (self._undo, range(1))
        }  # fmt: skip
        looking: dict[str, tuple[Callable[..., None], range]] = {
            "/waveform": (self._waveform, range(1, 3)),
            "/save": (self._save, range(1, 2)),
            "/code": (lambda: self._tell(self.code or "there is no design yet"), range(1)),
            "/help": (lambda: self._tell(HELP), range(1)),
        }
        try:
            given = shlex.split(rest)
        except ValueError as error:
            raise UsageError(f"{word} {rest}: a quotation mark has no partner") from error
        run, counts = (changing | looking).get(word, (self._tell, range(0)))
        if len(given) not in counts:
            raise UsageError(f"{word} {rest}".strip() + f": not a command as it stands\n{HELP}")
        if word in changing:
            run(said, *given)
        else:
            run(*given)
        return True

    def _due(self) -> str:
        """What the tools have to say: of the last answer, where not all holds, and of what was run since."""
        last = self.examined
        parts = [last.message] if last is not None and last.rank < look.RIGHT else []
        return "\n".join([*parts, *self._heard])

    def _answer(self, said: Sequence[Said], *message: str) -> None:
        """Behind the conversation so far and a further ``message``. ``said``: what is written before the answer."""
        number = self._drawn
        known = self._take("model")
        candidate = known.candidate if known is not None else None
        if candidate is None:
            led = [*self._messages, *message]
            turns = tuple(Turn(c.code, m) for c, m in zip(self.answers, led, strict=True))
            form = self._job.policy.prompt
            prompt = encode(self._backend, self._problem, form, turns, first_word=self._job.first_word)
            problem = self._problem
            seed = derive_seed(self._job.seed, "chat", number)
            request = SampleRequest(problem.id, number, seed, prompt, clean(problem.header), problem.top)
            (generation,) = self._backend([request], self._job.asked)
            candidate = as_candidate(request, generation, self._job.asked, self._job.policy_name)
            self._write(*said, Said(role="model", text=candidate.text, candidate=candidate))
        self._drawn += 1
        self._messages += message
        self.answers.append(candidate)
        self._heard.clear()
        self._look(candidate)

    def _look(self, candidate: Candidate) -> None:
        known = self._take("tool")
        found = known.examined if known is not None else None
        if found is None:
            question = look.Question(
                self._problem.model_dump_json(), candidate.code, self._problem.reference is not None, self._effort.bound
            )
            (found,) = examine("itertl.search.look:look", [question], self._effort, lost=look.lost)
            self._write(Said(role="tool", text=found.message, examined=found))
        self._found.append(found)
        self._tell(found.message)

    def _auto(self, said: Sequence[Said], count: str = "1") -> None:
        if not re.fullmatch(r"[0-9]{1,6}", count):
            raise UsageError(f"/auto {count}: give a whole number")
        for number in range(int(count)):
            if not self._due():
                break
            self._answer([] if number else said, self._due())

    def _undo(self, said: Sequence[Said]) -> None:
        if len(self.answers) < 2:
            raise UsageError("/undo: there is one answer; begin anew with another --out")
        self._write(*said)
        for taken in (self.answers, self._found, self._messages):
            taken.pop()
        self._heard.clear()
        self._tell(self.code)

    def _simulate(self, said: Sequence[Said], testbench: str) -> None:
        known = self._take("tool")
        text = known.text if known is not None else self._run(testbench)[0]
        if known is None:
            self._write(*said, Said(role="tool", text=text))
        self._heard.append(text)
        self._tell(text)

    def _run(self, testbench: str, dump: Mapping[str, str] | None = None) -> tuple[str, bytes | None]:
        """What the design does in a testbench, in words, and its waveform where ``dump`` makes one."""
        bench = rows.decode(rows.read_bytes(Path(testbench)), testbench)
        done = icarus.simulate({"testbench.sv": bench, "design.sv": self.code, **(dump or {})})
        if done.ran is None:
            return f"The design does not compile with the testbench:\n{look.shortened(done.compiled.stderr)}", None
        said = look.shortened(done.ran.stdout + done.ran.stderr)
        end = "" if not done.ran.timed_out else "\nIt did not come to its end."
        return f"The testbench prints:\n{said or '(nothing)'}{end}", done.waveform

    def _waveform(self, out: str, testbench: str | None = None) -> None:
        self._check_free(out)
        if testbench is None:
            if self._problem.reference is None:
                raise UsageError("/waveform: the problem has no reference; give a testbench: /waveform F.vcd TB.v")
            task = (item_of(self.answers[-1], self._problem), out)
            (_, done), *_ = map_unordered("itertl.scoring.vectors.vcd:draw", [task], timeout_s=self._effort.timeout_s)
            if done.status != "ok" or not done.value:
                raise UsageError(f"/waveform: there is no mismatch to draw {done.detail}".rstrip())
        else:
            text, wave = self._run(testbench, {"dump.sv": _DUMP})
            if wave is None:
                raise UsageError(f"/waveform: {text}")
            write_bytes(Path(out), wave)
        self._tell(f"waveform in {out}")

    def _save(self, out: str) -> None:
        if not self.code:
            raise UsageError("/save: there is no design yet: no answer holds a module")
        self._check_free(out)
        write_text(Path(out), self.code)
        self._tell(f"design in {out}")

    def _check_free(self, out: str) -> None:
        """Raise UsageError where ``out`` is the transcript, or cannot be written."""
        if Path(out).resolve() == self._log.path.resolve():
            raise UsageError(f"{out}: is the transcript of this conversation; give another file")
        outputs.check_place(Path(out))

    def _take(self, role: str) -> Said | None:
        """The next line of an earlier call, where it is of this kind."""
        return self._known.popleft() if self._known and self._known[0].role == role else None

    def _write(self, *said: Said) -> None:
        self._log.append([{"schema": s.schema_name, **s.model_dump(mode="json", exclude_none=True)} for s in said])

    def close(self) -> None:
        self._log.close()

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def lines_of(transcript: Path) -> Iterator[str]:
    """What the person said in a transcript. Raises DataError (file, line, field)."""
    for number, row in rows.read_lines(transcript):
        said = parse_record(Said, row, f"{transcript}:{number}")
        if said.role == "person":
            yield said.text

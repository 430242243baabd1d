"""Statements of processes, functions and tasks.

What leaves a loop, a block or a function early sets a flag, and what follows it in the same run depends on the flag: a
simulator and a synthesizer both read that. Variables of blocks are declared by the caller's ``declare``.
"""

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from itertl.judging.harmless import PRINTING
from itertl.scoring.lowering.expressions import CHANGING, Expressions
from itertl.scoring.lowering.names import Names, Refused, Shape, is_two_state, literal, shape, width
from itertl.scoring.lowering.places import BitPlace
from itertl.tools import slang

MOST_WORDS = 4096  # of an array that is set as a whole
Lines = list[str]
Code = tuple[Lines, set[str]]  # lines, and the flags that they may set


@dataclass(slots=True)
class BodyScope:
    """How the variables and flags of a body are declared, and where it can be left."""

    declare: Callable[[Any, str, Shape], BitPlace]  # gives a variable (its symbol, or None for a new one) its place
    result: BitPlace | None = None  # of a function
    is_function: bool = False
    is_static: str = "process"  # or "subroutine", or "" where it is automatic: what its static variables belong to
    # what can be left here -> its flag, "" as long as none is needed
    flags: dict[str, str] = field(default_factory=dict[str, str])


class Statements:
    """Writes the statements of one body. ``task`` gives the name of a called task."""

    def __init__(
        self, names: Names, write: Expressions, body: BodyScope, to_hardware: bool, task: Callable[[Any], str]
    ) -> None:
        self.names, self.write, self.body, self.to_hardware, self.task = names, write, body, to_hardware, task

    def statement(self, node: Any) -> Code:
        """Raises Refused."""
        kind = node.kind.name
        write = getattr(self, f"_{kind.lower()}", None)
        if write is None:
            raise Refused(f"a statement of kind {kind}")
        return write(node)

    # ---- blocks
    def _empty(self, _: Any) -> Code:
        return [], set()

    def _list(self, node: Any) -> Code:
        return self._sequence(list(node.list))

    def _sequence(self, statements: list[Any]) -> Code:
        lines: Lines = []
        for at, statement in enumerate(statements):
            own, flags = self.statement(statement)
            lines += own
            if flags and at + 1 < len(statements):
                rest, more = self._sequence(statements[at + 1 :])
                return [*lines, *_unless(flags, rest)] if rest else lines, flags | more
            if flags:
                return lines, flags
        return lines, set()

    def _block(self, node: Any) -> Code:
        if node.blockKind.name != "Sequential":
            raise Refused("fork")
        label = self._label(node.blockSymbol)
        if label is None:
            return self.statement(node.body)
        return self.around(label, node.body)

    def around(self, what: str, node: Any) -> Code:
        """A statement that can be left as ``what``."""
        with self._left_as(what) as flag:
            lines, flags = self.statement(node)
            return _begun(flags, flag(), lines)

    @contextlib.contextmanager
    def _left_as(self, what: str) -> Generator[Callable[[], str]]:
        """What is written meanwhile can be left as ``what``; gives the flag for that, "" as long as none is needed."""
        outer, self.body.flags[what] = self.body.flags.get(what), ""
        yield lambda: self.body.flags[what]
        self.body.flags.pop(what)
        if outer is not None:
            self.body.flags[what] = outer

    def _label(self, symbol: Any) -> str | None:
        return f"{symbol.hierarchicalPath} {symbol.location.offset}" if symbol is not None and symbol.name else None

    def _disable(self, node: Any) -> Code:
        return self._raised(self._label(node.target.getSymbolReference()) or "disable")

    def flag(self, about: str) -> str:
        return self.body.declare(None, about, Shape(1, 0, 0)).name

    def _variabledeclaration(self, node: Any) -> Code:
        symbol = node.symbol
        own = shape(symbol.type)
        place = self.body.declare(symbol, symbol.name, own)
        if symbol.lifetime.name == "Static":
            is_zero_first = self.body.is_static == "subroutine" and own.is_two_state
            if symbol.initializer is not None or not self.body.is_static or is_zero_first:
                raise Refused("a static variable with a first value, or in what is automatic")
            return [], set()
        if symbol.initializer is not None:
            return self._copied(place, symbol.type, symbol.initializer, "="), set()
        empty = literal(("0" if own.is_two_state else "x") * own.width)
        return _each(place, empty, "="), set()

    # ---- assignments and calls
    def _expressionstatement(self, node: Any) -> Code:
        node = node.expr
        kind = node.kind.name
        if kind == "Conversion" and node.type.isVoid:
            node, kind = node.operand, node.operand.kind.name
        if kind == "Assignment":
            return self._assignment(node), set()
        if kind == "UnaryOp" and node.op.name in CHANGING:
            return self._stepped(node), set()
        if kind == "Call":
            return self._called(node), set()
        raise Refused(f"a statement that is an expression of kind {kind}")

    def _called(self, node: Any) -> Lines:
        if node.isSystemCall:
            if node.subroutineName in PRINTING and not any(_acts(argument) for argument in node.arguments):
                return []
            raise Refused(f"the call of {node.subroutineName}")
        if not node.type.isVoid:
            unused = self.body.declare(None, "unused", Shape(width(node.type), width(node.type) - 1, 0))
            return [f"{unused.text()} = {self.write.value(node)};"]
        if self.body.is_function:
            raise Refused("the call of a task or void function in a function")
        name = self.task(node.subroutine)
        texts: list[str] = []
        for formal, actual in zip(node.subroutine.arguments, node.arguments, strict=True):
            if formal.direction.name == "In":
                texts.append(self.write.value(actual))
            elif formal.direction.name in ("Out", "InOut") and actual.kind.name == "Assignment":
                inner, outer = formal.type, actual.left.type
                if width(inner) != width(outer) or is_two_state(inner) != is_two_state(outer):
                    raise Refused("an argument of another type than what it is given to")
                texts.append(self.write.place(actual.left).text())
            else:
                raise Refused(f"an argument of direction {formal.direction.name}")
        return [f"{name}({', '.join(texts)});" if texts else f"{name};"]

    def _assignment(self, node: Any) -> Lines:
        if node.timingControl is not None:
            raise Refused("a delay in an assignment")
        sign = "<=" if node.isNonBlocking else "="
        if node.isCompound:
            place = self.write.place(node.left)
            self.names.repeated(place.text())
            outer, self.write.standing = self.write.standing, self.write.value(node.left)
            right = self.write.into(node.right, place.swallows)
            self.write.standing = outer
            return [f"{place.text()} {sign} {right};"]
        if node.left.kind.name == "Streaming":
            targets, text = self.write.unstreamed(node.left, node.right)
            return [f"{{{', '.join(place.text() for place in targets)}}} {sign} {text};"]
        if node.left.kind.name == "Concatenation":
            targets = [self.write.place(operand) for operand in node.left.operands]
            if any(is_two_state(operand.type) for operand in node.left.operands) and not is_two_state(node.right.type):
                raise Refused("X given to a two-state part of a concatenation")
            return [f"{{{', '.join(place.text() for place in targets)}}} {sign} {self.write.value(node.right)};"]
        return self._copied(self.write.place(node.left), node.left.type, node.right, sign)

    def _copied(self, place: BitPlace, type_: Any, right: Any, sign: str) -> Lines:
        if place.is_word:
            if width(right.type) != place.size:
                raise Refused("an assignment of another width")
            return [f"{place.text()} {sign} {self.write.into(right, place.swallows)};"]
        if right.kind.name.endswith("AssignmentPattern"):
            elements = self.write.elements(right)
            if sign == "=" and any(place.name in self.write.value(one) for one in elements if one.type.isIntegral):
                raise Refused("a pattern that reads what it sets")
            texts = {self.write.value(e) for e in elements} if all(e.type.isIntegral for e in elements) else set[str]()
            if len(texts) == 1 and place.num_words + 1 == len(place.shape.words):
                return _each(place, texts.pop(), sign)
            if len(elements) > MOST_WORDS:
                raise Refused("a pattern of very many elements")
            inner, pairs = type_.canonicalType.elementType, zip(place.elements, elements, strict=True)
            return [line for at, one in pairs for line in self._copied(place.word(at), inner, one, sign)]
        source = self.write.place(right)
        if source.is_word or source.name == place.name or source.is_flat:
            raise Refused("a copy of an array onto itself, or of another form")
        pairs = zip(place.all_words(MOST_WORDS), source.all_words(MOST_WORDS), strict=True)
        return [f"{one.text()} {sign} {other.text()};" for one, other in pairs]

    # ---- choices
    def _conditional(self, node: Any) -> Code:
        if len(node.conditions) != 1 or node.conditions[0].pattern is not None:
            raise Refused("a condition with a pattern")
        number = self.write.number(node.conditions[0].expr)
        if number is not None:
            chosen = node.ifTrue if number else node.ifFalse
            return self.statement(chosen) if chosen is not None else ([], set())
        lines, flags = self.statement(node.ifTrue)
        text = [f"if ({self.write.value(node.conditions[0].expr)}) {_block(lines)}"]
        if node.ifFalse is not None:
            other, more = self.statement(node.ifFalse)
            text.append(f"else {_block(other)}")
            flags = flags | more
        return text, flags

    def _case(self, node: Any) -> Code:
        word = {"Normal": "case", "WildcardXOrZ": "casex", "WildcardJustZ": "casez", "Inside": ""}[node.condition.name]
        flags: set[str] = set()
        arms: list[tuple[list[str], Lines]] = []
        for item in node.items:
            lines, own = self.statement(item.stmt)
            flags |= own
            if not word:
                arms.append(([self.write.among(node.expr, item.expressions)], lines))
                continue
            if any(width(label.type) != width(node.expr.type) for label in item.expressions):
                raise Refused("labels of another width than what they are compared with")
            arms.append(([self.write.value(label) for label in item.expressions], lines))
        rest: Lines | None = None
        if node.defaultCase is not None:
            rest, own = self.statement(node.defaultCase)
            flags |= own
        if not word:
            chain = [f"{'else ' * bool(at)}if ({label}) {_block(lines)}" for at, ([label], lines) in enumerate(arms)]
            return [*chain, *([f"else {_block(rest)}"] if rest is not None else [])], flags
        inner = [f"{', '.join(labels)}: {_block(lines)}" for labels, lines in arms]
        inner += [f"default: {_block(rest)}"] if rest is not None else []
        return [f"{word} ({self.write.value(node.expr)})", *inner, "endcase"], flags

    # ---- loops
    def _looped(self, node: Any) -> tuple[Lines, set[str], str]:
        """(the body's lines, the flags that end the loop, the one of these for ``break``)."""
        with self._left_as("break") as flag:
            return *self.around("continue", node.body), flag()

    def _forloop(self, node: Any) -> Code:
        first: Lines = []
        for symbol in node.loopVars:
            place = self.body.declare(symbol, symbol.name, shape(symbol.type))
            if symbol.initializer is None:
                raise Refused("a loop's variable without a first value")
            first += [f"{place.text()} = {self.write.value(symbol.initializer)};"]
        for expression in node.initializers:
            first += self._stepped(expression)
        steps = [line for expression in node.steps for line in self._stepped(expression)]
        body, flags, leave = self._looped(node)
        condition = self.write.value(node.stopExpr) if node.stopExpr is not None else "1'b1"
        if flags and not (self.to_hardware and list(node.loopVars)):
            inner = _block([*body, *_unless(flags, steps)])
            return _begun(flags, leave, [*first, f"while ({_none_of(flags)} && {condition}) {inner}"])
        body = _unless(flags, body)
        if first and steps and not (flags and steps[1:]) and first[0].split(" ", 1)[0] == steps[0].split(" ", 1)[0]:
            head = f"for ({first[0][:-1]}; {condition}; {steps[0][:-1]})"
            return _begun(flags, leave, [*first[1:], f"{head} {_block([*body, *steps[1:]])}"])
        return _begun(flags, leave, [*first, f"while ({condition}) {_block([*body, *steps])}"])

    def _stepped(self, expression: Any) -> Lines:
        kind = expression.kind.name
        if kind == "Assignment":
            return self._assignment(expression)
        if kind == "UnaryOp" and expression.op.name in CHANGING:
            target = self.names.repeated(self.write.place(expression.operand).text())
            value, one = self.write.value(expression.operand), literal(format(1, f"0{width(expression.operand.type)}b"))
            return [f"{target} = {value} {'+' if expression.op.name.endswith('increment') else '-'} {one};"]
        raise Refused(f"a loop's step of kind {kind}")

    def _foreachloop(self, node: Any) -> Code:
        dims: list[tuple[str, int, int]] = []
        for dim in node.loopDims:
            if dim.loopVar is None:
                continue
            if dim.range is None:
                raise Refused("foreach over what has no fixed size")
            place = self.body.declare(dim.loopVar, dim.loopVar.name, Shape(32, 31, 0, is_two_state=True))
            dims.append((place.name, int(dim.range.left), int(dim.range.right)))
        lines, flags, leave = self._looped(node)
        lines = _unless(flags, lines)
        for name, left, right in reversed(dims):
            sign, step = ("<=", "+") if left <= right else (">=", "-")
            while_inside = f"$signed({name}) {sign} {_number(right)}"
            lines = [f"for ({name} = {_number(left)}; {while_inside}; {name} = {name} {step} 32'd1) {_block(lines)}"]
        return _begun(flags, leave, lines)

    def _whileloop(self, node: Any) -> Code:
        body, flags, leave = self._looped(node)
        tests = [*filter(None, [_none_of(flags)]), self.write.value(node.cond)]
        return _begun(flags, leave, [f"while ({' && '.join(tests)}) {_block(body)}"])

    def _dowhileloop(self, node: Any) -> Code:
        body, flags, leave = self._looped(node)
        begun = self.flag("begun")
        raised = f"{begun} = 1'b1;"
        tests = [*filter(None, [_none_of(flags)]), f"(!{begun} || {self.write.value(node.cond)})"]
        return _begun(flags, leave, [f"{begun} = 1'b0;", f"while ({' && '.join(tests)}) {_block([raised, *body])}"])

    def _repeatloop(self, node: Any) -> Code:
        body, flags, leave = self._looped(node)
        if node.count.type.isSigned and self.write.number(node.count) is None:
            raise Refused("repeat by a signed number")
        count = max(0, self.write.number(node.count) or 0) if node.count.type.isSigned else self.write.value(node.count)
        return _begun(flags, leave, [f"repeat ({count}) {_block(_unless(flags, body))}"])

    def _break(self, _: Any) -> Code:
        return self._raised("break")

    def _continue(self, _: Any) -> Code:
        return self._raised("continue")

    def _return(self, node: Any) -> Code:
        lines: Lines = []
        if node.expr is not None:
            if self.body.result is None:
                raise Refused("a value given back by what is not a function")
            lines = [f"{self.body.result.text()} = {self.write.value(node.expr)};"]
        own, flags = self._raised("return")
        return lines + own, flags

    def _raised(self, what: str) -> Code:
        if what not in self.body.flags:
            raise Refused(f"{what.partition(' ')[0]} where there is nothing to leave")
        flag = self.body.flags[what] = self.body.flags[what] or self.flag("left")
        return [f"{flag} = 1'b1;"], {flag}


def _acts(expression: Any) -> bool:
    """Whether an expression may do more than give a value."""
    calls = (node.isSystemCall for node in slang.live_nodes(expression, "Call"))
    steps = (node.op.name in CHANGING for node in slang.live_nodes(expression, "UnaryOp"))
    return bool(slang.live_nodes(expression, "Assignment")) or not all(calls) or any(steps)


def _begun(flags: set[str], flag: str, lines: Lines) -> Code:
    """What is left by a flag, with the flag down at its beginning."""
    return ([f"{flag} = 1'b0;", *lines] if flag in flags else lines), flags - {flag}


def _none_of(flags: set[str]) -> str:
    return " && ".join(f"!{flag}" for flag in sorted(flags))


def _unless(flags: set[str], lines: Lines) -> Lines:
    """The lines, to be run if none of the flags is set."""
    return [f"if ({_none_of(flags)}) {_block(lines)}"] if flags else lines


def _block(lines: Lines) -> str:
    return "\n".join(["begin", *lines, "end"])


def _number(value: int) -> str:
    return f"32'sd{value}" if value >= 0 else f"-32'sd{-value}"


def _each(place: BitPlace, text: str, sign: str) -> Lines:
    """Every word of a variable set to the same value."""
    return [f"{one.text()} {sign} {text};" for one in place.all_words(MOST_WORDS)]

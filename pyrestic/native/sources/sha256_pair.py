"""The inner loop of SHA-256 for two messages at a time, in LLVM's language, for x86-64 processors that know SHA-256.

Each of their instructions for rounds waits for the one before and leaves half of its unit idle: two messages that are
hashed side by side take little more time than one.

The function is `sha256_pair(first_state, first, first_blocks, second_state, second, second_blocks, constants) -> 0`.
A state is eight words of 32 bits, data any number of blocks of 64 bytes at any alignment. `constants` has the 64 words
of FIPS 180-4, section 4.2.2, and the order of bytes that turns four words around. As long as both messages have blocks
they are taken together, what is left of the longer one follows alone.
"""

from collections.abc import Sequence
from typing import Final

import llvmlite.binding as llvm

from pyrestic.native.machinecode import extract

SYMBOL: Final = "sha256_pair"
FEATURES: Final = ("sha", "sse4.1")
"""LLVM's names of the required instructions."""

_ROW = "<4 x i32>"
_BYTES = "<16 x i8>"
_HEAD = f"""
declare {_ROW} @llvm.x86.sha256rnds2({_ROW}, {_ROW}, {_ROW})
declare {_ROW} @llvm.x86.sha256msg1({_ROW}, {_ROW})
declare {_ROW} @llvm.x86.sha256msg2({_ROW}, {_ROW})
declare {_BYTES} @llvm.x86.ssse3.pshuf.b.128({_BYTES}, {_BYTES})
define i32 @{SYMBOL}(ptr %state.0, ptr %data.0, i64 %blocks.0, ptr %state.1, ptr %data.1, i64 %blocks.1, ptr %k) {{
entry:
  %swap_at = getelementptr i8, ptr %k, i64 256
  %swap = load {_BYTES}, ptr %swap_at, align 1
  %less = icmp ult i64 %blocks.0, %blocks.1
  %together = select i1 %less, i64 %blocks.0, i64 %blocks.1
  %none = icmp eq i64 %together, 0
  br i1 %none, label %rest, label %begin_both
begin_both:
"""
_REST = """
rest:
  %done = shl i64 %together, 6
  %state = select i1 %less, ptr %state.1, ptr %state.0
  %longer = select i1 %less, ptr %data.1, ptr %data.0
  %most = select i1 %less, i64 %blocks.1, i64 %blocks.0
  %data = getelementptr i8, ptr %longer, i64 %done
  %left = sub i64 %most, %together
  %nothing = icmp eq i64 %left, 0
  br i1 %nothing, label %end, label %begin_one
begin_one:
"""
_END = """
end:
  ret i32 0
}
"""


def compile_code() -> bytes | None:
    """Return the function's machine code for this processor, None if what was made of it cannot be moved."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    if not all(features.get(name) for name in FEATURES):
        return None
    return compile_for(llvm.get_host_cpu_name(), features.flatten())


def compile_for(processor: str, features: str) -> bytes | None:
    """Return the function's machine code for a processor with LLVM's name and features, as compile_code does."""
    module = llvm.parse_assembly(_Writer().function())
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=processor, features=features, opt=3, reloc="pic", codemodel="small"
    )
    return extract(machine.emit_object(module), SYMBOL)


class _Writer:
    """Generates the function; values without a name are numbered."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._count = 0

    def function(self) -> str:
        """Return the complete module."""
        self._lines = [_HEAD]
        self._loop("both", "%together", [("%state.0", "%data.0"), ("%state.1", "%data.1")], "rest")
        self._lines.append(_REST)
        self._loop("one", "%left", [("%state", "%data")], "end")
        self._lines.append(_END)
        return "\n".join(self._lines)

    def _do(self, line: str) -> None:
        self._lines.append("  " + line)

    def _let(self, expression: str) -> str:
        self._count += 1
        name = f"%v{self._count}"
        self._do(f"{name} = {expression}")
        return name

    def _loop(self, name: str, count: str, lanes: Sequence[tuple[str, str]], after: str) -> None:
        """Emit a loop over this number of blocks of every lane, given by its state and its data."""
        begins = [self._read_state(state) for state, _ in lanes]
        self._do(f"br label %{name}")
        self._lines.append(f"{name}:")
        self._do(f"%number.{name} = phi i64 [0, %begin_{name}], [%next.{name}, %{name}]")
        states = []
        for lane, begin in enumerate(begins):
            for half in range(2):
                name_of_it = f"%s{half}.{name}.{lane}"
                self._do(f"{name_of_it} = phi {_ROW} [{begin[half]}, %begin_{name}], [{name_of_it}.new, %{name}]")
            states.append((f"%s0.{name}.{lane}", f"%s1.{name}.{lane}"))
        offset = self._let(f"shl i64 %number.{name}, 6")
        ends = self._block(states, [self._let(f"getelementptr i8, ptr {data}, i64 {offset}") for _, data in lanes])
        for state, end in zip(states, ends, strict=True):
            for half in range(2):
                self._do(f"{state[half]}.new = add {_ROW} {state[half]}, {end[half]}")
        self._do(f"%next.{name} = add i64 %number.{name}, 1")
        self._do(f"%over.{name} = icmp eq i64 %next.{name}, {count}")
        self._do(f"br i1 %over.{name}, label %end_{name}, label %{name}")
        self._lines.append(f"end_{name}:")
        for (place, _), state in zip(lanes, states, strict=True):
            self._write_state(place, f"{state[0]}.new", f"{state[1]}.new")
        self._do(f"br label %{after}")

    def _read_state(self, place: str) -> tuple[str, str]:
        """Return a state in the order of the instructions: f e b a, and h g d c."""
        low, high = self._load(place, 0), self._load(place, 16)
        return self._shuffle(low, high, (5, 4, 1, 0)), self._shuffle(low, high, (7, 6, 3, 2))

    def _write_state(self, place: str, first: str, second: str) -> None:
        for offset, order in ((0, (3, 2, 7, 6)), (16, (1, 0, 5, 4))):
            target = self._let(f"getelementptr i8, ptr {place}, i64 {offset}")
            self._do(f"store {_ROW} {self._shuffle(first, second, order)}, ptr {target}, align 1")

    def _block(self, states: Sequence[tuple[str, str]], data: Sequence[str]) -> list[tuple[str, str]]:
        """Return the states after the 64 rounds of a block, four rounds of one lane and four of the other in turn."""
        now = list(states)
        words: list[list[str]] = [[] for _ in states]
        for step in range(16):
            constants = self._load("%k", 16 * step)
            for lane in range(len(states)):
                words[lane].append(self._words(words[lane], data[lane]))
                first, second = now[lane]
                sums = self._let(f"add {_ROW} {words[lane][step]}, {constants}")
                second = self._rounds(second, first, sums)
                first = self._rounds(first, second, self._shuffle(sums, sums, (2, 3, 0, 1)))
                now[lane] = first, second
        return now

    def _rounds(self, one: str, two: str, sums: str) -> str:
        return self._let(f"call {_ROW} @llvm.x86.sha256rnds2({_ROW} {one}, {_ROW} {two}, {_ROW} {sums})")

    def _words(self, before: Sequence[str], data: str) -> str:
        """Return the next four words of the message schedule: from the block, or computed from the previous sixteen."""
        if len(before) < 4:
            place = self._let(f"getelementptr i8, ptr {data}, i64 {16 * len(before)}")
            read = self._let(f"load {_BYTES}, ptr {place}, align 1")
            swapped = self._let(f"call {_BYTES} @llvm.x86.ssse3.pshuf.b.128({_BYTES} {read}, {_BYTES} %swap)")
            return self._let(f"bitcast {_BYTES} {swapped} to {_ROW}")
        a, b, c, d = before[-4:]
        made = self._let(f"call {_ROW} @llvm.x86.sha256msg1({_ROW} {a}, {_ROW} {b})")
        total = self._let(f"add {_ROW} {made}, {self._shuffle(c, d, (1, 2, 3, 4))}")
        return self._let(f"call {_ROW} @llvm.x86.sha256msg2({_ROW} {total}, {_ROW} {d})")

    def _load(self, place: str, offset: int) -> str:
        source = self._let(f"getelementptr i8, ptr {place}, i64 {offset}")
        return self._let(f"load {_ROW}, ptr {source}, align 1")

    def _shuffle(self, one: str, two: str, order: Sequence[int]) -> str:
        mask = ", ".join(f"i32 {place}" for place in order)
        return self._let(f"shufflevector {_ROW} {one}, {_ROW} {two}, <4 x i32> <{mask}>")

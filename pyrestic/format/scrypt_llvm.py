"""The inner loop of scrypt, ROMix, for four lanes at a time, in LLVM's language, and compiled for this processor.

Each step of ROMix waits for the one before, so a lane alone leaves most of a processor idle. But scrypt's `p` lanes do
not depend on one another: here four are mixed side by side, a vector holding the same row of all four. To take no more
memory than one lane does, each keeps only every second or fourth of its rows and makes the others again when they are
asked for; that costs up to 1.75 times the steps and still takes half of the processor time of OpenSSL's one lane.

The function is `romix(lanes, zeros, n, r, shift)`. `lanes` is an array of four structures (see scrypt_code), `zeros` a
block of zeros, and of 2^shift rows one is kept. A block of 128 * r bytes is 2 * r pieces of 64 bytes, whose words stand
in the order of Salsa20's diagonals, so that a vector of four is a row.
"""

from collections.abc import Sequence

import llvmlite.binding as llvm

from pyrestic.format.machinecode import extract

SYMBOL = "romix"
LANES = 4
LANE_BYTES = 128
"""Room of a lane's structure."""
FIELDS = (
    ("step", "i64"),  # n steps fill the lane's memory, n more mix
    ("block", "ptr"),  # what the lane has come to
    ("memory", "ptr"),
    ("first", "ptr"),  # two places for blocks, used in turn
    ("second", "ptr"),
    ("made_first", "ptr"),  # two more, for rows that are made again
    ("made_second", "ptr"),
    ("missing", "i64"),  # steps from `made` to the row that is wanted
    ("made", "ptr"),
    ("fresh", "i64"),  # whether the next row is still to be chosen
)
"""The structure, eight bytes a field."""

_WORDS = 4 * LANES
_ROW = "<4 x i32>"
_ROWS = f"<{_WORDS} x i32>"
_HEAD = f"""
declare {_ROWS} @llvm.fshl.v{_WORDS}i32({_ROWS}, {_ROWS}, {_ROWS})
define i32 @{SYMBOL}(ptr %lanes, ptr %zeros, i64 %n, i64 %r, i64 %shift) {{
entry:
  %pieces = shl i64 %r, 1
  %length = shl i64 %r, 7
  %last = sub i64 %length, 64
  %row_mask = sub i64 %n, 1
  %end_step = shl i64 %n, 1
  %kept_one_of = shl i64 1, %shift
  %gap_mask = sub i64 %kept_one_of, 1
  br label %plan
plan:
"""
# What a lane does in the coming step: block_mix(source ^ other) -> target. While it fills its memory, that is the block
# so far, to its place in memory if that row is kept. While it mixes, it is a row that has to be made again, or the
# block and the wanted row. What has come to its end mixes something nobody looks at.
_PLAN = """
  %filling.{k} = icmp ult i64 %step.{k}, %n
  %alive.{k} = icmp ult i64 %step.{k}, %end_step
  %next.{k} = add i64 %step.{k}, 1
  %in_first.{k} = icmp eq ptr %block.{k}, %first.{k}
  %free.{k} = select i1 %in_first.{k}, ptr %second.{k}, ptr %first.{k}

  %more.{k} = icmp ult i64 %next.{k}, %n
  %gap.{k} = and i64 %next.{k}, %gap_mask
  %on_grid.{k} = icmp eq i64 %gap.{k}, 0
  %keep.{k} = and i1 %more.{k}, %on_grid.{k}
  %kept_number.{k} = lshr i64 %next.{k}, %shift
  %kept_offset.{k} = mul i64 %kept_number.{k}, %length
  %kept.{k} = getelementptr i8, ptr %memory.{k}, i64 %kept_offset.{k}
  %filled.{k} = select i1 %keep.{k}, ptr %kept.{k}, ptr %free.{k}

  %word_at.{k} = getelementptr i8, ptr %block.{k}, i64 %last
  %word.{k} = load i32, ptr %word_at.{k}
  %long_word.{k} = zext i32 %word.{k} to i64
  %wanted.{k} = and i64 %long_word.{k}, %row_mask
  %behind.{k} = and i64 %wanted.{k}, %gap_mask
  %base_number.{k} = lshr i64 %wanted.{k}, %shift
  %base_offset.{k} = mul i64 %base_number.{k}, %length
  %base.{k} = getelementptr i8, ptr %memory.{k}, i64 %base_offset.{k}
  %choose.{k} = icmp ne i64 %fresh.{k}, 0
  %row.{k} = select i1 %choose.{k}, ptr %base.{k}, ptr %made.{k}
  %lacks.{k} = select i1 %choose.{k}, i64 %behind.{k}, i64 %missing.{k}
  %again.{k} = icmp ne i64 %lacks.{k}, 0
  %made_in_first.{k} = icmp eq ptr %row.{k}, %made_first.{k}
  %made_free.{k} = select i1 %made_in_first.{k}, ptr %made_second.{k}, ptr %made_first.{k}
  %mix_source.{k} = select i1 %again.{k}, ptr %row.{k}, ptr %block.{k}
  %mix_other.{k} = select i1 %again.{k}, ptr %zeros, ptr %row.{k}
  %mix_target.{k} = select i1 %again.{k}, ptr %made_free.{k}, ptr %free.{k}
  %mix_step.{k} = select i1 %again.{k}, i64 %step.{k}, i64 %next.{k}
  %mix_block.{k} = select i1 %again.{k}, ptr %block.{k}, ptr %free.{k}
  %mix_missing.{k} = sub i64 %lacks.{k}, 1
  %mix_fresh.{k} = select i1 %again.{k}, i64 0, i64 1

  %use_source.{k} = select i1 %filling.{k}, ptr %block.{k}, ptr %mix_source.{k}
  %use_other.{k} = select i1 %filling.{k}, ptr %zeros, ptr %mix_other.{k}
  %use_target.{k} = select i1 %filling.{k}, ptr %filled.{k}, ptr %mix_target.{k}
  %source.{k} = select i1 %alive.{k}, ptr %use_source.{k}, ptr %first.{k}
  %other.{k} = select i1 %alive.{k}, ptr %use_other.{k}, ptr %zeros
  %target.{k} = select i1 %alive.{k}, ptr %use_target.{k}, ptr %made_first.{k}

  %fill_step.{k} = select i1 %filling.{k}, i64 %next.{k}, i64 %mix_step.{k}
  %fill_block.{k} = select i1 %filling.{k}, ptr %filled.{k}, ptr %mix_block.{k}
  %fill_fresh.{k} = select i1 %filling.{k}, i64 1, i64 %mix_fresh.{k}
  %new_step.{k} = select i1 %alive.{k}, i64 %fill_step.{k}, i64 %step.{k}
  %new_block.{k} = select i1 %alive.{k}, ptr %fill_block.{k}, ptr %block.{k}
  store i64 %new_step.{k}, ptr %step_at.{k}
  store ptr %new_block.{k}, ptr %block_at.{k}
  store i64 %mix_missing.{k}, ptr %missing_at.{k}
  store ptr %made_free.{k}, ptr %made_at.{k}
  store i64 %fill_fresh.{k}, ptr %fresh_at.{k}
"""
_DIAGONALS = ((0, 1, 2, 3), (3, 0, 1, 2), (2, 3, 0, 1), (1, 2, 3, 0))


def compile_code() -> bytes | None:
    """Return the function's machine code for this processor, None if what was made of it cannot be moved."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return compile_for(llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


def compile_for(processor: str, features: str) -> bytes | None:
    """Return the function's machine code for a processor with LLVM's name and features, as compile_code does."""
    module = llvm.parse_assembly(_Writer().function())
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=processor, features=features, opt=3, reloc="pic", codemodel="small"
    )
    return extract(machine.emit_object(module), SYMBOL)


class _Writer:
    """Writes the function; values that need no name of their own are numbered."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._count = 0

    def function(self) -> str:
        """Return the whole module."""
        self._lines = [_HEAD]
        self._plan()
        self._mix()
        return "\n".join(self._lines)

    def _do(self, line: str) -> None:
        self._lines.append("  " + line)

    def _let(self, expression: str) -> str:
        self._count += 1
        name = f"%v{self._count}"
        self._do(f"{name} = {expression}")
        return name

    def _plan(self) -> None:
        for lane in range(LANES):
            for number, (name, kind) in enumerate(FIELDS):
                offset = lane * LANE_BYTES + 8 * number
                self._do(f"%{name}_at.{lane} = getelementptr i8, ptr %lanes, i64 {offset}")
                self._do(f"%{name}.{lane} = load {kind}, ptr %{name}_at.{lane}")
            self._lines.append(_PLAN.format(k=lane))
        alive = "%alive.0"
        for lane in range(1, LANES):
            alive = self._let(f"or i1 {alive}, %alive.{lane}")
        self._do(f"br i1 {alive}, label %start, label %end")

    def _mix(self) -> None:
        """Mix the blocks of all lanes: a piece is Salsa20/8 of itself and the piece before, the last for the first."""
        self._lines.append("start:")
        before = [self._load(self._let(f"add i64 %last, {16 * row}")) for row in range(4)]
        self._do("br label %mix")
        self._lines.append("mix:")
        self._do("%piece = phi i64 [0, %start], [%next_piece, %mix]")
        for row in range(4):
            self._do(f"%x{row} = phi {_ROWS} [{before[row]}, %start], [%y{row}, %mix]")
        offset = self._let("shl i64 %piece, 6")
        rows = [
            self._let(f"xor {_ROWS} %x{row}, {self._load(self._let(f'add i64 {offset}, {16 * row}'))}")
            for row in range(4)
        ]
        for row, mixed in enumerate(self._salsa(rows)):
            self._do(f"%y{row} = add {_ROWS} {rows[row]}, {mixed}")
        # Even pieces come first in the new block, odd ones follow.
        half, odd = self._let("lshr i64 %piece, 1"), self._let("and i64 %piece, 1")
        place = self._let(f"add i64 {half}, {self._let(f'mul i64 {odd}, %r')}")
        to = self._let(f"shl i64 {place}, 6")
        for row in range(4):
            self._store(f"%y{row}", self._let(f"add i64 {to}, {16 * row}"))
        self._do("%next_piece = add i64 %piece, 1")
        self._do("%over = icmp eq i64 %next_piece, %pieces")
        self._do("br i1 %over, label %plan, label %mix")
        self._lines.append("end:")
        self._do("ret i32 0")
        self._lines.append("}")

    def _load(self, offset: str) -> str:
        """Return one row of `source ^ other` of all lanes."""
        parts = []
        for lane in range(LANES):
            source = self._let(f"getelementptr i8, ptr %source.{lane}, i64 {offset}")
            other = self._let(f"getelementptr i8, ptr %other.{lane}, i64 {offset}")
            one = self._let(f"load {_ROW}, ptr {source}, align 16")
            two = self._let(f"load {_ROW}, ptr {other}, align 16")
            parts.append(self._let(f"xor {_ROW} {one}, {two}"))
        width = 4
        while len(parts) > 1:
            kind, order = f"<{width} x i32>", _mask(range(2 * width))
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self._let(f"shufflevector {kind} {a}, {kind} {b}, {order}") for a, b in pairs]
            width *= 2
        return parts[0]

    def _store(self, rows: str, offset: str) -> None:
        for lane in range(LANES):
            order = _mask(range(4 * lane, 4 * lane + 4))
            row = self._let(f"shufflevector {_ROWS} {rows}, {_ROWS} poison, {order}")
            target = self._let(f"getelementptr i8, ptr %target.{lane}, i64 {offset}")
            self._do(f"store {_ROW} {row}, ptr {target}, align 16")

    def _salsa(self, rows: Sequence[str]) -> tuple[str, str, str, str]:
        """Return rows after the eight rounds of Salsa20/8, four of columns and four of rows."""
        a, b, c, d = rows
        for _ in range(4):
            b, c, d, a = self._quarter(a, b, c, d)
            b, c, d = self._turn(b, 1), self._turn(c, 2), self._turn(d, 3)
            d, c, b, a = self._quarter(a, d, c, b)
            b, c, d = self._turn(b, 3), self._turn(c, 2), self._turn(d, 1)
        return a, b, c, d

    def _quarter(self, a: str, b: str, c: str, d: str) -> tuple[str, str, str, str]:
        b = self._step(b, a, d, 7)
        c = self._step(c, b, a, 9)
        d = self._step(d, c, b, 13)
        return b, c, d, self._step(a, d, c, 18)

    def _step(self, row: str, one: str, two: str, bits: int) -> str:
        total = self._let(f"add {_ROWS} {one}, {two}")
        amount = f"<{', '.join([f'i32 {bits}'] * _WORDS)}>"
        rotate = f"call {_ROWS} @llvm.fshl.v{_WORDS}i32({_ROWS} {total}, {_ROWS} {total}, {_ROWS} {amount})"
        return self._let(f"xor {_ROWS} {row}, {self._let(rotate)}")

    def _turn(self, rows: str, places: int) -> str:
        order = _mask([4 * lane + word for lane in range(LANES) for word in _DIAGONALS[places]])
        return self._let(f"shufflevector {_ROWS} {rows}, {_ROWS} poison, {order}")


def _mask(order: Sequence[int]) -> str:
    return f"<{len(order)} x i32> <{', '.join(f'i32 {place}' for place in order)}>"

"""The inner loop of scrypt, ROMix, for several lanes at a time, in LLVM's language, and compiled for this processor.

Each step of ROMix waits for the one before, so a lane alone leaves most of a processor idle. But scrypt's `p` lanes do
not depend on one another: here four make a chain, whose vectors hold the same row of all four, and where that is faster
two chains are mixed side by side. To take no more memory than one lane does, each keeps only one of as many of its rows
as there are lanes and makes the others again when they are asked for. For eight lanes at a time that is 2.75 times the
steps, and still takes less than half of the time of OpenSSL's lanes one by one.

The function is `romix(lanes, zeros, n, r, kept_one_of, inverse)`. `lanes` is an array of structures (native/scrypt.py),
`zeros` a block of zeros; of `kept_one_of` rows one is kept, and `inverse` is 2^40 divided by that and rounded up. A
block of 128 * r bytes is 2 * r pieces of 64 bytes, whose words stand in the order of Salsa20's diagonals, so that a
vector of four is a row. The second chain is half a block behind the first one: while one waits for memory, the other
goes on. Called without lanes, the function only returns how many it takes.
"""

from collections.abc import Iterable, Sequence

import llvmlite.binding as llvm

from pyrestic.native.machinecode import extract

SYMBOL = "romix"
WIDTH = 4
"""Lanes of a chain."""
CHAINS = (1, 2)
LANE_BYTES = 128
"""Size of a lane's structure."""
FIELDS = (
    ("step", "i64"),  # n steps fill the lane's memory, n more mix
    ("block", "ptr"),  # the lane's current block
    ("memory", "ptr"),
    ("first", "ptr"),  # two buffers for blocks, used in turn
    ("second", "ptr"),
    ("made_first", "ptr"),  # two more, for recomputed rows
    ("made_second", "ptr"),
    ("missing", "i64"),  # steps from `made` to the wanted row
    ("made", "ptr"),
    ("fresh", "i64"),  # whether the next row is still to be chosen
    ("source", "ptr"),  # the lane's current operation: block_mix(source ^ other) -> target
    ("other", "ptr"),
    ("target", "ptr"),
)
"""The structure, eight bytes a field."""

_WORDS = 4 * WIDTH
_ROWS = f"<{_WORDS} x i32>"
_HEAD = f"""
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare {_ROWS} @llvm.fshl.v{_WORDS}i32({_ROWS}, {_ROWS}, {_ROWS})
define i32 @{SYMBOL}(ptr %lanes, ptr %zeros, i64 %n, i64 %r, i64 %kept_one_of, i64 %inverse) {{
entry:
  %pieces = shl i64 %r, 1
  %length = shl i64 %r, 7
  %last = sub i64 %length, 64
  %row_mask = sub i64 %n, 1
  %end_step = shl i64 %n, 1
  %none = icmp eq ptr %lanes, null
  br i1 %none, label %tell, label %plan0
"""
# The next step of a lane. During filling, it mixes the current block, into memory if that row is stored. During mixing,
# it recomputes a row, or mixes the block with the wanted row. A finished lane mixes unused data.
_PLAN = """
  %filling.{k} = icmp ult i64 %step.{k}, %n
  %alive.{k} = icmp ult i64 %step.{k}, %end_step
  %next.{k} = add i64 %step.{k}, 1
  %in_first.{k} = icmp eq ptr %block.{k}, %first.{k}
  %free.{k} = select i1 %in_first.{k}, ptr %second.{k}, ptr %first.{k}

  %word_at.{k} = getelementptr i8, ptr %block.{k}, i64 %last
  %word.{k} = load i32, ptr %word_at.{k}
  %long_word.{k} = zext i32 %word.{k} to i64
  %wanted.{k} = and i64 %long_word.{k}, %row_mask
  %number.{k} = select i1 %filling.{k}, i64 %next.{k}, i64 %wanted.{k}
  %scaled.{k} = mul i64 %number.{k}, %inverse
  %kept_number.{k} = lshr i64 %scaled.{k}, 40
  %grid.{k} = mul i64 %kept_number.{k}, %kept_one_of
  %behind.{k} = sub i64 %number.{k}, %grid.{k}
  %base_offset.{k} = mul i64 %kept_number.{k}, %length
  %base.{k} = getelementptr i8, ptr %memory.{k}, i64 %base_offset.{k}

  %more.{k} = icmp ult i64 %next.{k}, %n
  %on_grid.{k} = icmp eq i64 %behind.{k}, 0
  %keep.{k} = and i1 %more.{k}, %on_grid.{k}
  %filled.{k} = select i1 %keep.{k}, ptr %base.{k}, ptr %free.{k}

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
  %new_source.{k} = select i1 %alive.{k}, ptr %use_source.{k}, ptr %first.{k}
  %new_other.{k} = select i1 %alive.{k}, ptr %use_other.{k}, ptr %zeros
  %new_target.{k} = select i1 %alive.{k}, ptr %use_target.{k}, ptr %made_first.{k}

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
  store ptr %new_source.{k}, ptr %source_at.{k}
  store ptr %new_other.{k}, ptr %other_at.{k}
  store ptr %new_target.{k}, ptr %target_at.{k}
"""
# A row that is asked for at random is far away, and what two chains do in the time that takes is more than a processor
# looks ahead. This is a block of the usual length; asking for what is not there does no harm.
_FETCH = """
  %line.{k}.{line} = getelementptr i8, ptr %row.{k}, i64 {offset}
  call void @llvm.prefetch.p0(ptr %line.{k}.{line}, i32 0, i32 3, i32 1)
"""
_FETCHED_LINES = 16
_DIAGONALS = ((0, 1, 2, 3), (3, 0, 1, 2), (2, 3, 0, 1), (1, 2, 3, 0))
# The steps of a quarter of Salsa20: each row absorbs the sum of two others, rotated by some bits.
_STEPS = ((1, 0, 3, 7), (2, 1, 0, 9), (3, 2, 1, 13), (0, 3, 2, 18))
# Their instructions on vectors take two cycles, so that one chain leaves them idle most of the time. Where it is one, a
# chain is as fast as the units for such vectors allow, by what makers say of them.
_SLOW_TO_ANSWER = frozenset({"znver5"})
Rows = list[str]


def compile_code() -> bytes | None:
    """Return the function's machine code for this processor, None if what was made of it cannot be moved."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    processor = llvm.get_host_cpu_name()
    chains = 2 if processor in _SLOW_TO_ANSWER else 1
    return compile_for(processor, llvm.get_host_cpu_features().flatten(), chains)


def compile_for(processor: str, features: str, chains: int) -> bytes | None:
    """Return the function's machine code for a processor with LLVM's name and features, and this number of chains."""
    module = llvm.parse_assembly(_Writer(chains).function())
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=processor, features=features, opt=3, reloc="pic", codemodel="small"
    )
    return extract(machine.emit_object(module), SYMBOL)


class _Writer:
    """Generates the function for one or two chains; values without a name are numbered."""

    def __init__(self, chains: int) -> None:
        self._chains = chains
        self._alive: list[str] = []
        self._begun: list[Rows] = []
        self._lines: list[str] = []
        self._count = 0

    def function(self) -> str:
        """Return the complete module."""
        self._lines = [_HEAD]
        for chain in range(self._chains):
            self._plan(chain)
        self._mix()
        self._lines += [f"tell:\n  ret i32 {self._chains * WIDTH}", "end:\n  ret i32 0\n}"]
        return "\n".join(self._lines)

    def _do(self, line: str) -> None:
        self._lines.append("  " + line)

    def _let(self, expression: str) -> str:
        self._count += 1
        name = f"%v{self._count}"
        self._do(f"{name} = {expression}")
        return name

    def _plan(self, chain: int) -> None:
        """Choose the next operation of a chain's lanes and start it, or end if no lane has work left."""
        self._lines.append(f"plan{chain}:")
        if chain == 0 and self._chains == 2:
            # The second chain has not started when the first one does.
            self._do("%goes_on1 = phi i1 [true, %entry], [%busy1, %over]")
            for row in range(4):
                self._do(f"%z1.{row} = phi {_ROWS} [zeroinitializer, %entry], [%y1.{row}, %over]")
        alive = "false"
        for lane in self._lanes(chain):
            for name, kind in FIELDS:
                self._do(f"%{name}_at.{lane} = {self._field(lane, name)}")
                self._do(f"%{name}.{lane} = load {kind}, ptr %{name}_at.{lane}")
            self._lines.append(_PLAN.format(k=lane))
            self._lines += [_FETCH.format(k=lane, line=line, offset=64 * line) for line in range(_FETCHED_LINES)]
            alive = self._let(f"or i1 {alive}, %alive.{lane}")
        self._alive.append(alive)
        others = {0: "%goes_on1", 1: "%busy0"}[chain] if self._chains == 2 else "false"
        self._do(f"br i1 {self._let(f'or i1 {alive}, {others}')}, label %start{chain}, label %end")
        self._lines.append(f"start{chain}:")
        self._begun.append(self._load(chain, "%last"))
        self._do("br label %mix")

    def _mix(self) -> None:
        """Mix half a block of each chain, or a whole one of a single chain: a piece is Salsa20/8 of itself and the
        piece before, which is the last for the first.
        """
        self._lines.append("mix:")
        self._choose("count", "i64", ["0"] * self._chains, "%next_count")
        self._choose("turn", "i64", [str(chain) for chain in range(self._chains)], "%turn")
        for chain in range(self._chains):
            self._go_on(chain)
        rows = []
        for chain in range(self._chains):
            self._do(f"%piece{chain} = add i64 %base{chain}, %count")
            loaded = self._load(chain, self._let(f"shl i64 %piece{chain}, 6"))
            rows.append([self._let(f"xor {_ROWS} %x{chain}.{row}, {loaded[row]}") for row in range(4)])
        for chain, mixed in enumerate(self._salsa(rows)):
            for row in range(4):
                self._do(f"%y{chain}.{row} = add {_ROWS} {rows[chain][row]}, {mixed[row]}")
            # Even pieces come first in the new block, odd ones follow.
            half, odd = self._let(f"lshr i64 %piece{chain}, 1"), self._let(f"and i64 %piece{chain}, 1")
            place = self._let(f"add i64 {half}, {self._let(f'mul i64 {odd}, %r')}")
            self._store(chain, [f"%y{chain}.{row}" for row in range(4)], self._let(f"shl i64 {place}, 6"))
        self._do("%next_count = add i64 %count, 1")
        self._do(f"%enough = icmp eq i64 %next_count, {'%r' if self._chains == 2 else '%pieces'}")
        self._do("br i1 %enough, label %over, label %mix")
        self._lines.append("over:")
        self._do("%was_first = icmp eq i64 %turn, 0")
        self._do(f"br i1 %was_first, label %plan{self._chains - 1}, label %plan0")

    def _go_on(self, chain: int) -> None:
        """Emit a chain's position in the loop: at the start of its block after planning, otherwise in the middle."""
        begins = [chain == other for other in range(self._chains)]
        busy, rows = ("%busy0", "%y0") if chain == 0 else ("%goes_on1", "%z1")
        self._choose(f"base{chain}", "i64", ["0" if one else "%r" for one in begins], f"%base{chain}")
        self._choose(f"busy{chain}", "i1", [self._alive[chain] if one else busy for one in begins], f"%busy{chain}")
        for row in range(4):
            sources = [self._begun[chain][row] if one else f"{rows}.{row}" for one in begins]
            self._choose(f"x{chain}.{row}", _ROWS, sources, f"%y{chain}.{row}")

    def _choose(self, name: str, kind: str, sources: Sequence[str], again: str) -> None:
        """Emit a value in the loop: one of these after each chain's plan, otherwise its updated value."""
        choices = [f"[{source}, %start{chain}]" for chain, source in enumerate(sources)]
        self._do(f"%{name} = phi {kind} {', '.join(choices)}, [{again}, %mix]")

    def _lanes(self, chain: int) -> range:
        return range(chain * WIDTH, (chain + 1) * WIDTH)

    def _field(self, lane: int, name: str) -> str:
        number = [field for field, _ in FIELDS].index(name)
        return f"getelementptr i8, ptr %lanes, i64 {lane * LANE_BYTES + 8 * number}"

    def _pointer(self, lane: int, name: str, offset: str) -> str:
        at = self._let(self._field(lane, name))
        return self._let(f"getelementptr i8, ptr {self._let(f'load ptr, ptr {at}')}, i64 {offset}")

    def _load(self, chain: int, offset: str) -> Rows:
        """Return the rows of a piece of `source ^ other`, each of all lanes of a chain."""
        pieces = []
        for lane in self._lanes(chain):
            one = self._let(f"load {_ROWS}, ptr {self._pointer(lane, 'source', offset)}, align 64")
            two = self._let(f"load {_ROWS}, ptr {self._pointer(lane, 'other', offset)}, align 64")
            pieces.append(self._let(f"xor {_ROWS} {one}, {two}"))
        return self._transpose(pieces)

    def _store(self, chain: int, rows: Rows, offset: str) -> None:
        for lane, piece in zip(self._lanes(chain), self._transpose(rows), strict=True):
            self._do(f"store {_ROWS} {piece}, ptr {self._pointer(lane, 'target', offset)}, align 64")

    def _transpose(self, vectors: Rows) -> Rows:
        """Return as the n-th vector the n-th quarters of the given four."""
        a, b, c, d = vectors
        low, high = _quarters(0, 1, 4, 5), _quarters(2, 3, 6, 7)
        even, odd = _quarters(0, 2, 4, 6), _quarters(1, 3, 5, 7)
        first, second = self._shuffle(a, b, low), self._shuffle(c, d, low)
        third, fourth = self._shuffle(a, b, high), self._shuffle(c, d, high)
        return [
            self._shuffle(first, second, even),
            self._shuffle(first, second, odd),
            self._shuffle(third, fourth, even),
            self._shuffle(third, fourth, odd),
        ]

    def _salsa(self, chains: Sequence[Rows]) -> list[Rows]:
        """Return the rows of chains after the eight rounds of Salsa20/8, four of columns and four of rows."""
        chains = [list(rows) for rows in chains]
        for number in range(8):
            order = (0, 3, 2, 1) if number % 2 else (0, 1, 2, 3)
            for step in _STEPS:
                row, one, two = (order[place] for place in step[:3])
                for rows in chains:
                    rows[row] = self._step(rows[row], rows[one], rows[two], step[3])
            for rows in chains:
                for row in (1, 2, 3):
                    rows[row] = self._turn(rows[row], -row % 4 if number % 2 else row)
        return chains

    def _step(self, row: str, one: str, two: str, bits: int) -> str:
        total = self._let(f"add {_ROWS} {one}, {two}")
        amount = f"<{', '.join([f'i32 {bits}'] * _WORDS)}>"
        rotate = f"call {_ROWS} @llvm.fshl.v{_WORDS}i32({_ROWS} {total}, {_ROWS} {total}, {_ROWS} {amount})"
        return self._let(f"xor {_ROWS} {row}, {self._let(rotate)}")

    def _turn(self, rows: str, places: int) -> str:
        return self._shuffle(rows, "poison", [4 * lane + word for lane in range(WIDTH) for word in _DIAGONALS[places]])

    def _shuffle(self, one: str, two: str, order: Iterable[int]) -> str:
        mask = ", ".join(f"i32 {place}" for place in order)
        return self._let(f"shufflevector {_ROWS} {one}, {_ROWS} {two}, <{_WORDS} x i32> <{mask}>")


def _quarters(*places: int) -> list[int]:
    return [4 * place + word for place in places for word in range(4)]

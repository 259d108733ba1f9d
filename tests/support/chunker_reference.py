"""The chunker as restic's own package describes it, byte by byte in plain Python: slow, and easy to believe."""

from pyrestic.format.polynomial import degree, modulo

WINDOW = 64
MASK = (1 << 20) - 1


class Reference:
    """Slides a window of 64 bytes, primed with a byte 1 at the start of every chunk."""

    def __init__(self, polynomial: int, min_length: int, max_length: int) -> None:
        self._min, self._max = min_length, max_length
        self._shift = degree(polynomial) - 8
        self._out = [self._hash([byte] + [0] * (WINDOW - 1), polynomial) for byte in range(256)]
        self._mod = [modulo(byte << degree(polynomial), polynomial) | byte << degree(polynomial) for byte in range(256)]

    @staticmethod
    def _hash(window: list[int], polynomial: int) -> int:
        digest = 0
        for byte in window:
            digest = modulo(digest << 8 | byte, polynomial)
        return digest

    def cuts(self, data: bytes) -> list[int]:
        """Return the end of every chunk."""
        ends = []
        start = 0
        while start < len(data):
            start = self._next(data, start)
            ends.append(start)
        return ends

    def _next(self, data: bytes, start: int) -> int:
        window = [0] * WINDOW
        place = digest = 0

        def slide(digest: int, byte: int) -> int:
            nonlocal place
            digest ^= self._out[window[place]]
            window[place] = byte
            place = (place + 1) % WINDOW
            index = digest >> self._shift
            return ((digest << 8 | byte) ^ self._mod[index]) & (1 << 64) - 1

        digest = slide(digest, 1)
        for position in range(start + self._min - WINDOW, min(len(data), start + self._max)):
            digest = slide(digest, data[position])
            length = position + 1 - start
            if length >= self._min and (digest & MASK == 0 or length >= self._max):
                return position + 1
        return min(len(data), start + self._max)

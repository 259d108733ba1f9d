"""The memory layout of the compiled blob engine: byte offsets into a table of 64-bit numbers.

Addresses of C functions come first, then contexts that are created once per thread, then buffers. Stored code depends
on this module as much as on its own.
"""

from typing import Final

CIPHER_INIT: Final = 0
CIPHER_UPDATE: Final = 8
MAC_INIT: Final = 16
MAC_UPDATE: Final = 24
MAC_FINAL: Final = 32
DIGEST_INIT: Final = 40
DIGEST_UPDATE: Final = 48
DIGEST_FINAL: Final = 56
COMPRESS: Final = 64
DECOMPRESS: Final = 72
FRAME_LENGTH: Final = 80

COUNTER: Final = 88
"""AES-256 in counter mode with the key for encryption."""
ONE_TIME: Final = 96
"""AES-128 of single blocks, which derives half of the one-time Poly1305 key from a nonce."""
MAC: Final = 104
DIGEST: Final = 112
DIGEST_KIND: Final = 120
COMPRESS_SMALL: Final = 128
COMPRESS_LARGE: Final = 136
DECOMPRESSOR: Final = 144

SMALL_BYTES: Final = 152
"""The longest blob that is compressed with COMPRESS_SMALL."""
FRAME: Final = 160
"""Address of the buffer for the longest frame."""
PLAIN: Final = 168
"""Address of the buffer for the longest plaintext that is not kept."""
ROOM: Final = 176
"""Length of each of these two buffers."""
NUMBER: Final = 184
"""Functions store the number of bytes here."""
MAC_KEY: Final = 192
"""32 bytes: r, and the encrypted nonce."""
FOUND_TAG: Final = 224
FOUND_ID: Final = 240

HASH_PAIR: Final = 272
"""The function that hashes two messages at a time (see sources.sha256_pair and machinecode.function_at), 0 if there
is none."""
HASH_CONSTANTS: Final = 280
LANE: Final = 288
OTHER_LANE: Final = 488
"""Two messages that are being hashed (see sources.sha256)."""

TABLE_BYTES: Final = 688

SOURCE: Final = 168
"""In a lane: the address of the next block, ..."""
LEFT: Final = 176
"""... the number of blocks, ..."""
BLOB: Final = 184
"""... the number of the blob, ..."""
STAGE: Final = 192
"""... and the source of the blocks: none, a message, or the padding after its last full block."""
IDLE: Final = 0
BODY: Final = 1
TAIL: Final = 2

HASH: Final = 0
OPEN: Final = 1
OPEN_AND_KEEP: Final = 2
SEAL: Final = 3
SEAL_AND_VERIFY: Final = 4
CHECK_PART: Final = 5

PIECE_BYTES: Final = 64 << 10
"""Uncompressed data is decrypted and hashed in pieces of this length, which stay in the CPU cache."""
NONCE_BYTES: Final = 16
TAG_BYTES: Final = 16
ID_BYTES: Final = 32
FRAME_MAGIC: Final = 0xFD2FB528

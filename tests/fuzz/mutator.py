"""A seeded mutator of bytes, the same for every format."""

import numpy as np

INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xFF)


def mutate(original: bytes, rng: np.random.Generator) -> bytes:
    """Return `original` with 1 to 8 edits: bits, bytes, 32-bit words, cuts, copies and insertions."""
    data = bytearray(original)
    for _ in range(int(rng.integers(1, 9))):
        if not data:
            break
        at = int(rng.integers(len(data)))
        length = int(rng.integers(1, 64))
        kind = int(rng.integers(7))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.choice(INTERESTING))
        elif kind == 2:
            data[at : at + 4] = int(rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1))).to_bytes(4, "little")
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            source = int(rng.integers(len(data)))
            data[at : at + length] = data[source : source + length]
        elif kind == 5:
            data[at:at] = rng.bytes(length)
        else:
            del data[at:]
    return bytes(data)

"""ULIDs: request ids that sort by time, 48 bits of epoch milliseconds and 80 of chance, in base 32."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
LENGTH = 26


def ulid(epoch_ms: int, randomness: int) -> str:
    """Return the ULID of an instant; `randomness` is a number of 80 random bits."""
    # Written out, and in numbers of one machine word: a loop over all 128 bits takes twice as long.
    high, low = randomness >> 40, randomness & 0xFF_FFFF_FFFF
    return "".join(
        (
            _PAIRS[epoch_ms >> 40 & 1023],
            _PAIRS[epoch_ms >> 30 & 1023],
            _PAIRS[epoch_ms >> 20 & 1023],
            _PAIRS[epoch_ms >> 10 & 1023],
            _PAIRS[epoch_ms & 1023],
            _PAIRS[high >> 30 & 1023],
            _PAIRS[high >> 20 & 1023],
            _PAIRS[high >> 10 & 1023],
            _PAIRS[high & 1023],
            _PAIRS[low >> 30],
            _PAIRS[low >> 20 & 1023],
            _PAIRS[low >> 10 & 1023],
            _PAIRS[low & 1023],
        )
    )


def lowest(epoch_ms: int) -> str:
    """Return the smallest ULID of an instant: a range of time is a range of ids."""
    return ulid(max(epoch_ms, 0), 0)


def epoch_ms(text: str) -> int:
    """Return the instant a ULID was made at, in epoch milliseconds. Raises ValueError if it isn't one."""
    if len(text) != LENGTH or any(char not in _VALUES for char in text):
        raise ValueError(f"not a ULID: {text!r}")
    number = 0
    for char in text[:10]:
        number = number << 5 | _VALUES[char]
    return number

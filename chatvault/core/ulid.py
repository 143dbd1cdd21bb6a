"""ULIDs: request ids that sort by time, 48 bits of epoch milliseconds and 80 of chance, in base 32."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
LENGTH = 26


def ulid(epoch_ms: int, randomness: int) -> str:
    """Return the ULID of an instant; `randomness` is a number of 80 random bits."""
    number = (epoch_ms << 80) | randomness
    pairs = _PAIRS
    return "".join([pairs[(number >> shift) & 1023] for shift in range(120, -1, -10)])


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

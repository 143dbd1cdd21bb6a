"""What is known of an answer while it streams by, for the books.

A provider's reader keeps one meter per answer up to date; the relay reads it when the answer ends, however it
ends.
"""

from chatvault.core.usage import Usage, UsageBasis

_BYTES_PER_TOKEN = 4


class Meter:
    """Count an answer as it passes: the provider's usage where it came, else what its text lets us guess."""

    __slots__ = ("deltas", "finish_reason", "output_bytes", "upstream_model", "upstream_request_id", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.deltas = 0
        self.output_bytes = 0
        self.finish_reason: str | None = None
        self.upstream_model: str | None = None
        self.upstream_request_id: str | None = None

    def final_usage(self, *, input_estimate: int) -> Usage:
        """Return the provider's usage, else an estimate of `input_estimate` tokens in, and the text out.

        A delta of today's providers is one token or a few; four bytes of text are about one. The larger of
        both is taken, so that an estimate is seldom too low.
        """
        known = self.usage or Usage()
        # An answer of no tokens has no text: who says so has not counted.
        is_uncounted = known.output_tokens == 0 and self.output_bytes > 0
        if not known.is_to_be_estimated and not is_uncounted:
            return known
        output = known.output_tokens
        if output is None or is_uncounted:
            output = max(self.deltas, -(-self.output_bytes // _BYTES_PER_TOKEN))
        return Usage(
            input_tokens=known.input_tokens if known.input_tokens is not None else input_estimate,
            cached_tokens=known.cached_tokens,
            cache_write_tokens=known.cache_write_tokens,
            cache_write_1h_tokens=known.cache_write_1h_tokens,
            output_tokens=output,
            reasoning_tokens=known.reasoning_tokens,
            web_searches=known.web_searches,
            modifiers=known.modifiers,
            basis=UsageBasis.ESTIMATED,
        )

"""What a check of the audit chain found."""

from dataclasses import dataclass, field

_MOST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """What checkpoints kept elsewhere say.

    `lost_to_restore` are those that speak of entries which a restored backup took away; `restored_at` is the
    number of the entry that says so.
    """

    read: int
    matched: int
    lost_to_restore: tuple[int, ...] = ()
    restored_at: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it must be.

    `kind` is one of:
    `hash` (an entry doesn't follow from the one before it), `gap` (entries from this one on are missing),
    `body` (not the JSON it should be), `columns` (request_id or token_id differ from the body),
    `row` (a ledger row differs from its entry), `missing_row`, `missing_entry`, `twice` (two entries settle
    one request), `rate_card` (a card isn't what its id says, or a row names one that nobody kept),
    `checkpoint` (not the one in the chain, or unreadable), `signature` (of a checkpoint: wrong),
    `unknown_signer` (a checkpoint signed by a key that isn't ours), `rewritten` (a signed checkpoint says
    that another entry stood here), `cut_off` (a checkpoint kept elsewhere speaks of entries that are gone),
    `lost` (so are these, and a signed restore says that it couldn't read what it replaced),
    `unsealed` (thousands of entries from this one on without a checkpoint), `pruned` (the beginning was cut
    off without a signature that vouches for the cut, or the rows left of it were changed), `unsigned`
    (an entry that tells of a pruning or a restore, which no signature covers), `foreign` (another program
    changed the chain while the daemon ran, and nobody with the key accepted that), `archive` (an
    archive of pruned entries is missing, or not the one that was written),
    `token`, `user` (not as the last entries about it say, or never added), `adjustment`, `own_price` (a row
    that no entry tells of, or the other way), `hold` (of a request that can't be running any more),
    `sums` (the daily sums aren't those of the ledger), `trigger` (a guard against changes is gone,
    or somebody put another one in), `view` (`usage_log` isn't the one that ChatVault made), `index` (leaves
    rows out, or has others than its table),
    `database` (unreadable from here on).
    """

    kind: str
    seq: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found. `head` is the last entry's hash in hex; `problems` are the first
    thousand; `comparison` says how checkpoints kept elsewhere fared; `open_holds` counts
    requests that run, or that the next start will settle."""

    ok: bool
    entries: int
    head: str
    first_bad: int | None
    problems: tuple[Problem, ...]
    comparison: Comparison | None = None
    open_holds: int = 0


@dataclass(slots=True)
class Findings:
    """Problems as they are found; only so many are kept, so that memory stays bounded."""

    kept: list[Problem] = field(default_factory=list)
    first_bad: int | None = None
    count: int = 0

    def add(self, kind: str, *, seq: int | None = None, request_id: str | None = None) -> None:
        """Note a problem."""
        self.count += 1
        if seq is not None and (self.first_bad is None or seq < self.first_bad):
            self.first_bad = seq
        if len(self.kept) < _MOST_KEPT:
            self.kept.append(Problem(kind, seq, request_id))

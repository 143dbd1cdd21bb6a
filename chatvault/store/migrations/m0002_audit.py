"""The audit chain can be pruned from its beginning, and prompts can be kept, apart from it and encrypted."""

_APPEND_ONLY = "BEGIN SELECT RAISE(ABORT, 'pruned is append-only'); END"

STATEMENTS = (
    # Entries up to `seq` lie in an archive; `hash` is the last one's; `entry` says so in the chain.
    # `row_count` and `rows_sha256` are of all ledger rows without an entry: by this pruning and earlier ones.
    """CREATE TABLE pruned (
    seq INTEGER PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    entry INTEGER NOT NULL,
    archive TEXT NOT NULL,
    archive_sha256 BLOB NOT NULL CHECK (length(archive_sha256) = 32),
    row_count INTEGER NOT NULL,
    rows_sha256 BLOB NOT NULL CHECK (length(rows_sha256) = 32)
    ) STRICT""",
    f"CREATE TRIGGER pruned_no_update BEFORE UPDATE ON pruned {_APPEND_ONLY}",
    f"CREATE TRIGGER pruned_no_delete BEFORE DELETE ON pruned {_APPEND_ONLY}",
    f"""CREATE TRIGGER pruned_no_replace BEFORE INSERT ON pruned
    WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM pruned) {_APPEND_ONLY}""",
    "DROP TRIGGER audit_no_delete",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    WHEN OLD.seq > (SELECT coalesce(max(seq), 0) FROM pruned)
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TABLE content (
    request_id TEXT NOT NULL PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    nonce BLOB NOT NULL CHECK (length(nonce) = 12),
    sealed BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX content_by_key ON content (key_id)",
    "ALTER TABLE token ADD COLUMN content TEXT CHECK (content IN ('off', 'errors', 'full'))",
)

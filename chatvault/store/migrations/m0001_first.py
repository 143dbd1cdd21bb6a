"""The first shape of the database.

Every table is STRICT. `ledger` is clustered by the request's ULID, so a span of time is one range of it.
What is written once and never changed is kept so by triggers; those on insert are there because an INSERT OR
REPLACE deletes without asking a delete trigger.
"""

_APPEND_ONLY = {
    "ledger": "id",
    "adjustment": "seq",
    "rate_card": "id",
    "checkpoint": "seq",
}


def _guards(table: str, key: str) -> tuple[str, ...]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    return (
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}"
        f" WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key}) {refuse}",
    )


_REQUEST_START = """
    id TEXT NOT NULL PRIMARY KEY,
    started_at INTEGER NOT NULL,"""

_WHO_AND_WHAT = """
    user_id TEXT NOT NULL,
    token_id TEXT NOT NULL,
    client_ip TEXT NOT NULL,
    via TEXT NOT NULL,
    client TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model_name TEXT NOT NULL,"""

STATEMENTS = (
    f"""CREATE TABLE ledger ({_REQUEST_START}
    finished_at INTEGER NOT NULL,{_WHO_AND_WHAT}
    provider TEXT,
    upstream_model TEXT,
    stream INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'error', 'cancelled', 'interrupted', 'refused')),
    http_status INTEGER NOT NULL,
    error_code TEXT,
    input_tokens INTEGER,
    cached_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    usage_basis TEXT NOT NULL,
    cost_picousd INTEGER,
    cost_basis TEXT NOT NULL,
    rate_card_id TEXT,
    ttft_ms INTEGER,
    duration_ms INTEGER,
    upstream_request_id TEXT
    ) STRICT, WITHOUT ROWID""",
    f"""CREATE TABLE hold ({_REQUEST_START}{_WHO_AND_WHAT}
    provider TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    stream INTEGER NOT NULL,
    ceiling_picousd INTEGER,
    is_local INTEGER NOT NULL,
    rate_card_id TEXT
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    request_id TEXT,
    token_id TEXT,
    body TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
    ) STRICT""",
    """CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_no_gap BEFORE INSERT ON audit
    WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
    BEGIN SELECT RAISE(ABORT, 'audit entries follow each other without a gap'); END""",
    """CREATE TABLE checkpoint (
    seq INTEGER PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    note TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE rate_card (
    id TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    body TEXT NOT NULL,
    recorded_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE adjustment (
    seq INTEGER PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    cost_picousd INTEGER NOT NULL,
    rate_card_id TEXT,
    reason TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX adjustment_by_request ON adjustment (request_id, seq)",
    *(statement for table, key in _APPEND_ONLY.items() for statement in _guards(table, key)),
    """CREATE TABLE user (
    name TEXT NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    budget TEXT,
    requests_per_minute INTEGER,
    tokens_per_minute INTEGER,
    concurrency INTEGER
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE token (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    user TEXT NOT NULL REFERENCES user (name),
    created_at INTEGER NOT NULL,
    last_four TEXT NOT NULL,
    models TEXT NOT NULL,
    is_local_only INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER,
    budget TEXT,
    requests_per_minute INTEGER,
    tokens_per_minute INTEGER,
    concurrency INTEGER,
    secret_hash BLOB NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    previous_hash BLOB UNIQUE,
    previous_until INTEGER,
    is_expiry_noted INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    """CREATE UNIQUE INDEX token_by_live_name ON token (name)
    WHERE revoked_at IS NULL AND is_expiry_noted = 0""",
    # Sums per UTC day: reports read whole days here and only the edges from the ledger. '' stands for null.
    """CREATE TABLE usage_day (
    day INTEGER NOT NULL,
    token_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    model_name TEXT NOT NULL,
    provider TEXT NOT NULL,
    client TEXT NOT NULL,
    status TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_picousd INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL,
    PRIMARY KEY (day, token_id, user_id, model_name, provider, client, status)
    ) STRICT, WITHOUT ROWID""",
    # The cost is text: whole picodollars don't fit a float.
    """CREATE VIEW usage_log AS
    SELECT strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS timestamp,
        user_id, model_name, input_tokens, output_tokens,
        CASE WHEN picousd IS NOT NULL
            THEN printf('%d.%012d', picousd / 1000000000000, picousd % 1000000000000) END AS cost
    FROM (SELECT ledger.*, coalesce(
        (SELECT cost_picousd FROM adjustment WHERE request_id = ledger.id ORDER BY seq DESC LIMIT 1),
        cost_picousd) AS picousd FROM ledger)""",
)

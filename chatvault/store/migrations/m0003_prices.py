"""Prices of your own that were set by command: appended, never changed; the last word on a model counts."""

_APPEND_ONLY = "BEGIN SELECT RAISE(ABORT, 'own_price is append-only'); END"

STATEMENTS = (
    # Picodollars a token. A row without prices takes back all that was set for the model before.
    """CREATE TABLE own_price (
    seq INTEGER PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    model TEXT NOT NULL,
    input INTEGER,
    output INTEGER,
    cache_read INTEGER,
    cache_write_5m INTEGER,
    cache_write_1h INTEGER,
    from_ms INTEGER,
    until_ms INTEGER,
    note TEXT NOT NULL
    ) STRICT""",
    f"CREATE TRIGGER own_price_no_update BEFORE UPDATE ON own_price {_APPEND_ONLY}",
    f"CREATE TRIGGER own_price_no_delete BEFORE DELETE ON own_price {_APPEND_ONLY}",
    f"""CREATE TRIGGER own_price_no_replace BEFORE INSERT ON own_price
    WHEN EXISTS (SELECT 1 FROM own_price WHERE seq = NEW.seq) {_APPEND_ONLY}""",
)

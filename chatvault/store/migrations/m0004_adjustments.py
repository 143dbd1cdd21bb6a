"""Only a request that was settled has a cost to adjust."""

STATEMENTS = (
    """CREATE TRIGGER adjustment_of_a_request BEFORE INSERT ON adjustment
    WHEN NOT EXISTS (SELECT 1 FROM ledger WHERE id = NEW.request_id)
    BEGIN SELECT RAISE(ABORT, 'only a settled request has a cost to adjust'); END""",
)

"""What holds after every fault, whatever it was: the books are whole, and say what the provider billed."""

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.support.daemon import Daemon, Row


@dataclass
class Books:
    """What a test knows of the requests it made: their ids, and what the provider billed for them."""

    daemon: Daemon
    ids: list[str] = field(default_factory=list)
    billed_picousd: int = 0

    def check(self) -> list[Row]:
        """Fail unless all invariants hold; returns the ledger."""
        daemon = self.daemon
        deadline = time.monotonic() + 30
        while (holds := daemon.query("SELECT id FROM hold")) or len(daemon.ledger()) < len(self.ids):
            assert time.monotonic() < deadline, f"holds left: {holds}, or rows missing\n{daemon.log}"
            time.sleep(0.02)
        rows = daemon.ledger()
        known = Counter(row["id"] for row in rows)
        for request_id in self.ids:
            assert known[request_id] == 1, f"{request_id} has {known[request_id]} rows"
        assert len(rows) == len(self.ids), f"{len(rows)} rows for {len(self.ids)} requests"
        exact = sum(row["cost_picousd"] for row in rows if row["cost_basis"] == "exact")
        assert exact == self.billed_picousd, f"the ledger has {exact}, the provider {self.billed_picousd}"
        assert all(row["cost_picousd"] >= 0 for row in rows if row["cost_picousd"] is not None)
        verdict = daemon.json("audit", "verify", "--full")
        assert verdict["ok"], verdict
        return rows

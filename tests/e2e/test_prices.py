"""Prices that are set while the daemon runs: they hold at once, and for what was settled when asked."""

from tests.support.clients import ask, chat
from tests.support.daemon import Serve
from tests.support.openai_shape import INPUT_TOKENS, OUTPUT_TOKENS, settings
from tests.support.scripted import Upstream


def test_a_price_makes_a_model_fit_for_budgets_and_reprices_what_had_none(
    serve: Serve, upstream: Upstream
) -> None:
    daemon = serve({**settings(upstream.url), "prices": {}})
    free, poor = daemon.add_token("free"), daemon.add_token("poor", "--budget", "1.00/day")
    body = chat("mock/fixed", max_tokens=50)
    assert ask(daemon.url, free, body).status == 200
    heard = ask(daemon.url, poor, body)
    assert (heard.status, heard.json["error"]["code"]) == (403, "model_not_priced")

    daemon.json("prices", "set", "mock/fixed", "--input", "1", "--output", "2")
    assert ask(daemon.url, poor, body).status == 200
    rows = daemon.wait_for_rows(3)
    cost = INPUT_TOKENS * 1_000_000 + OUTPUT_TOKENS * 2_000_000
    assert [row["cost_picousd"] for row in rows] == [None, 0, cost]

    planned = daemon.json("prices", "reprice", "--since", "1d", "--dry-run")
    assert (planned["changed"], planned["difference_picousd"]) == (1, cost)
    assert daemon.json("prices", "reprice", "--since", "1d")["changed"] == 1
    assert daemon.json("prices", "reprice", "--since", "1d")["changed"] == 0
    assert daemon.ledger() == rows
    total = daemon.json("usage", "--since", "1d")["total"]
    assert (total["cost_picousd"], total["unpriced_requests"]) == (2 * cost, 0)
    assert daemon.json("audit", "verify", "--full")["ok"]


def test_a_dearer_price_for_what_was_settled_spends_the_budget(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token("phone", "--budget", "0.001/day")
    body = chat("mock/fixed", max_tokens=50)
    assert ask(daemon.url, secret, body).status == 200
    daemon.wait_for_rows(1)
    daemon.json("prices", "set", "mock/fixed", "--input", "100", "--output", "100")
    daemon.json("prices", "reprice", "--since", "1d", "--model", "mock/fixed")
    daemon.json("prices", "set", "mock/fixed", "--input", "1", "--output", "2")
    for _ in range(2):
        heard = ask(daemon.url, secret, body)
        assert (heard.status, heard.json["error"]["code"]) == (429, "insufficient_quota")
        daemon.kill()
        daemon.start()
    daemon.json("prices", "reprice", "--since", "1d")
    assert ask(daemon.url, secret, body).status == 200
    daemon.json("prices", "set", "mock/fixed", "--remove")
    assert daemon.run("prices", "set", "mock/fixed", "--remove").returncode == 2

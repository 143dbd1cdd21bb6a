"""Prices as shown."""

import pytest

from chatvault.daemon.prices import build_price_book
from tests.support.program import Program

OVERRIDE = """\
providers: {home: {kind: ollama}}
prices:
  overrides:
    - {model: home/llama, per_mtok: {input: 0.003625, output: 1}, note: mine}
"""


def test_your_own_prices_come_first(chatvault: Program) -> None:
    chatvault.write_settings(OVERRIDE)
    found = chatvault.run("prices", "list", "--json").json["prices"]

    assert (found[0]["provider"], found[0]["model"], found[0]["source"]) == ("home", "llama", "override")
    assert found[0]["usd_per_mtok"][0]["input"] == "0.003625"
    assert {each["source"] for each in found[1:]} == {"builtin"}


def test_the_table_needs_no_settings(chatvault: Program) -> None:
    outcome = chatvault.run("prices", "list")

    assert outcome.code == 0
    assert "claude-sonnet-5-5" in outcome.out


def test_one_model_is_shown_with_its_source(chatvault: Program) -> None:
    chatvault.write_settings(OVERRIDE)

    assert chatvault.run("prices", "show", "home/llama", "--json").json["prices"][0]["note"] == "mine"
    assert chatvault.run("prices", "show", "claude-sonnet-5-5", "--json").json["prices"][0]["checked_on"]


def test_a_model_without_a_price_is_exit_1(chatvault: Program) -> None:
    outcome = chatvault.run("prices", "show", "nobody/nothing")

    assert outcome.code == 1
    assert "chatvault prices set nobody/nothing" in outcome.err


def test_a_price_is_set_listed_and_taken_back_without_a_daemon(chatvault: Program) -> None:
    prices = ("--input", "0.28", "--output", "0.42")
    assert chatvault.run("prices", "set", "deepseek/new", *prices).code == 0
    shown = chatvault.run("prices", "show", "deepseek/new", "--json")
    assert shown.json["prices"][0]["usd_per_mtok"][0]["cache_read"] == "0.28"
    assert "new" in chatvault.run("prices", "list").out
    assert chatvault.run("prices", "set", "deepseek/new", "--input", "x", "--output", "1").code == 2
    assert chatvault.run("prices", "set", "deepseek/new", "--remove").code == 0
    assert chatvault.run("prices", "show", "deepseek/new").code == 1
    assert chatvault.run("prices", "set", "deepseek/new", "--remove").code == 2


def test_a_price_for_a_provider_that_is_not_there_is_refused(chatvault: Program) -> None:
    chatvault.places.config.parent.mkdir(parents=True, exist_ok=True)
    chatvault.places.config.write_text("providers: {echo: {kind: echo}}")
    prices = ("--input", "1", "--output", "2")

    outcome = chatvault.run("prices", "set", "nope/m", *prices)

    assert (outcome.code, "no provider 'nope'" in outcome.err) == (2, True)
    assert chatvault.run("prices", "set", "echo/a/b", *prices).code == 0
    assert chatvault.run("prices", "set", "m", *prices).code == 0


def test_repricing_needs_the_daemon(chatvault: Program) -> None:
    assert chatvault.run("prices", "reprice", "--since", "7d").code == 3
    assert chatvault.run("prices", "reprice", "--since", "soon").code == 2


def test_what_litellm_alone_knows_is_priced_as_the_daemon_does(
    chatvault: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-0123456789abcdef")
    chatvault.write_settings(
        "providers: {d: {kind: deepseek, api_key: 'env:DEEPSEEK_API_KEY'}}\n"
        "models: {coder: {routes: [d/deepseek-coder]}, none: {routes: [d/deepseek-nobody]}}\n"
    )
    daemons = build_price_book(()).find("d", "deepseek", "deepseek-coder", at_ms=2**40)
    shown = chatvault.run("prices", "show", "d/deepseek-coder", "--json").json["prices"]
    listed = chatvault.run("prices", "list", "--json").json["prices"]

    assert daemons is not None and daemons.source == "litellm"
    assert [each["rate_card_id"] for each in shown] == [daemons.id]
    assert [each["rate_card_id"] for each in listed if each["source"] == "litellm"] == [daemons.id]
    assert chatvault.run("prices", "show", "d/deepseek-nobody").code == 1

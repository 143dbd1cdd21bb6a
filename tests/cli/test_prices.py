"""Prices as shown."""

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
    assert "prices.overrides" in outcome.err

"""Tests of `chatvault users`."""

from tests.support.program import Program


def test_limits_are_set_kept_and_taken_away(chatvault: Program) -> None:
    assert chatvault.run("users", "set", "mia", "--budget", "20/month", "--rpm", "60").code == 0
    changed = chatvault.run("users", "set", "mia", "--rpm", "none", "--tpm", "1000", "--json").json
    assert (changed["budget"], changed["rpm"], changed["tpm"]) == ("20.00/month", None, 1000)
    (user,) = chatvault.run("users", "list", "--json").json["users"]
    assert (user["name"], user["budget"], user["tokens"]) == ("mia", "20.00/month", 0)
    assert "$20.00/month ($0.0000 spent), 1,000 tokens/min" in chatvault.run("users", "list").out


def test_what_is_no_limit_is_wrong_usage(chatvault: Program) -> None:
    for wrong in (("--budget", "5"), ("--rpm", "0"), ("--concurrency", "many"), ()):
        assert chatvault.run("users", "set", "mia", *wrong).code == 2


def test_an_access_token_has_limits_of_its_own(chatvault: Program) -> None:
    limits = ("--budget", "5/day", "--rpm", "60", "--tpm", "200000", "--concurrency", "4")
    token = chatvault.run("tokens", "add", "agent", *limits, "--json").json
    assert (token["budget"], token["rpm"], token["tpm"], token["concurrency"]) == ("5.00/day", 60, 200000, 4)
    assert "$5.00/day ($0.0000 spent), 60 requests/min" in chatvault.run("tokens", "list").out
    assert chatvault.run("tokens", "add", "other", "--budget", "lots").code == 2

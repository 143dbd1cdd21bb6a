"""Tests of the way from a model's name to its routes."""

from chatvault.core.routing import Route, Unknown, resolve

HOME = Route("ollama", "llama3.2:3b", True)
PAID = Route("deepseek", "deepseek-flash", False)


def routes(name: str) -> tuple[Route, ...] | Unknown:
    return resolve(
        name,
        aliases={"fast": [HOME, PAID], "ollama/llama3.2:3b": [PAID]},
        locals_by_provider={"ollama": True, "deepseek": False},
        listed={"qwen3:8b": ["ollama"], "both": ["ollama", "deepseek"], "gone": ["removed"]},
    )


def test_an_alias_leads_to_its_routes_in_order() -> None:
    assert routes("fast") == (HOME, PAID)


def test_an_alias_goes_before_a_provider_of_the_same_spelling() -> None:
    assert routes("ollama/llama3.2:3b") == (PAID,)


def test_provider_and_name_always_work_whatever_is_listed() -> None:
    assert routes("ollama/hf.co/someone/model:Q4") == (Route("ollama", "hf.co/someone/model:Q4", True),)


def test_a_bare_name_works_where_one_provider_lists_it() -> None:
    assert routes("qwen3:8b") == (Route("ollama", "qwen3:8b", True),)


def test_a_bare_name_of_two_providers_names_both() -> None:
    assert routes("both") == Unknown(("deepseek/both", "ollama/both"))


def test_an_unknown_name_leads_nowhere() -> None:
    assert routes("nobody/x") == Unknown()
    assert routes("ollama/") == Unknown()
    assert routes("") == Unknown()


def test_a_provider_that_is_gone_lists_nothing() -> None:
    assert routes("gone") == Unknown()

"""The models that can be asked."""

from tests.support.program import Program


def test_aliases_and_the_providers_own_models_are_listed(chatvault: Program) -> None:
    chatvault.write_settings("providers: {echo: {kind: echo}}\nmodels: {parrot: {routes: [echo/echo]}}\n")
    found = chatvault.run("models", "--json").json

    assert [(each["name"], each["alias"], each["local"]) for each in found["models"]] == [
        ("parrot", True, True),
        ("echo/echo", False, True),
    ]
    assert found["problems"] == []
    assert "parrot" in chatvault.run("models").out


def test_a_provider_that_does_not_answer_is_exit_5(chatvault: Program) -> None:
    chatvault.write_settings(
        "providers: {echo: {kind: echo}, o: {kind: ollama, base_url: 'http://127.0.0.1:1'}}"
    )
    outcome = chatvault.run("models", "--json")

    assert outcome.code == 5
    assert [each["name"] for each in outcome.json["models"]] == ["echo/echo"]
    assert outcome.json["problems"][0].startswith("o: ")

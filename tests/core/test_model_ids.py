from chatvault.core.model_ids import spellings


def test_a_dated_id_falls_back_to_the_id_without_its_date() -> None:
    assert spellings("anthropic", "claude-haiku-4-5-20251001") == (
        "claude-haiku-4-5-20251001",
        "claude-haiku-4-5",
    )


def test_an_alias_is_the_last_to_be_tried() -> None:
    assert spellings("deepseek", "deepseek-v4-flash-20260910") == (
        "deepseek-v4-flash-20260910",
        "deepseek-v4-flash",
        "deepseek-flash",
    )


def test_only_eight_digits_are_a_date() -> None:
    for name in ("claude-opus-5", "m-2025100", "m-202510011", "m-2025１００１", "m20251001", "20251001"):
        assert spellings("anthropic", name) == (name,)


def test_an_alias_of_one_kind_is_none_of_another() -> None:
    assert spellings("anthropic", "v4-flash") == ("v4-flash",)

"""The ids of models: which names mean the same one."""

ANTHROPIC = "anthropic"
DEEPSEEK = "deepseek"

# Names a provider takes for another id, and bills as that id.
ALIASES = {
    (ANTHROPIC, "claude-opus-4-0"): "claude-opus-4",
    (ANTHROPIC, "claude-sonnet-4-0"): "claude-sonnet-4",
    (ANTHROPIC, "claude-3-7-sonnet-latest"): "claude-3-7-sonnet",
    (ANTHROPIC, "claude-3-5-sonnet-latest"): "claude-3-5-sonnet",
    (ANTHROPIC, "claude-3-5-haiku-latest"): "claude-3-5-haiku",
    (ANTHROPIC, "claude-3-opus-latest"): "claude-3-opus",
    (DEEPSEEK, "v4-flash"): "deepseek-flash",
    (DEEPSEEK, "deepseek-v4-flash"): "deepseek-flash",
}


def spellings(kind: str, model: str) -> tuple[str, ...]:
    """Return the ids under which a model's price may stand, best first.

    Itself; the id without its date (eight digits); the id that either is a declared alias of. Nothing else: a
    name that merely looks alike is another model.
    """
    head, dash, tail = model.rpartition("-")
    undated = head if dash and len(tail) == 8 and tail.isascii() and tail.isdigit() else None
    names = (model,) if undated is None else (model, undated)
    aliased = tuple(ALIASES[kind, name] for name in names if (kind, name) in ALIASES)
    return names + aliased

"""config.yaml into Settings: every section decoded, and what holds between sections checked."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, cast

import yaml

from chatvault.config.decode import Decoder
from chatvault.config.document import is_null, line_of, read_document
from chatvault.config.hosts import HOST_HINT, JUMP_HINT, RELAY_HINT, host_problem, jump_problem
from chatvault.config.limits import budget_of
from chatvault.config.prices import price_override
from chatvault.config.secrets import SecretSource
from chatvault.config.settings import ModelAlias, ProviderEntry, Settings, UsageSettings

T = TypeVar("T")
_SECTIONS = tuple(each.name for each in fields(Settings) if each.name != "path")
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def load(
    path: Path,
    *,
    provider_settings: Callable[[str], type[T]],
    kinds: Collection[str],
    environ: Mapping[str, str],
    env_file: Path | None = None,
    credentials_dir: Path | None = None,
    are_secrets_needed: bool = True,
) -> Settings[T]:
    """Read the settings in `path`.

    `kinds` are the kinds of providers there are, `provider_settings` gives a kind's own class of settings;
    `env_file` is the `.env` beside `path` unless given. With `are_secrets_needed` False a missing secret is
    None instead of an error. Raises ConfigError with file, line and what to do.
    """
    source = SecretSource(environ, env_file or path.parent / ".env", credentials_dir, are_secrets_needed)
    decoder = Decoder(path, source)
    root = read_document(path)
    if root is None or is_null(root):
        return Settings(path=path)
    sections = {key: value for key, _, value in decoder.entries(root, "")}
    for key, key_node, _ in decoder.entries(root, ""):
        if key not in _SECTIONS:
            decoder.unknown(key_node, key, key, _SECTIONS)
    providers = _providers(decoder, sections.get("providers"), provider_settings, kinds)
    # The class is generic over the providers' settings, which only the caller knows: they are decoded apart.
    rest = yaml.MappingNode(
        root.tag,
        [pair for pair in root.value if pair[0].value != "providers"],
        root.start_mark,
        root.end_mark,
    )
    settings = cast(
        Settings[T],
        decoder.dataclass(
            Settings, rest, where="", known={"path": path, "providers": MappingProxyType(providers)}
        ),
    )
    _check_models(decoder, sections.get("models"), settings.models, providers)
    _check_host(decoder, sections.get("server"), settings)
    _check_tls(decoder, sections.get("server"), settings)
    _check_tunnel(decoder, sections.get("tunnel"), settings)
    _check_prices(decoder, sections.get("prices"), settings)
    _check_budget(decoder, sections.get("limits"), settings)
    return settings


def load_usage(path: Path) -> UsageSettings:
    """Read the section `usage` alone, for reports that need nothing else. Raises ConfigError."""
    root = read_document(path)
    decoder = Decoder(path, SecretSource({}, path.parent / ".env", None, False))
    for key, _, value in decoder.entries(root, "") if root is not None else ():
        if key == "usage":
            return decoder.dataclass(UsageSettings, value, where="usage")
    return UsageSettings()


def _providers(
    decoder: Decoder, node: yaml.Node | None, settings_of: Callable[[str], type[T]], kinds: Collection[str]
) -> dict[str, ProviderEntry[T]]:
    found: dict[str, ProviderEntry[T]] = {}
    for name, key_node, value in decoder.entries(node, "providers") if node is not None else ():
        where = f"providers.{name}"
        if not name or not set(name) <= _NAME_CHARS:
            decoder.fail(
                key_node, f"{where}: a provider's name has letters, digits, - _ . only", hint="rename it"
            )
        kind, rest = _kind(decoder, key_node, value, where, tuple(kinds))
        settings = decoder.dataclass(settings_of(kind), rest, where=where)
        found[name] = ProviderEntry(name, kind, settings, line=line_of(key_node))
    return found


def _kind(
    decoder: Decoder, key_node: yaml.Node, node: yaml.Node, where: str, kinds: tuple[str, ...]
) -> tuple[str, yaml.Node]:
    for key, _, value in decoder.entries(node, where):
        if key != "kind":
            continue
        kind = decoder.value(str, value, where=f"{where}.kind")
        if kind not in kinds:
            decoder.unknown(value, f"{where}: {kind!r}", str(kind), kinds, what="kind of provider")
        pairs = [pair for pair in node.value if pair[0].value != "kind"]
        # What is missing in it is missed where the provider's name stands.
        return str(kind), yaml.MappingNode(node.tag, pairs, key_node.start_mark, node.end_mark)
    decoder.fail(key_node, f"{where}: kind is missing", hint=f"known kinds: {', '.join(kinds)}")


def _check_models(
    decoder: Decoder,
    node: yaml.Node | None,
    models: Mapping[str, ModelAlias],
    providers: Mapping[str, ProviderEntry[T]],
) -> None:
    for name, key_node, value in decoder.entries(node, "models") if node is not None else ():
        where = f"models.{name}"
        if name.split("/", 1)[0] in providers and "/" in name:
            decoder.fail(
                key_node, f"{where}: this name is already a provider's own model", hint="choose another name"
            )
        if not name.strip() or not name.isprintable():
            decoder.fail(key_node, "models: a name must be visible text", hint="choose another name")
        routes = models[name].routes
        if not routes:
            decoder.fail(key_node, f"{where}: has no routes", hint=f"{name}: {{routes: [PROVIDER/NAME]}}")
        nodes = _items(decoder, value, "routes")
        for index, route in enumerate(routes):
            at = nodes[index] if index < len(nodes) else key_node
            provider, slash, model = route.partition("/")
            if not slash or not model:
                hint = f"write {next(iter(providers), 'ollama')}/{route.strip('/') or 'NAME'}"
                decoder.fail(at, f"{where}: route {route!r} is not PROVIDER/NAME", hint=hint)
            if provider not in providers:
                decoder.unknown(at, f"{where}: {provider!r}", provider, tuple(providers), what="provider")
            if route in routes[:index]:
                decoder.fail(at, f"{where}: route {route!r} stands there twice", hint="delete one of the two")


def _items(decoder: Decoder, node: yaml.Node, key: str) -> list[yaml.Node]:
    for name, _, value in decoder.entries(node, ""):
        if name == key and isinstance(value, yaml.SequenceNode):
            return list(value.value)
    return []


def _check_tls(decoder: Decoder, node: yaml.Node | None, settings: Settings[T]) -> None:
    tls = settings.server.tls
    if node is not None and (tls.cert is None) != (tls.key is None):
        missing = "key" if tls.key is None else "cert"
        decoder.fail(
            _at(decoder, node, "tls"), f"server.tls: {missing} is missing", hint="set both, or neither"
        )


def _check_tunnel(decoder: Decoder, node: yaml.Node | None, settings: Settings[T]) -> None:
    tunnel = settings.tunnel
    if node is None:
        return
    if tunnel.enabled and tunnel.host is None:
        decoder.fail(
            _at(decoder, node, "enabled"), "tunnel.host: missing", hint="name the relay, or enabled: false"
        )
    problem = None if tunnel.host is None else host_problem(tunnel.host)
    if problem is not None:
        decoder.fail(_at(decoder, node, "host"), f"tunnel.host: {problem}", hint=RELAY_HINT)
    for hop in tunnel.jump:
        problem = jump_problem(hop)
        if problem is not None:
            decoder.fail(_at(decoder, node, "jump"), f"tunnel.jump: {problem}", hint=JUMP_HINT)


def _check_host(decoder: Decoder, node: yaml.Node | None, settings: Settings[T]) -> None:
    problem = host_problem(settings.server.host)
    if node is not None and problem is not None:
        decoder.fail(_at(decoder, node, "host"), f"server.host: {problem}", hint=HOST_HINT)


def _check_prices(decoder: Decoder, node: yaml.Node | None, settings: Settings[T]) -> None:
    for index, each in enumerate(settings.prices.overrides):
        if node is None:
            return
        at, where = _items(decoder, node, "overrides")[index], f"prices.overrides[{index}]"
        if each.from_ and each.to and each.from_ >= each.to:
            decoder.fail(
                at, f"{where}: `from` must come before `to`", hint="`to` is the first day it no longer holds"
            )
        try:
            price_override(each)
        except ValueError as exc:
            hint = "prices are USD per million tokens, with six decimals at most: 0.003625"
            decoder.fail(at, f"{where}: {exc}", hint=hint)


def _check_budget(decoder: Decoder, node: yaml.Node | None, settings: Settings[T]) -> None:
    if node is None or settings.limits.budget is None:
        return
    try:
        budget_of(settings.limits.budget)
    except ValueError as exc:
        at = _at(decoder, node, "budget")
        decoder.fail(at, f"limits.budget.usd: {exc}", hint="budget: {usd: 5.00, per: day}")


def _at(decoder: Decoder, node: yaml.Node, key: str) -> yaml.Node:
    return next((key_node for name, key_node, _ in decoder.entries(node, "") if name == key), node)

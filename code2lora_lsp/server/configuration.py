"""Settings from the client: three ways in, one decoder, errors shown once.

``initializationOptions``, ``workspace/didChangeConfiguration`` (pushed) and
``workspace/configuration`` (pulled, never while a request waits: some editors deadlock).
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import fields

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from code2lora_lsp.config import Settings, decode_settings
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.server.language_server import Code2LoraServer

log = logging.getLogger(__name__)
SECTION = "code2lora"
PULL_TIMEOUT_S = 2.0

# settings of the editor plug-ins that share our section; the server has no use for them
_OF_THE_CLIENT = frozenset(
    {"client", "server", "trace", "logLevel", "interpreter", "importStrategy"}
)
_GROUPS = frozenset(item.name for item in fields(Settings))


def our_part(raw: object) -> object:
    """Our section of what a client sent: under ``code2lora`` or bare; nulls mean "default".

    ``None`` if there is nothing of ours. An empty list is Neovim's spelling of an empty object.
    """
    if raw is None or raw == []:
        return None
    if isinstance(raw, Mapping) and SECTION in raw:
        return our_part(raw[SECTION])
    if not isinstance(raw, Mapping):
        return raw
    return {k: v for k, v in _without_nulls(raw).items() if k not in _OF_THE_CLIENT}


def _without_nulls(raw: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in raw.items()
        if value is not None
    }


def is_ours(raw: object) -> bool:
    """Whether pushed settings concern us: clients also push other servers' sections."""
    return isinstance(raw, Mapping) and (SECTION in raw or not _GROUPS.isdisjoint(raw))


def take_initial(ls: Code2LoraServer, raw: object) -> ConfigError | None:
    """Settings from initializationOptions; an error leaves the defaults and is told later."""
    try:
        settings = decode_settings(our_part(raw), ls.session.base_settings)
    except ConfigError as error:
        return error
    ls.session.base_settings = ls.session.settings = settings
    return None


def take(ls: Code2LoraServer, raw: object) -> None:
    """Settings from a running client; an error is shown once and the old ones stay."""
    try:
        settings = decode_settings(our_part(raw), ls.session.base_settings)
    except ConfigError as error:
        tell(ls, error)
        return
    if settings == ls.session.settings:
        return
    if settings.completion.enabled != ls.session.settings.completion.enabled:
        ls.session.toggles.everywhere = None
    ls.session.settings = settings
    log.info("new settings: %s", settings)
    ls.on_settings()


def tell(ls: Code2LoraServer, error: ConfigError) -> None:
    ls.tell_once(f"code2lora: {error}. The settings from before stay in force.", is_error=True)


async def pull(ls: Code2LoraServer) -> None:
    """Ask the client for our section and take it."""
    items = [types.ConfigurationItem(section=SECTION)]
    try:
        answer = await ls.workspace_configuration_async(types.ConfigurationParams(items))
    except JsonRpcException as error:
        log.warning("the client did not answer workspace/configuration: %s", error)
        return
    take(ls, answer[0] if answer else None)


async def pull_before_start(ls: Code2LoraServer) -> None:
    """Pull, but do not let a client that never answers keep the engine from starting."""
    done, _ = await asyncio.wait({ls.spawn(pull(ls))}, timeout=PULL_TIMEOUT_S)
    if not done:
        log.warning("the client has not answered workspace/configuration; starting without")


def did_change(ls: Code2LoraServer, params: types.DidChangeConfigurationParams) -> None:
    """Pushed settings; a push without content asks us to pull."""
    if is_ours(params.settings):
        take(ls, params.settings)
    elif ls.session.client.pulls_configuration:
        ls.spawn(pull(ls))
    else:
        log.info("a configuration change without a %r section was ignored", SECTION)


async def register(ls: Code2LoraServer) -> None:
    """Ask to hear about changes, where the client wants to be asked."""
    if ls.session.client.configuration_dynamic:
        section = None if ls.session.client.pulls_configuration else SECTION
        options = types.DidChangeConfigurationRegistrationOptions(section=section)
        await ls.registrations.set(types.WORKSPACE_DID_CHANGE_CONFIGURATION, options)

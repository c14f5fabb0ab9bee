"""What the client said it can do, read once from its capabilities."""

from dataclasses import dataclass

from lsprotocol import types


@dataclass(frozen=True)
class ClientTraits:
    """The few capabilities that change what we do.

    Attributes:
        inline: it can show inline completions.
        inline_dynamic: inline completion may be registered later.
        completion_dynamic: so may ordinary completion.
        pulls_configuration: it answers ``workspace/configuration``.
        configuration_dynamic: it wants a registration before it reports changed settings.
        shows_progress: it answers ``window/workDoneProgress/create``.
    """

    inline: bool = False
    inline_dynamic: bool = False
    completion_dynamic: bool = False
    pulls_configuration: bool = False
    configuration_dynamic: bool = False
    shows_progress: bool = False

    @classmethod
    def of(cls, capabilities: types.ClientCapabilities) -> "ClientTraits":
        document = capabilities.text_document or types.TextDocumentClientCapabilities()
        workspace = capabilities.workspace or types.WorkspaceClientCapabilities()
        window = capabilities.window or types.WindowClientCapabilities()
        inline, completion = document.inline_completion, document.completion
        changes = workspace.did_change_configuration
        return cls(
            inline=inline is not None,
            inline_dynamic=bool(inline and inline.dynamic_registration),
            completion_dynamic=bool(completion and completion.dynamic_registration),
            pulls_configuration=bool(workspace.configuration),
            configuration_dynamic=bool(changes and changes.dynamic_registration),
            shows_progress=bool(window.work_done_progress),
        )

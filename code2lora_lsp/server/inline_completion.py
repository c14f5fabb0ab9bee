"""``textDocument/inlineCompletion``: ghost text."""

from collections.abc import Sequence

from lsprotocol import types

from code2lora_lsp.runtime.api import Trigger
from code2lora_lsp.server.asking import Question, ask, stamped
from code2lora_lsp.server.language_server import Code2LoraServer


def registration_options(languages: Sequence[str]) -> types.InlineCompletionRegistrationOptions:
    """Options for dynamic registration: these languages, or whatever the client serves."""
    selector = [types.TextDocumentFilterLanguage(language=language) for language in languages]
    return types.InlineCompletionRegistrationOptions(document_selector=selector or None)


async def inline_completion(
    ls: Code2LoraServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    """One item while typing, perhaps more on request; an empty list for nothing.

    Never null, which keeps old ghost text.
    """
    is_invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    question = Question(
        stamped(params.text_document),
        params.position,
        Trigger.INVOKED if is_invoked else Trigger.AUTOMATIC,
        params.context.selected_completion_info,
    )
    proposal = await ask(ls, question, types.TEXT_DOCUMENT_INLINE_COMPLETION)
    if proposal is None:
        return types.InlineCompletionList(items=[])
    texts = (proposal.text, *proposal.alternatives)
    commands = ls.metrics.offered(proposal.document, proposal.start, proposal.end, *texts)
    items = [
        types.InlineCompletionItem(insert_text=text, range=proposal.range, command=command)
        for text, command in zip(texts, commands, strict=True)
    ]
    return types.InlineCompletionList(items=items)

"""``textDocument/completion``: the fallback for clients without inline completion.

One single-line item: editors' menus indent further lines as they see fit.
"""

import re
from collections.abc import Sequence

from lsprotocol import types

from code2lora_lsp.config import Settings
from code2lora_lsp.server.asking import Proposal, Question, ask, stamped
from code2lora_lsp.server.client import ClientTraits
from code2lora_lsp.server.language_server import Code2LoraServer

OPTIONS = types.CompletionOptions(trigger_characters=["."], resolve_provider=False)
_LABEL_CHARS = 60


def is_due(settings: Settings, client: ClientTraits) -> bool:
    """Whether this client gets the fallback: both at once would decode everything twice."""
    wish = settings.completion.fallback
    return wish == "always" or (wish == "auto" and not client.inline)


def registration_options(languages: Sequence[str]) -> types.CompletionRegistrationOptions:
    selector = [types.TextDocumentFilterLanguage(language=language) for language in languages]
    return types.CompletionRegistrationOptions(
        document_selector=selector or None,
        trigger_characters=OPTIONS.trigger_characters,
        resolve_provider=False,
    )


async def completion(ls: Code2LoraServer, params: types.CompletionParams) -> types.CompletionList:
    """At most one item. LSP does not say here whether the user asked or merely typed."""
    items: list[types.CompletionItem] = []
    if is_due(ls.session.settings, ls.session.client):
        question = Question(stamped(params.text_document), params.position)
        proposal = await ask(ls, question, types.TEXT_DOCUMENT_COMPLETION)
        items = [_item(ls, proposal)] if proposal and _first_line(proposal.text) else []
    return types.CompletionList(is_incomplete=True, items=items)


def _first_line(text: str) -> str:
    return re.split(r"[\r\n]", text, maxsplit=1)[0].rstrip()


def _word_start(text: str, line_start: int, end: int) -> int:
    """Where the word begins that ends at ``end``; walked back, as a search tries every place."""
    while end > line_start and (text[end - 1].isalnum() or text[end - 1] == "_"):
        end -= 1
    return end


def _item(ls: Code2LoraServer, proposal: Proposal) -> types.CompletionItem:
    """The item, widened to the start of the word: menus match items against the whole word."""
    text = proposal.document.snapshot().text
    line_start = max(text.rfind(end, 0, proposal.start) for end in "\r\n") + 1
    start = _word_start(text, line_start, proposal.start)
    line = text[start : proposal.start] + _first_line(proposal.text)
    where = proposal.document.lines.range_of(start, proposal.end)
    return types.CompletionItem(
        label=line.strip()[:_LABEL_CHARS],
        kind=types.CompletionItemKind.Text,
        detail="code2lora",
        documentation=types.MarkupContent(
            types.MarkupKind.Markdown, f"```{proposal.document.language_id}\n{line}\n```"
        ),
        sort_text="\x7f",
        filter_text=line,
        preselect=False,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(where, line),
        command=ls.metrics.offered(proposal.document, start, proposal.end, line)[0],
    )

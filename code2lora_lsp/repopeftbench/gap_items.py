"""Gap → item: what of its file is shown, its strata, and whether the filter lets it pass."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from code2lora_lsp.history.secrets import redact
from code2lora_lsp.repopeftbench.gaps import Gap, words
from code2lora_lsp.repopeftbench.identifiers import IdentifierFrequency, is_askable
from code2lora_lsp.repopeftbench.item_ids import with_id
from code2lora_lsp.repopeftbench.items import InRepoSplit, Item, Track
from code2lora_lsp.repopeftbench.strata import seen
from code2lora_lsp.repopeftbench.windows import PREFIX_TOKENS, SUFFIX_TOKENS, Windows

PREFIX_SHARES = {"full": 0.4, "128": 0.3, "32": 0.3}
FIM_SHARE = 0.5


@dataclass(frozen=True)
class AskedFiles:
    """Where gaps stand: one version of some files.

    Attributes:
        commit_id: the commit whose tree the files are from.
        commit_index: its place on the first-parent path, from 0.
        texts: path -> text.
    """

    repository: str
    commit_id: str
    commit_index: int
    texts: Mapping[str, str]


@dataclass(frozen=True)
class GapItems:
    """Makes items of gaps, and says which gaps the filter refuses."""

    asked: AskedFiles
    counts: Counter[str]
    frequency: IdentifierFrequency
    windows: Windows
    seed: int

    def reason_to_drop(self, path: str, gap: Gap) -> str | None:
        """The cheap half of the filter: what the name alone tells."""
        name = gap.identifier
        if not is_askable(name):
            return "name short or special"
        if self.counts[name] == 0:
            return "name not in the known tree"
        if not self.frequency.is_rare(name):
            return "name common in training repositories"
        return "name in the path" if name in words(path) else None

    def item(self, path: str, gap: Gap, *, filtered: bool) -> Item:
        """The item of a gap; form and length of the prefix are drawn by the gap's place."""
        place = f"{self.seed}/{self.asked.repository}/{self.asked.commit_id}/{path}/{gap.start}"
        rng = random.Random(place)  # noqa: S311 - not a secret
        length = rng.choices(list(PREFIX_SHARES), list(PREFIX_SHARES.values()))[0]
        is_fim = rng.random() < FIM_SHARE
        text = self.asked.texts[path]
        widest = self.windows.before(text[: gap.start], PREFIX_TOKENS["full"])
        strata = {
            "filtered": "yes" if filtered else "no",
            "prefix": length,
            "form": "fim" if is_fim else "left-to-right",
            "seen": seen(self.counts[gap.identifier]),
            "above": "yes" if gap.identifier in words(widest) else "no",
        }
        return with_id(
            Item(
                item_id="",
                repository=self.asked.repository,
                commit_id=self.asked.commit_id,
                commit_index=self.asked.commit_index,
                in_repo_split=InRepoSplit.TEST,
                track=Track.KNOWLEDGE,
                kind=gap.kind,
                path=path,
                function=gap.function,
                line=gap.line,
                column=gap.column,
                prefix=self.windows.before(text[: gap.start], PREFIX_TOKENS[length]),
                target=text[gap.start : gap.stop],
                suffix=self.windows.after(text[gap.stop :], SUFFIX_TOKENS) if is_fim else "",
                identifier=gap.identifier,
                strata=strata,
            )
        )


def reason_to_drop_item(item: Item) -> str | None:
    """The other half of the filter: nothing that is shown may hold the name."""
    if item.identifier in words(item.prefix) or item.identifier in words(item.suffix):
        return "name near the gap"
    return "holds a secret" if holds_secret(item) else None


def holds_secret(item: Item) -> bool:
    """Whether any text of the item has what looks like a credential."""
    return any(redact(text)[1] for text in (item.prefix, item.target, item.suffix))

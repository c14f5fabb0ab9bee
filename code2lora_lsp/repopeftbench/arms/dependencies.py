"""Dependency-resolved context: what the item's file imports, as the known tree defines it."""

import re
import time

from code2lora_lsp.repopeftbench.arms.arm import Cost, Prepared, Target
from code2lora_lsp.repopeftbench.arms.known_tree import read_known_tree, text_before
from code2lora_lsp.repopeftbench.arms.modules import Imported, ModuleIndex, imports_of
from code2lora_lsp.repopeftbench.arms.prepared import PreparedScorer, ScorerArm
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.prompts import Snippet


class DependenciesArm(ScorerArm):
    """Definitions of imported names before every prompt, the last used one nearest to it.

    Imports are read from the item's file above the cut, also where the item shows less of it.
    """

    name = "dependencies"

    def prepare(self, target: Target) -> Prepared:
        started_s = time.perf_counter()
        tree = read_known_tree(target)
        index = ModuleIndex(tree)
        cost = Cost(time.perf_counter() - started_s, stored_bytes=tree.size_bytes)

        def snippets(item: Item) -> list[Snippet]:
            return dependency_snippets(item, text_before(item, target), index)

        return PreparedScorer(self._scorer, cost, snippets=snippets)


def dependency_snippets(item: Item, before: str, index: ModuleIndex) -> list[Snippet]:
    """One snippet per file that defines an imported name, the last used name's file last."""
    resolved: dict[str, list[str]] = {}
    for imported in sorted(imports_of(before, item.path), key=lambda i: _last_use(i, before)):
        found = index.resolve(imported)
        if found is None or not found[1].strip():
            continue
        texts = resolved.pop(found[0], [])  # the file moves to the end
        resolved[found[0]] = texts if found[1] in texts else [*texts, found[1]]
    return [Snippet(path, "\n".join(texts)) for path, texts in resolved.items()]


def _last_use(imported: Imported, before: str) -> int:
    uses = re.finditer(rf"(?<!\w){re.escape(imported.used_as)}(?!\w)", before)
    return max((match.start() for match in uses), default=-1)

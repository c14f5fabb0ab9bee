"""What is counted in a file, once per content: names and runs of lines."""

from collections import Counter
from collections.abc import Collection

from code2lora_lsp.repopeftbench.identifiers import identifier_counts
from code2lora_lsp.repopeftbench.leaks import ShingleIndex, shingles
from code2lora_lsp.repopeftbench.source_tree import SourceTree


class TreeFacts:
    """Facts of one repository's trees; a blob that several commits share is read once."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._shingles: dict[str, frozenset[bytes]] = {}

    def counts_of(self, tree: SourceTree, path: str) -> Counter[str]:
        """Occurrences of each name in one file; not to be changed."""
        blob_id = tree.blob_ids[path]
        if blob_id not in self._counts:
            self._counts[blob_id] = identifier_counts(tree.texts[path])
        return self._counts[blob_id]

    def known_counts(self, tree: SourceTree, hidden: Collection[str]) -> Counter[str]:
        """Occurrences of each name in the files that are not hidden."""
        total: Counter[str] = Counter()
        for path in tree.texts.keys() - hidden:
            total.update(self.counts_of(tree, path))
        return total

    def copies(self, tree: SourceTree) -> ShingleIndex:
        """Near duplicates among the tree's files."""
        for path, blob_id in tree.blob_ids.items():
            if blob_id not in self._shingles:
                self._shingles[blob_id] = shingles(tree.texts[path])
        return ShingleIndex({path: self._shingles[b] for path, b in tree.blob_ids.items()})

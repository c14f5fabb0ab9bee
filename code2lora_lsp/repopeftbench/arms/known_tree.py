"""The one reader of what an arm may know of a tree: no hidden path, no secret, no huge file."""

from dataclasses import dataclass
from functools import lru_cache

from code2lora_lsp.history.secrets import redact
from code2lora_lsp.repopeftbench.arms.arm import Target
from code2lora_lsp.repopeftbench.items import Item
from code2lora_lsp.repopeftbench.leaks import LeakCheck
from code2lora_lsp.repopeftbench.source_tree import SourceTree, TreeReader


@dataclass(frozen=True)
class KnownFile:
    """One file; ``text`` is redacted and has LF line breaks."""

    path: str
    text: str


@dataclass(frozen=True)
class KnownTree:
    """Files of ``target.known_commit_id`` outside ``target.hidden_paths``, by path."""

    target: Target
    files: tuple[KnownFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(len(file.text.encode()) for file in self.files)


@lru_cache(maxsize=4)
def read_known_tree(target: Target) -> KnownTree:
    """Read a target's tree; the last few are remembered, for several arms read the same.

    Raises:
        NotARepository, GitReadFailed: it cannot be read; never an empty tree instead.
        LeakFound: a file is a near duplicate of one that holds items.
    """
    texts = tree_at(target, target.known_commit_id).texts
    shown = {path: text for path, text in texts.items() if path not in target.hidden_paths}
    leak_check(target).check_texts(shown.items())
    files = (KnownFile(path, redact(text)[0]) for path, text in sorted(shown.items()))
    return KnownTree(target, tuple(file for file in files if file.text.strip()))


@lru_cache(maxsize=16)
def leak_check(target: Target) -> LeakCheck:
    """What may not be read for a target."""
    return LeakCheck.of(target)


@lru_cache(maxsize=8)
def tree_at(target: Target, commit_id: str) -> SourceTree:
    """All sources of any commit of a target's repository, hidden ones included: check them."""
    return TreeReader(target.git_dir).read(commit_id)


def text_before(item: Item, target: Target) -> str:
    """The item's file up to its cut, which may be more than the prefix its track shows.

    Only what stands before the cut is returned, so no answer can be in it. An item whose file
    is not in the repository (a published data set without its clone) gives its own prefix.
    """
    if not target.git_dir.is_dir():
        return item.prefix
    whole = tree_at(target, item.commit_id).texts.get(item.path)
    if whole is None:
        return item.prefix
    lines = whole.split("\n")
    above = "".join(line + "\n" for line in lines[: item.line - 1])
    if "\n" in item.prefix:
        return above + item.prefix.rpartition("\n")[2]
    here = lines[item.line - 1] if item.line <= len(lines) else ""
    return above + here.encode()[: item.column].decode("utf-8", "ignore")

"""Builds the training corpus: ``python -m code2lora_lsp.training.corpus CLONES OUT``.

A clone lies at ``CLONES/<owner>+<name>`` or ``CLONES/<owner>+<name>/repo``, bare or not.
Reserved repositories are never opened; those without a permissive licence are only named in the
manifest. Written to ``OUT``: ``<split>/<owner>+<name>.jsonl`` (one ``{"path", "text"}`` per file)
and ``manifest.json``.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from code2lora_lsp.text.source_filters import is_own_source_path, reason_to_drop
from code2lora_lsp.training.duplicates import DuplicateFilter
from code2lora_lsp.training.licences import is_licence_file, permissive_licence
from code2lora_lsp.training.splits import Split, split_of

REPOSITORY_CAP_BYTES = 4_000_000


@dataclasses.dataclass(frozen=True)
class Clone:
    """A local clone: its ``owner/name`` and the directory git is run in."""

    repository: str
    git_directory: Path

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run a read-only git command; objects missing from a partial clone are not fetched."""
        environment = os.environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
        command = ["git", "-C", str(self.git_directory), *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, check=True, env=environment
        ).stdout

    def commit(self) -> str:
        """Return the hash HEAD points at."""
        return self.git("rev-parse", "HEAD").decode().strip()

    def tracked_files(self) -> dict[str, str]:
        """Path -> blob hash of every regular file at HEAD."""
        rows = self.git("ls-tree", "-r", "-z", "HEAD").decode("utf-8", "replace").split("\0")
        parsed = (row.split("\t", 1) for row in rows if row.startswith("100"))
        return {path: head.split()[2] for head, path in parsed}

    def read(self, files: dict[str, str]) -> Iterator[tuple[str, str]]:
        """Yield (path, text) of those files (path -> blob hash) that are present and are UTF-8."""
        stream = self.git("cat-file", "--batch", stdin="\n".join(files.values()).encode() + b"\n")
        offset = 0
        for path in files:
            end = stream.index(b"\n", offset)
            header, offset = stream[offset:end].split(), end + 1
            if header[-1] == b"missing":
                continue
            content, offset = stream[offset : offset + int(header[2])], offset + int(header[2]) + 1
            try:
                yield path, content.decode().replace("\r\n", "\n").removeprefix("\ufeff")
            except UnicodeDecodeError:
                continue


def find_clones(folder: Path) -> list[Clone]:
    """Clones under ``folder`` that may be opened, by name; reserved ones are left out unread."""
    named = [
        (child.name.replace("+", "/", 1), child)
        for child in sorted(folder.iterdir())
        if "+" in child.name
    ]
    allowed = [(name, child) for name, child in named if split_of(name) is not Split.RESERVED]
    return [
        Clone(name, child / "repo" if (child / "repo").is_dir() else child)
        for name, child in allowed
    ]


def build_corpus(
    clones: list[Clone], output: Path, cap_bytes: int = REPOSITORY_CAP_BYTES
) -> dict[str, object]:
    """Write shards and the manifest under ``output`` and return the manifest.

    Training repositories go first, so that a file both splits have stays in training
    and validation holds nothing that was trained on.
    """
    output.mkdir(parents=True, exist_ok=True)
    duplicates = DuplicateFilter()
    ordered = sorted(
        clones, key=lambda clone: (split_of(clone.repository) is not Split.TRAIN, clone.repository)
    )
    rows = [_build_shard(clone, output, duplicates, cap_bytes) for clone in ordered]
    manifest: dict[str, object] = {
        "format": "code2lora-corpus-1",
        "repositories": [row for row in rows if "refused" not in row],
        "refused": [row for row in rows if "refused" in row],
    }
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _build_shard(
    clone: Clone, output: Path, duplicates: DuplicateFilter, cap_bytes: int
) -> dict[str, object]:
    """Write one repository's shard and return its row of the manifest."""
    split = split_of(clone.repository)
    files = clone.tracked_files()
    row: dict[str, object] = {
        "repository": clone.repository,
        "split": split.value,
        "commit": clone.commit(),
    }
    root = {
        path: blob
        for path, blob in files.items()
        if is_licence_file(path) or path == "pyproject.toml"
    }
    licence = permissive_licence(dict(clone.read(root)))
    if licence is None:
        return row | {"refused": "no permissive licence found, or a copyleft one beside it"}
    sources = {path: blob for path, blob in files.items() if is_own_source_path(path)}
    kept, dropped = _choose(dict(clone.read(sources)), duplicates, cap_bytes)
    shard = output / split.value / f"{clone.repository.replace('/', '+')}.jsonl"
    shard.parent.mkdir(parents=True, exist_ok=True)
    shard.write_text(
        "".join(json.dumps({"path": path, "text": text}) + "\n" for path, text in kept)
    )
    size_bytes = sum(len(text.encode()) for _, text in kept)
    return row | {
        "licence": licence,
        "files": len(kept),
        "bytes": size_bytes,
        "dropped": dict(dropped),
    }


def _choose(
    texts: dict[str, str], duplicates: DuplicateFilter, cap_bytes: int
) -> tuple[list[tuple[str, str]], Counter[str]]:
    """Choose files until the cap, in an order that only their paths decide; count the dropped."""
    kept: list[tuple[str, str]] = []
    dropped: Counter[str] = Counter()
    size_bytes = 0
    for path in sorted(texts, key=lambda path: hashlib.sha256(path.encode()).digest()):
        text = texts[path]
        reason = "cap" if size_bytes + len(text.encode()) > cap_bytes else reason_to_drop(text)
        if reason is None and not duplicates.accept(text):
            reason = "duplicate"
        if reason is not None:
            dropped[reason] += 1
            continue
        kept.append((path, text))
        size_bytes += len(text.encode())
    return kept, dropped


def read_shards(corpus: Path, split: Split) -> Iterator[tuple[str, str, str]]:
    """Yield (repository, path, text) of every file of ``split``, always in the same order."""
    for shard in sorted((corpus / split.value).glob("*.jsonl")):
        repository = shard.stem.replace("+", "/", 1)
        for line in shard.read_text().splitlines():
            record = json.loads(line)
            yield repository, record["path"], record["text"]


def main() -> None:
    """Parse arguments and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--repository-cap-bytes", type=int, default=REPOSITORY_CAP_BYTES)
    arguments = parser.parse_args()
    manifest = build_corpus(
        find_clones(arguments.clones), arguments.output, arguments.repository_cap_bytes
    )
    print(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    main()

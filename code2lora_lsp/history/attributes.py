"""Which files do not lie on disk as git keeps them: their attributes say so."""

from collections.abc import Collection

from code2lora_lsp.history.git_process import GitCommand

_CONVERTING = ("filter", "working-tree-encoding", "ident")
"""Line endings are not among them: text is read with LF whatever they are."""


def converted_paths(git: GitCommand, paths: Collection[str]) -> frozenset[str]:
    """Of ``paths``, those that git converts on the way to a commit: encrypts, recodes, fills in.

    Args:
        git: of the work tree, whose attributes hold.
        paths: from the work tree's root, with forward slashes.

    Raises:
        GitReadFailed: git did not answer.
    """
    if not paths:
        return frozenset()
    stdin = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)
    output = git.run("check-attr", "-z", "--stdin", *_CONVERTING, stdin=stdin)[1]
    path, _, value = (output.split(b"\0")[:-1][part::3] for part in range(3))
    return frozenset(
        name.decode("utf-8", "surrogateescape")
        for name, says in zip(path, value, strict=True)
        if says not in (b"unspecified", b"unset")
    )

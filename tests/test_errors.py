"""The drawn tree is the tree."""

import inspect
import re

from code2lora_lsp import errors


def test_error_tree_matches_docstring():
    drawn = re.findall(r"^[│├└─ ]*([A-Z]\w+)", errors.__doc__.split("```")[1], re.MULTILINE)
    defined = [
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if value.__module__ == errors.__name__
    ]
    assert sorted(drawn) == sorted(defined)


def test_every_error_is_under_the_branch_it_is_drawn_under():
    branch = {}
    current = None
    for line in errors.__doc__.split("```")[1].splitlines():
        found = re.match(r"^([│├└─ ]*)([A-Z]\w+)", line)
        if not found:
            continue
        depth = len(found[1]) // 4
        if depth == 1:
            current = found[2]
        elif depth == 2:
            branch[found[2]] = current
    assert branch["GitReadFailed"] == "FollowError"
    for child, parent in branch.items():
        assert issubclass(getattr(errors, child), getattr(errors, parent))

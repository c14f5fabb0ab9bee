"""Lines and columns of the command line, as an editor counts them."""

from pathlib import Path

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.runtime.oneshot import _offset, _path_in_repository
from tests.gitrepo import GitRepo

PLACE = Path("place.py")


@pytest.mark.parametrize(
    ("text", "line", "column", "rest"),
    [
        ("", 1, 1, ""),
        ("ab\ncd", 2, 2, "d"),
        ("ab\n", 2, 1, ""),
        ("ab\r\ncd\r\n", 2, 1, "cd\r\n"),
        ("ab\r\ncd", 1, 3, "\r\ncd"),
        ("ab\rcd\r", 2, 3, "\r"),
        ("ab\rcd\r", 3, 1, ""),
        ("a\fb\x0bc\x1cd\x85e\u2028f\ng", 1, 12, "\ng"),
        ("a\fb\x0bc\x1cd\x85e\u2028f\ng", 2, 1, "g"),
    ],
)
def test_lines_end_where_an_editor_ends_them(text, line, column, rest):
    assert text[_offset(PLACE, text, line, column) :] == rest


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a\fb\nc", 3, 1, "2 lines"),
        ("ab\r\nc", 1, 4, "2 characters"),
        ("ab", 0, 1, "line 0"),
        ("ab", 1, 0, "column 0"),
    ],
)
def test_a_place_outside_the_text_is_refused_with_what_there_is(text, line, column, words):
    with pytest.raises(ConfigError, match=words):
        _offset(PLACE, text, line, column)


def test_a_path_is_known_inside_its_repository_only(tmp_path):
    repo = GitRepo(tmp_path / "project")
    (tmp_path / "out.py").write_text("")
    repo.write("package/part.py", "")
    (repo.root / "link.py").symlink_to(tmp_path / "out.py")
    assert _path_in_repository(repo.root / "package" / "part.py") == "package/part.py"
    assert _path_in_repository(repo.root / "link.py") is None
    assert _path_in_repository(tmp_path / "out.py") is None

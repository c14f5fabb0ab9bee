"""Lines and columns of the command line, as an editor counts them."""

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.runtime.file_place import FilePlace
from tests.gitrepo import GitRepo


@pytest.fixture
def file(tmp_path):
    return tmp_path / "place.py"


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
def test_lines_end_where_an_editor_ends_them(file, text, line, column, rest):
    file.write_bytes(text.encode())
    place = FilePlace.read(file, line, column)
    assert place.text == text
    assert text[place.offset :] == rest


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a\fb\nc", 3, 1, "2 lines"),
        ("ab\r\nc", 1, 4, "2 characters"),
        ("ab", 0, 1, "line 0"),
        ("ab", 1, 0, "column 0"),
    ],
)
def test_a_place_outside_the_text_is_refused_with_what_there_is(file, text, line, column, words):
    file.write_bytes(text.encode())
    with pytest.raises(ConfigError, match=words):
        FilePlace.read(file, line, column)


def path_in_repository(path):
    return FilePlace.read(path, 1, 1).path_in_repository()


def test_a_path_is_known_inside_its_repository_only(tmp_path):
    repo = GitRepo(tmp_path / "project")
    (tmp_path / "out.py").write_text("")
    repo.write("package/part.py", "")
    (repo.root / "link.py").symlink_to(tmp_path / "out.py")
    assert path_in_repository(repo.root / "package" / "part.py") == "package/part.py"
    assert path_in_repository(repo.root / "link.py") is None
    assert path_in_repository(tmp_path / "out.py") is None

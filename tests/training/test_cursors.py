import ast

from code2lora_lsp.training.cursors import KINDS, sample_cursors
from code2lora_lsp.training.packing import SourceFile

TEXT = '''"""é"""
def area(width, höhe):
    name = "call(inside)"
    return scale(width * höhe, factor=2)  # scale(3)
'''
FILES = [
    SourceFile(f"owner/r{i % 3}", f"f{i}.py", TEXT.replace("scale", f"scale{i}")) for i in range(30)
] + [SourceFile("owner/r0", "broken.py", "def f(:\n")]


def test_each_repository_gives_the_same_number_of_each_kind_and_never_from_broken_files():
    cursors = sample_cursors(FILES, 4)
    assert len(cursors) == 3 * 3 * 4
    for kind in KINDS:
        of_kind = [c for c in cursors if c.kind == kind]
        assert [c.repository for c in of_kind].count("owner/r1") == 4
    assert all(c.path != "broken.py" for c in cursors)
    assert cursors == sample_cursors(list(reversed(FILES)), 4)


def test_before_target_and_after_are_the_file():
    whole = {(f.repository, f.path): f.text for f in FILES}
    for cursor in sample_cursors(FILES, 8):
        assert cursor.before + cursor.target + cursor.after == whole[cursor.repository, cursor.path]
        assert cursor.target.strip()


def test_arguments_are_those_of_calls_and_identifiers_are_names_in_code():
    cursors = sample_cursors(FILES, 10)
    arguments = {c.target for c in cursors if c.kind == "arguments"}
    assert arguments == {"width * höhe, factor=2"}
    names = {c.target for c in cursors if c.kind == "identifier"}
    assert "inside" not in names
    assert all(name.isidentifier() for name in names)


def test_a_line_gap_ends_where_the_line_does():
    for cursor in sample_cursors(FILES, 10):
        if cursor.kind == "line":
            assert cursor.after.startswith("\n")
            assert "\n" not in cursor.target
            ast.parse(cursor.before + cursor.target + cursor.after)

"""Names in source, and the table of how common they are."""

import json

import pytest

from code2lora_lsp.errors import ConfigError
from code2lora_lsp.repopeftbench.identifiers import (
    IdentifierFrequency,
    count_repositories,
    defined_names,
    identifier_counts,
    is_askable,
    main,
)


def test_only_code_is_counted():
    text = '''x = "in_string"  # in_comment
def name(x):
    """in_docstring name"""
    return name(f'{in_fstring}', r"raw\\d", 'it''s', x)
'''
    assert identifier_counts(text) == {"x": 3, "name": 2}


def test_definitions_are_every_kind_of_binding():
    text = """class Made(Base):
    field: int = 0
    def method(self, parameter=used): self.attribute = parameter; local = used.other
"""
    assert defined_names(text) == {
        "Made", "field", "method", "self", "parameter", "attribute", "local",
    }  # fmt: skip


def test_askable_names_are_chosen_by_somebody():
    names = ("make_app", "self", "app", "__init__", "class", "_private")
    assert [name for name in names if is_askable(name)] == ["make_app", "self", "_private"]


def files(*repositories: tuple[str, str]):
    return [(repository, "a.py", text) for repository, text in repositories]


def test_a_name_of_three_repositories_is_common_and_of_two_is_rare():
    rows = [(f"o/r{n}", "shared_by_all\n" * 5 + "shared_by_two\n" * (n < 2)) for n in range(3)]
    table = count_repositories(files(*rows))
    assert (table.n_repositories, dict(table.repositories)) == (3, {"shared_by_all": 3})
    assert not table.is_rare("shared_by_all")
    assert table.is_rare("shared_by_two")


def test_a_name_in_many_files_of_one_repository_counts_once():
    assert dict(count_repositories(files(*[("o/r", "many_times")] * 9)).repositories) == {}


def test_the_table_comes_back_from_disk(tmp_path):
    table = IdentifierFrequency(7, {"names": 3})
    table.write(tmp_path / "f.json")
    assert IdentifierFrequency.read(tmp_path / "f.json") == table


@pytest.mark.parametrize("text", ["", "{}", '{"format": "other", "least": 3}'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(ConfigError, match="no table of identifier frequencies"):
        IdentifierFrequency.read(tmp_path / "f.json")


def test_a_corpus_without_training_files_is_refused():
    with pytest.raises(ConfigError, match="no training files"):
        count_repositories([])


def test_the_command_says_in_one_line_that_a_corpus_holds_nothing(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path), str(tmp_path / "f.json")])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}: the corpus has no training files")
    assert not (tmp_path / "f.json").exists()


def test_the_command_counts_the_training_shards_only(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / split).mkdir()
        for n in range(3):
            row = json.dumps({"path": "a.py", "text": f"{split}_name = 1\n"})
            (tmp_path / split / f"o+r{n}.jsonl").write_text(row + "\n")
    main([str(tmp_path), str(tmp_path / "f.json")])
    table = IdentifierFrequency.read(tmp_path / "f.json")
    assert dict(table.repositories) == {"train_name": 3}

import pytest

from code2lora_lsp.neural.atomic_file import replacing, replacing_folder, write_text


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "model.bin"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("model.bin", "old")]


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "model.bin"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("model.bin", "new")]


def test_folders_on_the_way_are_made(tmp_path):
    write_text(tmp_path / "a" / "b.json", "é")
    assert (tmp_path / "a" / "b.json").read_bytes() == "é".encode()


def test_a_folder_is_the_old_one_or_the_whole_new_one(tmp_path):
    folder = tmp_path / "made" / "ledger"

    def fill(text, *, fails=False):
        with replacing_folder(folder) as fresh:
            (fresh / text).write_text(text)
            if fails:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill("half", fails=True)
    assert not list(folder.parent.iterdir())
    fill("old")
    with pytest.raises(KeyboardInterrupt):
        fill("half", fails=True)
    assert [path.name for path in folder.iterdir()] == ["old"]
    fill("new")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(folder.parent.iterdir()) == [folder]

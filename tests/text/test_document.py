"""What a document's text is to everything outside the server."""

from code2lora_lsp.text.document import DocumentSnapshot


def test_half_a_character_becomes_one_that_every_tokenizer_takes():
    text = "é = '\ud83d'\nü = '😀'\n"
    snapshot = DocumentSnapshot("file:///a.py", 1, "python", text)
    assert snapshot.text == "é = '\ufffd'\nü = '😀'\n"
    assert len(snapshot.text) == len(text)

"""Text ↔ token ids, and the fill-in-the-middle tokens a completion needs."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from code2lora_lsp.errors import ModelMismatch, ModelMissing


@dataclass(frozen=True)
class FimTokens:
    """Ids of the special tokens of a fill-in-the-middle prompt."""

    prefix: int
    middle: int
    suffix: int
    end_of_text: int
    pad: int
    file_sep: int | None
    repo_name: int | None


FIM_NAMES = {
    "prefix": ("<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>"),
    "middle": ("<|fim_middle|>", "<fim_middle>", "<fim-middle>"),
    "suffix": ("<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>"),
    "end_of_text": ("<|endoftext|>",),
    "pad": ("<|fim_pad|>", "<fim_pad>", "<fim-pad>", "<|endoftext|>"),
    "file_sep": ("<|file_sep|>", "<file_sep>"),
    "repo_name": ("<|repo_name|>", "<reponame>"),
}


def _byte_alphabet() -> dict[str, int]:
    """Character -> byte of byte-level BPE (GPT-2): printable bytes stand for themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + place): byte for place, byte in enumerate(others)
    }


_BYTE_OF = _byte_alphabet()
_MARKER = re.compile(r"<\S+>")


def _make_markers_special(fast: tokenizers.Tokenizer) -> None:
    """Mark added tokens such as ``<|fim_prefix|>`` special; their ids stay.

    Qwen2.5-Coder calls its own ordinary. Then source code that spells one would become the marker,
    and one that the model writes would be shown.
    """
    added = (token.content for token in fast.get_added_tokens_decoder().values())
    markers = [content for content in added if _MARKER.fullmatch(content)]
    fast.add_special_tokens([tokenizers.AddedToken(c, special=True) for c in markers])


class Tokenizer:
    """A fast tokenizer of one model. Never adds special tokens on its own."""

    def __init__(self, fast: tokenizers.Tokenizer, name: str) -> None:
        self._fast = fast
        self.name = name

    @classmethod
    def from_folder(cls, folder: Path) -> "Tokenizer":
        """The tokenizer of a model folder.

        Raises:
            ModelMissing: there is no ``tokenizer.json``.
            ModelMismatch: it is damaged, or of a newer format.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelMissing(f"{folder} holds no tokenizer.json; a fast tokenizer is needed")
        try:
            fast = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises nothing narrower
            raise ModelMismatch(
                f"{path} is no tokenizer this version reads ({error}); copy the model folder again"
            ) from error
        _make_markers_special(fast)
        fast.no_padding()
        fast.no_truncation()
        fast.encode_special_tokens = True  # text that spells a special token is only text
        return cls(fast, folder.name)

    @property
    def vocabulary_size(self) -> int:
        return self._fast.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text. Special tokens spelled in the text stay ordinary characters."""
        return list(self._fast.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: list[int]) -> str:
        """Text of token ids; special tokens are left out, broken UTF-8 becomes U+FFFD."""
        return self._fast.decode(token_ids, skip_special_tokens=True)

    def last_piece(self, text: str) -> str:
        """The last pre-token of ``text``: no token reaches past its start. "" if none is known."""
        if self._fast.pre_tokenizer is None:
            return ""
        pieces = self._fast.pre_tokenizer.pre_tokenize_str(text)
        return text[pieces[-1][1][0] :] if pieces else ""

    def token_bytes(self) -> dict[int, bytes]:
        """What each ordinary token of a byte-level tokenizer stands for; empty for other kinds."""
        spelled = {i: t for t, i in self._fast.get_vocab(with_added_tokens=False).items()}
        for added in self._fast.get_added_tokens_decoder():
            spelled.pop(added, None)
        if not all(c in _BYTE_OF for token in spelled.values() for c in token):
            return {}
        return {i: bytes(_BYTE_OF[c] for c in token) for i, token in spelled.items()}

    def special_ids(self) -> frozenset[int]:
        """Every id that must never be shown as text."""
        added = self._fast.get_added_tokens_decoder()
        return frozenset(token_id for token_id, token in added.items() if token.special)

    def fim_tokens(self) -> FimTokens:
        """The model's own FIM tokens.

        Raises:
            ModelMismatch: one of prefix, middle, suffix or end-of-text is absent.
        """
        found = {role: self._first_id(names) for role, names in FIM_NAMES.items()}
        absent = [r for r in ("prefix", "middle", "suffix", "end_of_text") if found[r] is None]
        if absent:
            raise ModelMismatch(
                f"model {self.name!r} has no fill-in-the-middle token for: {', '.join(absent)}; "
                "choose a base code model trained for infilling (not a chat model)"
            )
        return FimTokens(**found)  # type: ignore[arg-type]  # the absent ones were refused above

    def _first_id(self, names: tuple[str, ...]) -> int | None:
        return next((i for i in map(self._fast.token_to_id, names) if i is not None), None)


def fim_order(folder: Path) -> str:
    """``spm`` or ``psm``: what the manifest of an embedded model says, else PSM.

    Raises:
        ModelMismatch: the manifest is damaged, or names another order.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return "psm"
    try:
        order = json.loads(path.read_text(encoding="utf-8")).get("fim_order", "psm")
    except (ValueError, AttributeError) as error:
        raise ModelMismatch(
            f"{path} is not a JSON object ({error}); copy the model folder again"
        ) from error
    if order not in {"spm", "psm"}:
        raise ModelMismatch(f"{path}: fim_order {order!r} is neither 'spm' nor 'psm'")
    return str(order)

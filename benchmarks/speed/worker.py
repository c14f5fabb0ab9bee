"""One engine of ``arms.Worker``: reads a request per line; writes its first token, then all.

Usage: python worker.py NAME_OF_THE_ENGINE MODEL_FOLDER THREADS
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from code2lora_lsp.neural.decoder import Decoder
from code2lora_lsp.neural.decoder_config import decoder_config, read_config_json
from code2lora_lsp.neural.session import DecodeSession
from code2lora_lsp.neural.weights import load_backbone_weights
from code2lora_lsp.runtime.tuning import tune

Engine = Callable[[list[int], int, bool, Callable[[int], None]], list[int]]
"""Ids, how many to write, whether nothing may be cached, and whom to tell the first at once."""

CAPACITY = 1_200
RANK = 16


def main() -> None:
    name, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    engine = ENGINES[name](folder, threads)
    engine(list(range(10, 40)), 4, True, lambda _: None)
    say([])
    for line in sys.stdin:
        request = json.loads(line)
        say(engine(request["ids"], request["n_new"], request["is_cold"], lambda one: say([one])))


def say(tokens: list[int]) -> None:
    print(json.dumps(tokens), flush=True)


def ours(folder: Path, threads: int) -> Engine:
    """As the server runs it here."""
    decoder = _decoder(folder)
    with tempfile.TemporaryDirectory() as scratch:
        tune(decoder, threads, Path(scratch))
    return _decoding(decoder)


def ours_float32(folder: Path, _threads: int) -> Engine:
    return _decoding(_decoder(folder))


def _decoder(folder: Path) -> Decoder:
    return Decoder(decoder_config(read_config_json(folder)), load_backbone_weights(folder))


def _decoding(decoder: Decoder) -> Engine:
    session = DecodeSession(decoder, CAPACITY)

    def answer(
        ids: list[int], n_new: int, is_cold: bool, tell_first: Callable[[int], None]
    ) -> list[int]:
        if is_cold:
            session.reset()
        tokens = [int(session.feed(ids, lambda: None).logits.argmax())]
        tell_first(tokens[0])
        while len(tokens) < n_new:
            tokens.append(int(session.advance(tokens[-1]).argmax()))
        return tokens

    return answer


def generate(folder: Path, _threads: int) -> Engine:
    return _generating(_transformers(folder))


def peft(folder: Path, _threads: int) -> Engine:
    """With a LoRA of rank 16 on every projection, beside the weights."""
    from peft import LoraConfig, get_peft_model

    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=names, task_type="CAUSAL_LM")
    return _generating(get_peft_model(_transformers(folder), config).eval())


def _transformers(folder: Path) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    model = Qwen2ForCausalLM(Qwen2Config.from_pretrained(folder)).eval()
    model.load_state_dict(load_backbone_weights(folder), strict=False)
    model.tie_weights()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def _generating(model: Any) -> Engine:
    from transformers.generation.streamers import BaseStreamer

    class First(BaseStreamer):
        def __init__(self, tell_first: Callable[[int], None]) -> None:
            self._tell_first = tell_first
            self._n_put = 0

        def put(self, value: torch.Tensor) -> None:
            self._n_put += 1
            if self._n_put == 2:  # the prompt comes first
                self._tell_first(int(value[-1]))

        def end(self) -> None:
            pass

    def answer(
        ids: list[int], n_new: int, _is_cold: bool, tell_first: Callable[[int], None]
    ) -> list[int]:
        prompt = torch.tensor([ids])  # generate keeps nothing, so it is always cold
        made = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=n_new,
            do_sample=False, streamer=First(tell_first),
        )  # fmt: skip
        return made[0, len(ids) :].tolist()  # type: ignore[no-any-return]

    return answer


ENGINES = {"ours": ours, "ours float32": ours_float32, "generate": generate, "peft": peft}

if __name__ == "__main__":
    main()

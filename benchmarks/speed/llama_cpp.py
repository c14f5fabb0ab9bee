"""llama.cpp beside us: the embedded model as GGUF, its server, and a process per prompt.

Needs llama.cpp's own programs (``llama-server``, ``llama-completion``) and the ``gguf`` package,
which the development dependencies bring; without either its arms say that they are not here.
"""

import http.client
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.arms import Answer, cpu_seconds, peak_megabytes
from code2lora_lsp.neural.decoder_config import decoder_config, read_config_json
from code2lora_lsp.neural.weights import load_backbone_weights

CONTEXT = 2048
READY_S = 60.0
_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def write_gguf(model: Path, path: Path, *, is_q8: bool) -> None:
    """The same weights for llama.cpp: as float32, or its Q8_0 of every matrix."""
    import gguf

    raw = read_config_json(model)
    config = decoder_config(raw)
    writer = gguf.GGUFWriter(str(path), "qwen2")
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(config.intermediate_width)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.n_kv_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    _add_tokenizer(writer, model)
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, tensor in load_backbone_weights(model).items():
        array = np.ascontiguousarray(tensor.float().numpy())
        if is_q8 and array.ndim == 2:
            writer.add_tensor(_name(name), gguf.quants.quantize(array, q8), raw_dtype=q8)
        else:
            writer.add_tensor(_name(name), array)
    _write(writer)


def write_lora(model: Path, path: Path, rank: int = 16) -> None:
    """A random LoRA on every projection, as the reference package makes of a repository."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "qwen2")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    generator = np.random.default_rng(0)
    for name, tensor in load_backbone_weights(model).items():
        if "_proj.weight" in name:
            for part, shape in (("a", (rank, tensor.shape[1])), ("b", (tensor.shape[0], rank))):
                small = generator.standard_normal(shape).astype(np.float32) * 1e-3
                writer.add_tensor(f"{_name(name)}.lora_{part}", small)
    _write(writer)


def _add_tokenizer(writer: Any, model: Path) -> None:
    import gguf

    fast = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    by_id = {token_id: text for text, token_id in fast["model"]["vocab"].items()}
    special = {token["id"]: token["content"] for token in fast["added_tokens"]}
    by_id |= special
    kinds = [
        gguf.TokenType.CONTROL if one in special else gguf.TokenType.NORMAL for one in sorted(by_id)
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([by_id[one] for one in sorted(by_id)])
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in fast["model"]["merges"]])
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(0)


def _name(name: str) -> str:
    top = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in top:
        return top[name]
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    stem, _, kind = rest.rpartition(".")
    return f"blk.{layer}.{_NAMES[stem]}.{kind}"


def _write(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Server:
    """``llama-server`` with one slot and its own prompt cache."""

    def __init__(self, name: str, binary: Path, gguf_path: Path, threads: int) -> None:
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        command = [
            str(binary), "-m", str(gguf_path), "--host", "127.0.0.1", "--port", str(self._port),
            "-c", str(CONTEXT), "-np", "1", "-t", str(threads), "-tb", str(threads),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        self._wait_ready()
        self.ask(list(range(10, 40)), 4, is_cold=True)

    def ask(self, ids: list[int], n_new: int, *, is_cold: bool) -> Answer:
        body = {
            "prompt": ids, "n_predict": n_new, "cache_prompt": not is_cold, "stream": True,
            "return_tokens": True, "ignore_eos": True, "temperature": 0.0, "top_k": 1,
            "samplers": ["top_k"],
        }  # fmt: skip
        self._connection.close()  # idle ones are cut by the server; a new one costs 0.1 ms
        started_s = time.perf_counter()
        self._connection.request(
            "POST", "/completion", json.dumps(body), {"Content-Type": "application/json"}
        )
        response = self._connection.getresponse()
        tokens: list[int] = []
        first_s = 0.0
        while line := response.readline():
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line[6:])
            tokens += event.get("tokens", [])
            first_s = first_s or time.perf_counter() - started_s
            if event.get("stop"):
                break
        total_s = time.perf_counter() - started_s
        response.read()
        return Answer(first_s, total_s, tuple(tokens[:n_new]))

    def cpu_s(self) -> float:
        return cpu_seconds(self._process.pid)

    def peak_mb(self) -> float:
        return peak_megabytes(self._process.pid)

    def close(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait(20)

    def _wait_ready(self) -> None:
        until_s = time.monotonic() + READY_S
        while time.monotonic() < until_s:
            try:
                self._connection.request("GET", "/health")
                response = self._connection.getresponse()
                response.read()
                if response.status == 200:
                    return
            except OSError:
                self._connection.close()
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"llama-server did not become ready: {self._process.args}")


class ProcessPerPrompt:
    """The reference package's way: ``llama-completion`` with base and LoRA, once per prompt."""

    name = "process per prompt"

    def __init__(
        self, binary: Path, model: Path, gguf_path: Path, lora: Path, threads: int
    ) -> None:
        from code2lora_lsp.text.tokenizer import Tokenizer

        self._tokenizer = Tokenizer.from_folder(model)
        self._fim = self._tokenizer.fim_tokens()
        self._command = [
            str(binary), "-m", str(gguf_path), "--lora", str(lora), "--no-display-prompt",
            "--temp", "0", "-no-cnv", "-st", "-t", str(threads), "--ignore-eos",
        ]  # fmt: skip
        self._cpu_s = 0.0

    def ask(self, ids: list[int], n_new: int, *, is_cold: bool) -> Answer:  # noqa: ARG002 - it always is
        prompt = "".join(self._spelled(ids))
        started_s, before = time.perf_counter(), os.times()
        subprocess.run(
            [*self._command, "-n", str(n_new), "-p", prompt], check=True, capture_output=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        total_s, after = time.perf_counter() - started_s, os.times()
        self._cpu_s += (
            after.children_user - before.children_user
            + after.children_system - before.children_system
        )  # fmt: skip
        return Answer(total_s, total_s, ())

    def cpu_s(self) -> float:
        return self._cpu_s

    def peak_mb(self) -> float:
        return 0.0

    def close(self) -> None:
        pass

    def _spelled(self, ids: list[int]) -> list[str]:
        """The prompt as text; the program reads its markers as special tokens."""
        names = {self._fim.prefix: "<|fim_prefix|>", self._fim.suffix: "<|fim_suffix|>",
                 self._fim.middle: "<|fim_middle|>"}  # fmt: skip
        return [names.get(one) or self._tokenizer.decode([one]) for one in ids]

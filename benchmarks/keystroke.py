"""How long a suggestion takes, side by side with other engines and in the product itself.

Usage: python benchmarks/keystroke.py REPOSITORY [--llama-cpp FOLDER] [--rounds 7] [--threads 2]
           [--out FOLDER]

Editing sessions are made from the repository's newest commits (``speed/edits.py``). Three parts:

  cold       a prompt that no engine has seen, 512 tokens, and 32 more
  keystroke  the prompt after each key of a session, and 8 tokens more; caches stay on
  product    the server over stdio, a key every tenth of a second; suggestions that fit are accepted

All engines have the embedded model's exact weights, the same ids in, the same threads, and take
turns in shuffled rounds. *ours* is as the server runs it on this machine, *ours float32* as it runs
where no kernel was compiled and nothing is multiplied as bytes. FOLDER of llama.cpp holds
``llama-server`` and ``llama-completion``.
Writes ``figures.jsonl``, ``table.md`` and ``keystroke.png``.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.speed import llama_cpp
from benchmarks.speed.arms import Answer, Arm, Worker
from benchmarks.speed.edits import Session, closers, sessions
from benchmarks.speed.figures import Figures
from benchmarks.speed.product import measure_product
from code2lora_lsp.config import CompletionSettings
from code2lora_lsp.text.fim import PromptBuilder
from code2lora_lsp.text.tokenizer import Tokenizer

MODEL = Path(__file__).parents[1] / "models" / "nano"
COLD_TOKENS, COLD_NEW = 512, 32
KEY_NEW = 8
ONE_IN = 10
"""Of a session's keys, so many answer once where each answer takes a process of its own."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("keystroke"))
    parser.add_argument("--without", nargs="*", default=[], help="cold, keystroke, product, plot")
    arguments = parser.parse_args()
    replayed = sessions(arguments.repository, arguments.rounds, arguments.keys)
    if len(replayed) < arguments.rounds:
        raise SystemExit(f"{arguments.repository}: only {len(replayed)} commits add enough text")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "figures.jsonl").open("w", encoding="utf-8") as lines:
        figures = Figures(lines)
        if not {"cold", "keystroke"} <= set(arguments.without):
            with all_arms(arguments, figures) as arms:
                compare(arms, replayed, arguments.without, figures)
        if "product" not in arguments.without:
            measure_product(arguments.repository, replayed, figures)
    table = figures.table()
    (arguments.out / "table.md").write_text(table, encoding="utf-8")
    print(table)
    if "plot" not in arguments.without:
        figures.plot(arguments.out / "keystroke.png")


@contextmanager
def all_arms(arguments: argparse.Namespace, figures: Figures) -> Iterator[list[Arm]]:
    """Every engine that is here, started; what is not is said."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="code2lora-speed-")))
        names = ("ours", "ours float32", "generate", "peft")
        arms: list[Arm] = [Worker(name, MODEL, arguments.threads) for name in names]
        try:
            arms += _llama_arms(arguments.llama_cpp, scratch, arguments.threads)
        except (ImportError, OSError, RuntimeError) as error:
            figures.remark(f"llama.cpp is not here: {error}")
        for arm in arms:
            stack.callback(arm.close)
        yield arms


def _llama_arms(folder: Path | None, scratch: Path, threads: int) -> list[Arm]:
    if folder is None:
        raise OSError("name the folder of its programs with --llama-cpp")
    f32, q8, lora = (scratch / f"{name}.gguf" for name in ("f32", "q8", "lora"))
    llama_cpp.write_gguf(MODEL, f32, is_q8=False)
    llama_cpp.write_gguf(MODEL, q8, is_q8=True)
    llama_cpp.write_lora(MODEL, lora)
    server = folder / "llama-server"
    once = folder / "llama-completion"
    return [
        llama_cpp.Server("llama.cpp F32", server, f32, threads),
        llama_cpp.Server("llama.cpp Q8_0", server, q8, threads),
        *([llama_cpp.ProcessPerPrompt(once, MODEL, q8, lora, threads)] if once.exists() else []),
    ]


def compare(arms: list[Arm], replayed: list[Session], without: list[str], figures: Figures) -> None:
    chance = random.Random(0)
    tokenizer = Tokenizer.from_folder(MODEL)
    for number, session in enumerate(replayed):
        prompts = prompts_of(session, tokenizer)
        for part, ask in (("cold", ask_cold), ("keystroke", ask_keys)):
            if part in without:
                continue
            for arm in chance.sample(arms, len(arms)):
                if part == "keystroke":  # opening the file is not a key
                    arm.ask(prompts[0], KEY_NEW, is_cold=False)
                before_s = arm.cpu_s()
                answers = ask(arm, prompts)
                figures.answers(part, arm.name, number, answers, arm.cpu_s() - before_s)
    for arm in arms:
        figures.memory(arm.name, arm.peak_mb())


def prompts_of(session: Session, tokenizer: Tokenizer) -> list[list[int]]:
    """The prompt after each key, suffix first, with a window that moves in jumps."""
    settings = CompletionSettings()
    builder = PromptBuilder(tokenizer, "spm", settings.prompt_tokens, settings.suffix_tokens)
    return [
        list(builder.build("file", session.before + typed, after, session.path).token_ids)
        for typed in session.states
        for after in (closers(typed) + session.after,)
    ]


def ask_cold(arm: Arm, prompts: list[list[int]]) -> list[Answer]:
    ids = prompts[-1]
    repeated = (ids * (COLD_TOKENS // len(ids) + 1))[:COLD_TOKENS]
    return [arm.ask(repeated, COLD_NEW, is_cold=True)]


def ask_keys(arm: Arm, prompts: list[list[int]]) -> list[Answer]:
    is_slow = isinstance(arm, llama_cpp.ProcessPerPrompt)
    return [arm.ask(ids, KEY_NEW, is_cold=False) for ids in prompts[1 :: ONE_IN if is_slow else 1]]


if __name__ == "__main__":
    main()

"""Lines that commits added, predicted from before, in ways and in one table."""

from dataclasses import dataclass

from benchmarks.added_lines import NOTHING, SERVED, nats_of, table, ways
from code2lora_lsp.config import Settings, models_root
from code2lora_lsp.neural.sharp.memory import SharpMemory
from code2lora_lsp.neural.sharp.near import NearMemory
from code2lora_lsp.runtime.following import load_following
from code2lora_lsp.runtime.knowledge import Knowledge
from code2lora_lsp.runtime.model_loading import load_model
from tests.gitrepo import GitRepo


@dataclass(frozen=True)
class Planted:
    adapter_id: str = "planted"


def test_nothing_is_asked_then_each_part_alone_and_then_all_of_them():
    whole = SharpMemory(None, None)
    near = NearMemory(whole, None, None)
    first, served = Knowledge("b"), Knowledge("c", Planted(), near)
    asked = {way: known and (known.adapter, known.sharp) for way, known in ways(served, first)}
    assert asked == {
        NOTHING: None,
        "the ledger": (Planted(), None),
        "the table": (None, whole),
        "the table that looks near": (None, near),
        "ledger and table": (Planted(), whole),
        "all, as it was before the first of the commits": (None, None),
        SERVED: (Planted(), near),
    }
    assert list(asked)[-1] == SERVED


def test_the_table_has_a_row_for_each_way_over_repositories():
    lines = table([{NOTHING: 3.0, SERVED: 2.0}, {}, {NOTHING: 2.0, SERVED: 1.5}])
    assert lines[2] == "| nothing | 2.500 [2.000, 3.000] |  | +0.750 [+0.500, +1.000] |"
    assert lines[3] == "| all, as served | 1.750 [1.500, 2.000] | -0.750 [-1.000, -0.500] |  |"
    assert len(lines) == 4


def test_lines_like_those_before_are_likelier_with_what_was_known(tmp_path):
    repo = GitRepo(tmp_path / "garage")
    lines = [f"engine_{number}.ignite_sparkplug(voltage={number})\n" for number in range(24)]
    repo.commit("garage.py", "".join(lines[:20]))
    repo.commit("race.py", "".join(lines[20:]))
    settings = Settings()
    model = load_model(models_root() / "nano", settings.model, lambda *_: None)
    following = load_following(settings, model.backbone, lambda: False)
    found = nats_of(repo.root, 1, model, following)
    assert max(found[SERVED], found["the table"]) < found[NOTHING] - 1.0, found

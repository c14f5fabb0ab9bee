"""The table: against the ledger, seeds averaged before repositories are drawn."""

import pytest

from code2lora_lsp.training.commit_memory.evaluation import STRATA
from code2lora_lsp.training.commit_memory.report import (
    OWN_LATER,
    UNDER_ANOTHERS,
    over_seeds,
    table,
)


def means(nats):
    return dict.fromkeys(STRATA, nats)


def test_seeds_are_averaged_and_are_no_repositories():
    seeds = [[means(1.0), means(2.0)], [means(3.0), means(4.0)]]
    assert over_seeds(seeds) == [means(2.0), means(3.0)]


def test_every_arm_stands_against_the_reference():
    arms = {"ledger": [[means(2.0), means(4.0)]], "more": [[means(1.5), means(3.5)]]}
    _, _, ledger, more = table(arms, "ledger")
    assert ledger.startswith("| ledger, nats | 3.000 |")
    assert more.startswith("| more | -0.500 [-0.500, -0.500] 2/2 |")


def test_anothers_state_stands_against_the_own_one_on_the_same_commits():
    arms = {
        "ledger": [[means(2.0)]], "more": [[means(1.0)]],
        f"more{UNDER_ANOTHERS}": [[means(4.0)]], f"more{OWN_LATER}": [[means(1.5)]],
    }  # fmt: skip
    *_, under = table(arms, "ledger")
    assert under.startswith("| more: under another's | +2.500 ")


def test_an_arm_that_lacks_a_repository_is_refused():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        table({"ledger": [[means(2.0), means(4.0)]], "more": [[means(1.5)]]}, "ledger")

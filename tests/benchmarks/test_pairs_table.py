"""Two arms of a run, compared on what both answered."""

from benchmarks.pairs_table import cells
from code2lora_lsp.repopeftbench.scored import Row
from tests.repopeftbench.made_up import an_item


def rows(*scores, **strata):
    """One item of each of as many repositories as there are scores."""
    items = [
        an_item(number, f"ada/{number}", strata={"filtered": "yes", **strata})
        for number in range(len(scores))
    ]
    return {
        f"{strata} {number}": Row(item, score)
        for number, (item, score) in enumerate(zip(items, scores, strict=True))
    }


def test_differences_are_paired_and_ordinary_items_counted_apart():
    ours = rows({"identifier_nats": 1.0, "exact_match": 1.0}, {"identifier_nats": 3.0})
    theirs = rows({"identifier_nats": 4.0, "exact_match": 0.0}, {"identifier_nats": 8.0})
    ours |= rows({"nats_per_token": 1.0}, {"nats_per_token": 2.0}, filtered="no")
    theirs |= rows({"nats_per_token": 1.5}, {"nats_per_token": 1.9}, filtered="no")
    del theirs["{} 1"]
    found = cells(ours, theirs)
    assert found[0] == "-3.00"
    assert found[1] == "+100.0"
    assert found[2] == "-"
    assert found[3].startswith("-0.200 [")
    assert found[4] == "1 of 2"

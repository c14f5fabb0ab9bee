"""The report as markdown: the paper's tables first, then the stricter ones. It only shows figures.

Every cell with an interval reads ``value [low, high]``; ``-`` is what was not measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from code2lora_lsp.repopeftbench.arms.arm import NotRun
from code2lora_lsp.repopeftbench.figure import Figure
from code2lora_lsp.repopeftbench.own_versus_other import METRIC, TABLE
from code2lora_lsp.repopeftbench.report_tables import (
    ABSENT,
    ORACLE,
    WRONG,
    arms_in_order,
    cell,
    p_value,
    table,
)
from code2lora_lsp.repopeftbench.scored import BACKBONE

LEAST_GAIN_NATS = 0.5
"""A snippet with the answer has to save as much, or the items do not need the repository."""
PUBLISHED = (("exact_match", "EM %"), ("edit_similarity", "EditSim"), ("code_bleu", "CodeBLEU"))


@dataclass(frozen=True)
class Report:
    """What a report is written from.

    Attributes:
        figures: every number.
        code_bleu: which CodeBLEU was computed.
        environment: facts about model, code and machine, in order.
    """

    figures: Sequence[Figure]
    not_run: Sequence[NotRun]
    code_bleu: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def of(self, table: str, **fields: str) -> list[Figure]:
        """Figures of one table whose fields have the given values."""
        return [
            f
            for f in self.figures
            if f.table == table and all(getattr(f, k) == v for k, v in fields.items())
        ]

    def one(self, table: str, **fields: str) -> Figure | None:
        """The one figure there, or None."""
        return next(iter(self.of(table, **fields)), None)

    @property
    def suites(self) -> list[str]:
        return list(dict.fromkeys(f.suite for f in self.of("scores")))


def as_markdown(report: Report, plots: Sequence[tuple[str, str]] = ()) -> str:
    """The whole report; ``plots`` are (title, file name) of the pictures beside it."""
    parts = [
        _introduction(report), _published(report), demand_table(report),
        *(f"![{title}]({name})" for title, name in plots),
        *(_stricter(report, suite) for suite in report.suites),
        _own_versus_other(report), _geometry(report), _strata(report), _harm(report),
        _staleness(report), _costs(report), _not_run(report), _environment(report),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _introduction(report: Report) -> str:
    scores = report.of("scores", metric="exact_match")
    n_items = sum(max(f.n_items for f in scores if f.suite == suite) for suite in report.suites)
    n_repositories = max((f.n_repositories for f in scores), default=0)
    return f"""# RepoPeftBench report

{n_items} items, up to {n_repositories} repositories in a suite. Brackets are 95 % intervals of a
bootstrap over repositories (5,000 draws); with one repository there is none, and with few they are
too narrow. CR: repositories held out by the hash rule; IR: repositories of the training split.
CodeBLEU: {report.code_bleu}. Every number is in `results.jsonl`."""


def _published(report: Report) -> str:
    parts = ["## As published: EM / EditSim / CodeBLEU"]
    tracks = dict.fromkeys(suite.split()[0] for suite in report.suites)
    for track in tracks:
        suites = [suite for suite in report.suites if suite.split()[0] == track]
        header = ["arm", *(f"{s.split()[1]} {name}" for s in suites for _, name in PUBLISHED), "n"]
        rows = []
        for arm in arms_in_order(f for s in suites for f in report.of("scores", suite=s)):
            found = [
                report.one("scores", suite=s, arm=arm, metric=m)
                for s in suites
                for m, _ in PUBLISHED
            ]
            shown = [
                cell(f, 100, 1) if f and f.metric == "exact_match" else cell(f, 1, 3) for f in found
            ]
            counts = [str(f.n_items) if f else ABSENT for f in found[:: len(PUBLISHED)]]
            rows.append([arm, *shown, " / ".join(counts)])
        parts += [f"### {track.capitalize()} track", table(header, rows)]
    return "\n\n".join(parts)


def demand_table(report: Report) -> str:
    """Whether the items need the repository: an oracle's snippet against none and a wrong one."""
    rows = []
    verdicts = []
    for suite in report.suites:
        oracle, wrong = (
            report.one("differences", suite=suite, arm=arm, against=BACKBONE, metric="asked_nats")
            for arm in (ORACLE, WRONG)
        )
        if oracle:
            rows.append([suite, cell(oracle, 1, 3), cell(wrong, 1, 3), str(oracle.n_items)])
            word = "holds" if -oracle.value >= LEAST_GAIN_NATS else "FAILS"
            verdicts.append(f"{suite}: {word}")
    if not rows:
        return ""
    header = ["suite", "oracle snippet - backbone", "wrong repository's - backbone", "n"]
    return f"""## Demand

Nats per item (identifier, or target without one). An oracle's snippet must save at least
{LEAST_GAIN_NATS} nats, or these items do not need the repository and no arm can show that it knows
it. {"; ".join(verdicts)}.

{table(header, rows)}"""


def _stricter(report: Report, suite: str) -> str:
    header = [
        "arm", "plain EM %", "begins with target %", "nats per target", "nats per identifier",
        "- backbone, nats", "- mean adapter, nats", "n (repositories)",
    ]  # fmt: skip
    rows = []
    for arm in arms_in_order(report.of("scores", suite=suite)):
        at = {"suite": suite, "arm": arm}
        difference = {**at, "metric": "asked_nats"}
        plain = report.one("scores", metric="plain_match", **at)
        rows.append([
            arm,
            cell(plain, 100, 1),
            cell(report.one("scores", metric="target_first", **at), 100, 1),
            cell(report.one("scores", metric="target_nats", **at), 1, 2),
            cell(report.one("scores", metric="identifier_nats", **at), 1, 2),
            cell(report.one("differences", against=BACKBONE, **difference), 1, 3),
            cell(report.one("differences", against=f"{arm}/mean", **difference), 1, 3),
            f"{plain.n_items} ({plain.n_repositories})" if plain else ABSENT,
        ])  # fmt: skip
    return f"""## {suite}: without the published allowances

Plain EM is string equality of as many lines; differences are paired, in nats of the identifier (of
the target without one), below 0 is better.

{table(header, rows)}"""


def _own_versus_other(report: Report) -> str:
    header = [
        "suite", "arm", "own's rank (chance)", "wins %", "p", "own - others, nats",
        "n (repositories)",
    ]  # fmt: skip
    rows = []
    for suite in report.suites:
        for arm in arms_in_order(report.of(TABLE, suite=suite)):
            found = {f.metric: f for f in report.of(TABLE, suite=suite, arm=arm)}
            rank, chance, p = (found[metric] for metric in ("rank", "chance_rank", "p"))
            rows.append([
                suite,
                arm,
                f"{cell(rank, 1, 2)} ({chance.value:.1f})",
                cell(found["win_rate"], 100, 0),
                p_value(p),
                cell(found[METRIC], 1, 3),
                f"{p.n_items} ({p.n_repositories})",
            ])  # fmt: skip
    if not rows:
        return ""
    return f"""## Own versus other

Every repository's items under every repository's preparation. Rank 1 means its own is best; p is
of a permutation test that neither hard repositories nor generally good adapters can make small.

{table(header, rows)}"""


def _geometry(report: Report) -> str:
    rows = []
    for mean in report.of("geometry", metric="delta_cosine"):
        most = report.one("geometry", metric="delta_cosine_max", arm=mean.arm, stratum=mean.stratum)
        rows.append(
            [mean.arm, mean.stratum, cell(mean, 1, 3), cell(most, 1, 3), str(mean.n_repositories)]
        )
    if not rows:
        return ""
    return f"""## Geometry

Cosine of the updates ΔW of two repositories; 1 is one adapter for all of them.

{table(["arm", "task", "mean", "largest", "repositories"], rows)}"""


def _strata(report: Report) -> str:
    parts = []
    for suite in report.suites:
        figures = report.of("strata", suite=suite)
        for key in dict.fromkeys(f.stratum.partition("=")[0] for f in figures):
            strata = list(
                dict.fromkeys(f.stratum for f in figures if f.stratum.startswith(key + "="))
            )
            rows = [
                [arm, *(_stratum_cell(report, suite, arm, s) for s in strata)]
                for arm in arms_in_order(figures)
            ]
            header = ["arm", *(_stratum_name(report, suite, s) for s in strata)]
            parts += [f"### {suite}, by {key}", table(header, rows)]
    if not parts:
        return ""
    return "\n\n".join(["## Strata\n\nEM % / nats per item.", *parts])


def _stratum_name(report: Report, suite: str, stratum: str) -> str:
    n_items = max(f.n_items for f in report.of("strata", suite=suite, stratum=stratum))
    return f"{stratum.partition('=')[2]} (n {n_items})"


def _stratum_cell(report: Report, suite: str, arm: str, stratum: str) -> str:
    at = {"suite": suite, "arm": arm, "stratum": stratum}
    match = report.one("strata", metric="exact_match", **at)
    nats = report.one("strata", metric="asked_nats", **at)
    if match is None or nats is None:
        return ABSENT
    return f"{match.value * 100:.1f} / {nats.value:.2f}"


def _harm(report: Report) -> str:
    rows = []
    for suite in report.suites:
        for arm in arms_in_order(report.of("harm", suite=suite)):
            nats = report.one("harm", suite=suite, arm=arm, metric="nats_per_token")
            match = report.one("harm", suite=suite, arm=arm, metric="exact_match")
            n_items = max(f.n_items for f in (nats, match) if f)
            rows.append([suite, arm, cell(nats, 1, 3), cell(match, 100, 1), str(n_items)])
    if not rows:
        return ""
    return f"""## Harm on unfiltered items

Arm - backbone on items taken as they come: above 0 nats is harm.

{table(["suite", "arm", "nats per token", "EM, points", "n"], rows)}"""


def _staleness(report: Report) -> str:
    figures = report.of("staleness", metric="asked_nats")
    if not figures:
        return ""
    behind = sorted({int(f.stratum.partition("=")[2]) for f in figures})
    rows = []
    for suite in dict.fromkeys(f.suite for f in figures):
        for arm in arms_in_order(f for f in figures if f.suite == suite):
            found = [
                report.one(
                    "staleness", suite=suite, arm=arm, metric="asked_nats", stratum=f"behind={k}"
                )
                for k in behind
            ]
            rows.append([suite, arm, *(cell(f, 1, 3) for f in found)])
    return f"""## Staleness

Adapter of k commits before - backbone, nats per item.

{table(["suite", "arm", *(f"k = {k}" for k in behind)], rows)}"""


def _costs(report: Report) -> str:
    header = [
        "arm", "seconds per query", "prompt tokens per query", "preparing, s", "s per commit",
        "stored, MiB",
    ]  # fmt: skip
    rows = []
    for arm in arms_in_order(report.of("cost")):
        found = {f.metric: f for f in report.of("cost", arm=arm)}
        rows.append([
            arm,
            cell(found.get("query_seconds"), 1, 3),
            cell(found.get("prompt_tokens"), 1, 0),
            cell(found.get("prepare_seconds"), 1, 2),
            cell(found.get("seconds_per_commit"), 1, 3),
            cell(found.get("stored_bytes"), 2**-20, 2),
        ])  # fmt: skip
    return f"""## Cost

Preparing and storing: mean per known state. What was stepped through or trained before, for
another state or arm, is not done again; per commit counts the dearest state of each repository.

{table(header, rows)}"""


def _not_run(report: Report) -> str:
    if not report.not_run:
        return "## Not run\n\nEvery arm asked for ran on every repository."
    rows = [[arm.arm, arm.reason, ", ".join(arm.notes) or "everywhere"] for arm in report.not_run]
    return f"## Not run\n\n{table(['arm', 'reason', 'where'], rows)}"


def _environment(report: Report) -> str:
    rows = [[name, value] for name, value in report.environment.items()]
    return f"## Environment\n\n{table(['', ''], rows)}" if rows else ""

"""Controls made from any arm that gives adapters: the mean, another repository's, a stale one."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from code2lora_lsp.errors import FollowError
from code2lora_lsp.history.repository import Repository
from code2lora_lsp.neural.lora import LoraAdapter
from code2lora_lsp.repopeftbench.arms.adapter_arm import AdapterArm
from code2lora_lsp.repopeftbench.arms.adapter_mean import mean_adapter
from code2lora_lsp.repopeftbench.arms.arm import CannotPrepare, Target
from code2lora_lsp.repopeftbench.arms.known_tree import leak_check, tree_at
from code2lora_lsp.repopeftbench.source_tree import TREE_RECIPE

_log = logging.getLogger(__name__)


class MeanArm:
    """``X/mean``: the mean ΔW of X's adapters of the other repositories; never the own one.

    Repositories that X cannot prepare have no part in it.
    """

    def __init__(self, source: AdapterArm, others: Sequence[Target]) -> None:
        self._source, self._others = source, tuple(others)

    @property
    def name(self) -> str:
        return f"{self._source.name}/mean"

    @property
    def recipe_key(self) -> str:
        ids = ",".join(sorted(f"{o.repository}@{o.known_commit_id}" for o in self._others))
        return f"{self._source.recipe_key}|{ids}"

    def why_not(self) -> str | None:
        return self._source.why_not() or _too_few(self._others)

    def ready(self) -> None:
        self._source.ready()

    def adapter(self, target: Target) -> LoraAdapter | None:
        others = [other for other in self._others if other.repository != target.repository]
        found = [adapter for other in others if (adapter := self._of(other)) is not None]
        if not found:
            raise CannotPrepare(
                f"{self._source.name} gave no adapter for any repository but {target.repository}"
            )
        return mean_adapter(found)

    def _of(self, other: Target) -> LoraAdapter | None:
        try:
            return self._source.adapter(other)
        except (CannotPrepare, FollowError) as error:
            _log.warning("%s leaves %s out: %s", self.name, other.repository, error)
            return None

    def n_commits(self, target: Target) -> int:
        del target
        return 0


class OtherArm:
    """``X/other:<repository>``: X's adapter of one given repository, for every target."""

    def __init__(self, source: AdapterArm, other: Target) -> None:
        self._source, self._other = source, other

    @property
    def name(self) -> str:
        return f"{self._source.name}/other:{self._other.repository}"

    @property
    def recipe_key(self) -> str:
        return f"{self._source.recipe_key}|{self._other.known_commit_id}"

    def why_not(self) -> str | None:
        return self._source.why_not()

    def ready(self) -> None:
        self._source.ready()

    def adapter(self, target: Target) -> LoraAdapter | None:
        del target
        return self._source.adapter(self._other)

    def n_commits(self, target: Target) -> int:
        del target
        return self._source.n_commits(self._other)


class StaleArm:
    """``X/stale:<k>``: X's adapter as it was k source-touching commits before the known one."""

    def __init__(self, source: AdapterArm, n_behind: int) -> None:
        if n_behind < 0:
            raise ValueError(f"stale by {n_behind} commits; give 0 or more")
        self._source, self._n_behind = source, n_behind

    @property
    def name(self) -> str:
        return f"{self._source.name}/stale:{self._n_behind}"

    @property
    def recipe_key(self) -> str:
        return self._source.recipe_key

    def why_not(self) -> str | None:
        return self._source.why_not()

    def ready(self) -> None:
        self._source.ready()

    def adapter(self, target: Target) -> LoraAdapter | None:
        return self._source.adapter(earlier(target, self._n_behind))

    def n_commits(self, target: Target) -> int:
        return self._source.n_commits(earlier(target, self._n_behind))


@lru_cache(maxsize=64)
def earlier(target: Target, n_behind: int) -> Target:
    """The target as of ``n_behind`` source-touching first-parent commits before.

    0 is the newest of those, whose sources are the known commit's own. Hidden there is whatever
    is a hidden file now or nearly was one then, under its name of that time.

    Raises:
        CannotPrepare: the history is not that long.
    """
    repository = Repository.at_git_dir(target.git_dir)
    ids = repository.source_commit_ids(target.known_commit_id, TREE_RECIPE, limit=n_behind + 1)
    if len(ids) <= n_behind:
        raise CannotPrepare(
            f"{target.repository} has {len(ids)} commits that touch source up to "
            f"{target.known_commit_id[:12]}; {n_behind} before the newest one are asked for"
        )
    check, texts = leak_check(target), tree_at(target, ids[0]).texts
    hidden = frozenset(path for path, text in texts.items() if check.reason_against(path, text))
    return replace(target, known_commit_id=ids[0], hidden_paths=hidden)


def _too_few(others: Sequence[Target]) -> str | None:
    if len({other.repository for other in others}) < 2:
        return "needs at least two repositories: the mean leaves the own one out"
    return None

"""One engine, many repositories: what is current, what was let go, and that nothing is lost."""

import threading
import time
from dataclasses import replace

import pytest

from code2lora_lsp.config import FollowSettings, ModelSettings, Settings
from code2lora_lsp.errors import FollowError
from code2lora_lsp.runtime.api import (
    Completion,
    CompletionRequest,
    EngineState,
    FollowState,
    Incident,
    NoCompletion,
    ProgressBegan,
    ProgressEnded,
    Reason,
    Trigger,
)
from code2lora_lsp.runtime.backend import LocalBackend
from code2lora_lsp.runtime.ledger_follower import LedgerFollower
from code2lora_lsp.text.document import DocumentSnapshot
from tests.gitrepo import GitRepo
from tests.projects import pottery

TEXT = "import os\n\n\ndef read(path):\n    with open(path) as file:\n        return file."


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "work")
    for number in range(3):
        repo.commit("a.py", f"value_{number} = compute({number})\n" * 4)
    return repo


@pytest.fixture
def settings(tmp_path):
    return Settings(follow=FollowSettings(poll_s=0.3, state_dir=str(tmp_path / "states")))


def was_decoded(result):
    """The model was asked; what it thinks of the text is its own affair."""
    return isinstance(result, Completion) or result.reason in {Reason.EMPTY, Reason.FILTERED}


class Watched:
    """A backend with what it reported."""

    def __init__(self, settings):
        self.events = []
        self.settings = settings
        self.backend = LocalBackend(settings, self.events.append)

    def wait(self, is_done, timeout_s=60.0):
        until_s = time.monotonic() + timeout_s
        while not is_done(status := self.backend.status()):
            assert time.monotonic() < until_s, status
            time.sleep(0.01)
        return status

    def wait_engine(self, state):
        return self.wait(lambda s: s.engine is state)

    def wait_current(self, head):
        return self.wait(
            lambda s: any(r.state is FollowState.CURRENT and r.head == head for r in s.repositories)
        )

    def ask(self, **changes):
        document = DocumentSnapshot("file:///use.py", 1, "python", TEXT)
        request = CompletionRequest(document, len(TEXT), Trigger.INVOKED, **changes)
        return self.backend.complete(request).result(30)


@pytest.fixture
def watched(settings):
    watched = Watched(settings)
    yield watched
    assert watched.backend.close(60.0)


def test_before_it_is_started_the_answer_is_not_ready(watched):
    assert watched.ask() == NoCompletion(Reason.NOT_READY)


def test_an_unload_followed_at_once_by_a_start_ends_ready(watched, repo):
    watched.backend.start()
    watched.backend.open_repository(repo.root)
    watched.wait_current(repo.head)
    watched.backend.unload()
    assert watched.ask() == NoCompletion(Reason.UNLOADED)
    watched.backend.start()
    watched.wait_engine(EngineState.READY)
    watched.wait_current(repo.head)
    assert was_decoded(watched.ask(repository=repo.root))


def test_an_unload_while_loading_stays_unloaded(watched):
    watched.backend.start()
    watched.backend.unload()
    time.sleep(1.0)
    assert watched.backend.status().engine is EngineState.UNLOADED
    began = [e.token for e in watched.events if isinstance(e, ProgressBegan)]
    ended = [e.token for e in watched.events if isinstance(e, ProgressEnded)]
    assert began == ended


def test_mending_a_wrong_backbone_by_new_settings_starts_the_model(watched, settings):
    wrong = replace(settings, model=ModelSettings(backbone="no-such-model"))
    watched.backend.reconfigure(wrong)
    watched.backend.start()
    watched.wait_engine(EngineState.FAILED)
    assert "no-such-model" in watched.backend.status().detail
    assert [e.is_error for e in watched.events if isinstance(e, Incident)].count(True) >= 1
    watched.backend.reconfigure(settings)
    watched.wait_engine(EngineState.READY)
    assert watched.backend.status().detail == ""


def test_following_switched_off_and_on_again_follows_what_was_open(watched, repo, settings):
    watched.backend.start()
    root = watched.backend.open_repository(repo.root)
    watched.wait_current(repo.head)
    watched.backend.reconfigure(replace(settings, follow=replace(settings.follow, enabled=False)))
    assert watched.backend.status().repositories == ()
    assert was_decoded(watched.ask(repository=root))
    watched.backend.reconfigure(settings)
    watched.wait_current(repo.head)


def test_opening_one_repository_twice_follows_it_once(watched, repo):
    first = watched.backend.open_repository(repo.root)
    (repo.root / "src").mkdir()
    assert watched.backend.open_repository(repo.root / "src") == first
    assert len(watched.backend.status().repositories) == 1


def test_a_folder_without_a_repository_is_none(watched, tmp_path):
    assert watched.backend.open_repository(tmp_path) is None


def test_the_checkpoint_is_loaded_once_per_engine(watched, repo, monkeypatch):
    from code2lora_lsp.runtime import following_loader

    loads = []
    load = following_loader.load_following
    monkeypatch.setattr(
        following_loader, "load_following", lambda *a: (loads.append(1), load(*a))[1]
    )
    watched.backend.start()
    watched.backend.open_repository(repo.root)
    watched.wait_current(repo.head)
    for number in range(3):
        repo.commit("a.py", f"again_{number} = 1\n" * 4)
        watched.wait_current(repo.head)
        assert was_decoded(watched.ask(repository=repo.root))
    assert loads == [1]


def test_without_a_checkpoint_a_repository_says_so(watched, repo, settings):
    watched.backend.reconfigure(replace(settings, model=ModelSettings(checkpoint="off")))
    watched.backend.start()
    watched.backend.open_repository(repo.root)
    watched.wait(lambda s: any("no checkpoint" in r.detail for r in s.repositories))
    assert was_decoded(watched.ask(repository=repo.root))


def test_the_switch_for_completions_is_not_the_backends(watched, settings):
    """Toggles outrank it, and the backend does not know them."""
    off = replace(settings, completion=replace(settings.completion, enabled=False))
    watched.backend.reconfigure(off)
    watched.backend.start()
    watched.wait_engine(EngineState.READY)
    assert was_decoded(watched.ask())


def test_a_place_that_is_expected_was_read_when_the_request_comes(watched, repo):
    watched.backend.start()
    watched.backend.open_repository(repo.root)
    watched.wait_current(repo.head)
    text = "".join(f"value_{number} = compute({number})\n" for number in range(40))
    document = DocumentSnapshot("file:///use.py", 1, "python", text)
    request = CompletionRequest(document, len(text), repository=repo.root, path="use.py")
    is_read = threading.Event()
    watched.backend.expect(request)
    watched.backend._engine.when_idle(lambda _model, _check: is_read.set())
    assert is_read.wait(30)
    assert watched.backend._engine._binding.commit_id == repo.head
    watched.backend.complete(replace(request, trigger=Trigger.INVOKED)).result(30)
    timings = watched.backend.status().last_timings
    assert timings.reused_tokens == timings.prompt_tokens > 200


def test_files_excluded_while_running_no_longer_reach_the_model(watched, repo, settings):
    watched.backend.start()
    root = watched.backend.open_repository(repo.root)
    watched.wait_current(repo.head)
    assert was_decoded(watched.ask(repository=root, path="private/use.py"))
    follow = replace(settings.follow, exclude=("private/",))
    watched.backend.reconfigure(replace(settings, follow=follow))
    watched.wait_engine(EngineState.READY)
    assert watched.ask(repository=root, path="private/use.py").reason is Reason.EXCLUDED
    watched.wait_current(repo.head)


def why_not_exported(watched, root, folder):
    """The sentence an export is refused with; nothing is written."""
    with pytest.raises(FollowError) as caught:
        watched.backend.export_adapter(root, folder, 8)
    assert not folder.exists()
    return str(caught.value)


def test_an_unloaded_model_exports_nothing_and_says_what_to_do(watched, tmp_path):
    repo = GitRepo(tmp_path / "pottery")
    repo.commit(pottery())
    watched.backend.start()
    root = watched.backend.open_repository(repo.root)
    assert "model is still loading" in why_not_exported(watched, root, tmp_path / "peft")
    watched.wait_current(repo.head)
    written = watched.backend.export_adapter(root, tmp_path / "before", 8)
    assert (written.rank, written.folder) == (8, str(tmp_path / "before"))
    assert '"nano"' in (tmp_path / "before" / "adapter_config.json").read_text()
    watched.backend.unload()
    why = why_not_exported(watched, root, tmp_path / "peft")
    assert why == f"{root}: the model is unloaded; load it first"


def test_while_the_tree_is_read_an_export_is_put_off(watched, repo, tmp_path, monkeypatch):
    go_on, run = threading.Event(), LedgerFollower.run

    def held(*arguments):
        assert go_on.wait(60.0)
        yield from run(*arguments)

    monkeypatch.setattr(LedgerFollower, "run", held)
    watched.backend.start()
    root = watched.backend.open_repository(repo.root)
    watched.wait(lambda status: status.checkpoint)
    why = why_not_exported(watched, root, tmp_path / "peft")
    go_on.set()
    assert "the tree is still being read; try again when the status says it is current" in why


def test_after_a_failed_start_an_export_says_what_failed(watched, repo, settings, tmp_path):
    watched.backend.reconfigure(replace(settings, model=ModelSettings(backbone="no-such-model")))
    watched.backend.start()
    root = watched.backend.open_repository(repo.root)
    assert "'no-such-model'" in why_not_exported(watched, root, tmp_path / "peft")


@pytest.mark.parametrize(
    ("files", "words"),
    [({"notes.txt": "words\n"}, "no Python"), ({"a.py": "x = 1\n"}, "no step of the ledger")],
)
def test_a_tree_without_an_adapter_says_why(watched, tmp_path, files, words):
    repo = GitRepo(tmp_path / "bare")
    repo.commit(files)
    watched.backend.start()
    root = watched.backend.open_repository(repo.root)
    watched.wait_current(repo.head)
    why = why_not_exported(watched, root, tmp_path / "peft")
    assert why.startswith(f"{root}: no adapter: ")
    assert words in why


def test_following_switched_off_is_why_there_is_no_adapter(watched, repo, settings, tmp_path):
    off = replace(settings, follow=replace(settings.follow, enabled=False))
    watched.backend.reconfigure(off)
    watched.backend.start()
    root = watched.backend.open_repository(repo.root)
    watched.wait_engine(EngineState.READY)
    until_s = time.monotonic() + 60.0
    while "loading" in (why := why_not_exported(watched, root, tmp_path / "peft")):
        assert time.monotonic() < until_s
        time.sleep(0.01)
    assert "follow.enabled is off" in why

"""Settings every test runs under."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _folders_of_its_own(tmp_path_factory):
    """Nothing a test starts finds or leaves anything in the folders of whoever runs the tests.

    A server without ``follow.stateDir`` keeps states, counts and its trial of threads in the
    cache folder, and looks for calibrated statistics in the data folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield

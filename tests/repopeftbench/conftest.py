import pytest

from tests.repopeftbench.tiny_bench import make_garage, make_pantry, make_scorer, write_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def scorer(model_folder):
    return make_scorer(model_folder)


@pytest.fixture(scope="session")
def published(model_folder):
    """Prefix and target encoded as they stand."""
    return make_scorer(model_folder, heals=False)


@pytest.fixture(scope="session")
def garage(tmp_path_factory):
    return make_garage(tmp_path_factory.mktemp("garage"))


@pytest.fixture(scope="session")
def pantry(tmp_path_factory):
    return make_pantry(tmp_path_factory.mktemp("pantry"))

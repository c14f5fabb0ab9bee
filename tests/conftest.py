"""Settings every test runs under."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

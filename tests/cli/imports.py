"""What a command imported, told by Python itself."""

import re
import subprocess


def imports(done: "subprocess.CompletedProcess[str]", module: str) -> bool:
    """Whether a command run with ``PYTHONPROFILEIMPORTTIME`` imported a module."""
    modules = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
    assert "argparse" in modules, "imports are not listed"
    return module in modules

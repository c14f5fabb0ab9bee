"""What must never reach a prompt or an adapter: secret files, and secrets inside other files.

Both lists aim at high precision: a false alarm hides code from the model, and a path or pattern
that is missing here can be added by the user as an exclude pattern.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

PLACEHOLDER = "REDACTED"

_SECRET_FOLDERS = frozenset({".aws", ".azure", ".gcloud", ".gnupg", ".kube", ".ssh"})
_SECRET_NAMES = frozenset(
    {
        ".dockercfg", ".envrc", ".git-credentials", ".htpasswd", ".my.cnf", ".netrc", "_netrc",
        ".npmrc", ".pgpass", ".pypirc", ".vault-token", ".vault_pass", ".yarnrc.yml",
        "application_default_credentials.json", "kubeconfig", "master.key", "secrets.yaml",
        "secrets.yml", "secrets.json", "secrets.toml", "terraform.tfvars",
    }
)  # fmt: skip
_SECRET_SUFFIXES = frozenset(
    {
        ".asc", ".gpg", ".jks", ".kdb", ".kdbx", ".key", ".keystore", ".keytab", ".ovpn", ".p12",
        ".p8", ".pem", ".pfx", ".pkcs12", ".ppk", ".tfstate",
    }
)  # fmt: skip
_SECRET_STEMS = re.compile(
    r"credentials?|.*service[-_]?account.*|client[-_]secrets?.*|.*[-_]credentials?"
)
_DATA_SUFFIXES = frozenset({"", ".json", ".yaml", ".yml", ".ini", ".cfg", ".csv", ".txt", ".xml"})
_PRIVATE_KEY_NAME = re.compile(r"id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?(?:[-_.].*)?")
_CODE_SUFFIXES = frozenset({".py", ".pyi", ".md", ".rst", ".ipynb"})


def is_secret_path(path: str) -> bool:
    """Whether a file of this name (forward slashes, relative or not) is never to be read."""
    parts = [part.lower() for part in PurePosixPath(path.replace("\\", "/")).parts]
    if not parts:
        return False
    name = parts[-1]
    if any(part in _SECRET_FOLDERS for part in parts[:-1]):
        return True
    if name in _SECRET_NAMES or name == ".env" or name.startswith(".env."):
        return True
    return _is_secret_name(PurePosixPath(name))


def _is_secret_name(name: PurePosixPath) -> bool:
    suffixes = set(name.suffixes)
    if suffixes & _SECRET_SUFFIXES and name.suffix not in _CODE_SUFFIXES:
        return True
    if _PRIVATE_KEY_NAME.fullmatch(name.name):
        return name.suffix not in _CODE_SUFFIXES | {".pub"}
    return name.suffix in _DATA_SUFFIXES and bool(_SECRET_STEMS.fullmatch(name.stem.lstrip(".")))


_KEY_LABEL = r"[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
_KEY_LINE = r"[ +\-]?[ \t]*[\"']?[A-Za-z0-9+/=]{16,200}(?:\\n)?[\"']?[ \t]*\r?\n"

_KEY_BLOCKS = (
    re.compile(rf"-----BEGIN {_KEY_LABEL}[\s\S]{{0,12000}}?-----END {_KEY_LABEL}"),
    re.compile(rf"-----BEGIN {_KEY_LABEL}[ \t]*\r?\n(?:{_KEY_LINE})+"),
    re.compile(rf"(?m)(?:^{_KEY_LINE})+[ +\-]?[ \t]*-----END {_KEY_LABEL}"),
)

_TOKENS = tuple(
    (hint, re.compile(pattern))
    for hint, pattern in (
        ("AKIA", r"\bAKIA[0-9A-Z]{16}\b"),
        ("ASIA", r"\bASIA[0-9A-Z]{16}\b"),
        ("gh", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
        ("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
        ("glpat-", r"\bglpat-[A-Za-z0-9_\-]{20,64}"),
        ("xox", r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,250}"),
        ("hooks.slack.com", r"(?<=hooks\.slack\.com/services/)T\w{6,14}/B\w{6,14}/\w{16,40}"),
        ("_live_", r"\b[rs]k_live_[A-Za-z0-9]{16,255}\b"),
        ("AIza", r"\bAIza[0-9A-Za-z_\-]{35}"),
        ("npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("hf_", r"\bhf_[A-Za-z0-9]{34,40}\b"),
        ("pypi-", r"\bpypi-AgE[A-Za-z0-9_\-]{50,500}"),
        ("SG.", r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}"),
        ("sk-", r"\bsk-(?:ant-|proj-|svcacct-)[A-Za-z0-9_\-]{32,255}|\bsk-[A-Za-z0-9]{40,64}\b"),
        (
            "eyJ",
            r"\beyJ[A-Za-z0-9_\-]{10,4000}\.eyJ[A-Za-z0-9_\-]{10,4000}\.[A-Za-z0-9_\-]{10,2000}",
        ),
    )
)

_ASSIGNED = re.compile(
    r"(?i)((?:password|passwd|secret|token|api_?key|access_?key|account_?key|private_?key)\w{0,12}"
    r"[\"']?\]?\s{0,4}(?::\s{0,4}[A-Za-z]{1,12}\s{0,4})?[:=]\s{0,4}[bru]?[\"'])([^\s\"']{16,512})(?=[\"'])"
)
_ASSIGNED_HINT = re.compile(r"(?i)passw|secret|token|key")
_AWS_SECRET = re.compile(
    r"(?i)(aws_?secret_?(?:access_?)?key[\"']?\s{0,4}[:=]\s{0,4}[\"']?)([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"
)
_URL_PASSWORD = re.compile(
    r"(\b[a-z][a-z0-9+.\-]{1,20}://[^\s:@/\"']{1,64}:)([^\s@/\"']{8,128})(?=@)"
)
_TEMPLATE = re.compile(r"\$\{|\{\{|%\(|<|>|\{\w*\}|(?i:example|changeme|placeholder|x{6}|your[-_])")


def redact(text: str) -> tuple[str, int]:
    """``text`` with each secret replaced by a fixed placeholder, and how many were replaced."""
    count = 0
    if "PRIVATE KEY" in text:
        for block in _KEY_BLOCKS:
            text, n = block.subn(
                PLACEHOLDER + "\n" if block is _KEY_BLOCKS[1] else PLACEHOLDER, text
            )
            count += n
    for hint, pattern in _TOKENS:
        if hint in text:
            text, n = pattern.subn(PLACEHOLDER, text)
            count += n
    for pattern, is_secret in _VALUE_PATTERNS:
        text, n = _replace_values(pattern, is_secret, text)
        count += n
    return text, count


def _replace_values(
    pattern: re.Pattern[str], is_secret: Callable[[str], bool], text: str
) -> tuple[str, int]:
    """Replace group 2 of each match that ``is_secret``; keep the name in front of it."""
    count = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        if not is_secret(match[2]):
            return match[0]
        count += 1
        return match[1] + PLACEHOLDER

    return pattern.sub(replaced, text), count


def _looks_random(value: str) -> bool:
    """Letters and digits, at least 3 bits of entropy per character, and no template in it."""
    has_both = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return has_both and _entropy_bits(value) >= 3.0 and not _TEMPLATE.search(value)


def _looks_like_a_password(value: str) -> bool:
    has_both = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return has_both and not _TEMPLATE.search(value)


def _entropy_bits(value: str) -> float:
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())


_VALUE_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (_AWS_SECRET, _looks_random),
    (_ASSIGNED, _looks_random),
    (_URL_PASSWORD, _looks_like_a_password),
)

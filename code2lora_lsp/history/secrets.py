"""Secret files, which reach neither a prompt nor an adapter, and secrets inside other files.

The second are replaced in the text an adapter is made of. A prompt is not redacted: it is the
user's own open document, and it never leaves the machine.

Both lists aim at high precision: a false alarm hides code from the model, and a path or pattern
that is missing here can be added by the user as an exclude pattern.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import PurePosixPath

from code2lora_lsp.history.compound_secrets import replace_private_keys, replace_web_tokens
from code2lora_lsp.history.credential_pairs import LAST_OF_TWO, is_of_credentials
from code2lora_lsp.history.named_secrets import LITERAL, is_named_secret, replace_joined
from code2lora_lsp.history.secret_values import looks_like_password, looks_random

PLACEHOLDER = "REDACTED"

REDACTION = "redacted3"
"""Changes with what ``redact`` replaces. Whatever is stored of redacted text is keyed by it."""

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


@lru_cache(maxsize=16_384)
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
        (
            "sk-",
            r"\bsk-(?:ant-|proj-|svcacct-|admin-|or-v1-)[A-Za-z0-9_\-]{32,255}|\bsk-[A-Za-z0-9]{40,64}\b",
        ),
    )
)

_AWS_SECRET = re.compile(
    r"(?i)(secret_?(?:access_?)?key[\"']?\s{0,4}[:=]\s{0,4}[\"']?)([A-Za-z0-9/+]{40})(?![\w/+])"
)
_URL_PASSWORD = re.compile(r"(://[^\s:@/\"']{1,64}:)([^\s@/\"']{8,128})(?=@)")
_AUTHORIZATION = re.compile(
    r"(?i)((?:authorization[\"']?\]?\s{0,4}[:=,]\s{0,4}[bruf]{0,2}[\"']?(?:basic|token|bearer)"
    r"|[\"']bearer) )([^\s\"']{16,512})(?=[\"'])"
)


def redact(text: str) -> tuple[str, int]:
    """``text`` with each secret replaced by a fixed placeholder, and how many were replaced."""
    count = 0
    if "PRIVATE KEY" in text:
        text, n = replace_private_keys(text, PLACEHOLDER)
        count += n
    for hint, pattern in _TOKENS:
        if hint in text:
            text, n = pattern.subn(PLACEHOLDER, text)
            count += n
    if ".eyJ" in text:
        text, n = replace_web_tokens(text, PLACEHOLDER)
        count += n
    text, n = replace_joined(text, PLACEHOLDER)
    count += n
    for hints, pattern, is_secret in _VALUES:
        if any(hint in text for hint in hints):
            text, n = _replace_values(pattern, is_secret, text)
            count += n
    return text, count


def _replace_values(
    pattern: re.Pattern[str], is_secret: Callable[[re.Match[str]], bool], text: str
) -> tuple[str, int]:
    """Replace group 2 of each match that ``is_secret``; keep the name in front of it."""
    count = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        if not is_secret(match):
            return match[0]
        count += 1
        return match[1] + PLACEHOLDER

    return pattern.sub(replaced, text), count


def _is_random_value(match: re.Match[str]) -> bool:
    return looks_random(match[2])


def _is_password(match: re.Match[str]) -> bool:
    return looks_like_password(match[2])


_VALUES: tuple[tuple[tuple[str, ...], re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    (("://",), _URL_PASSWORD, _is_password),
    (("ey", "EY"), _AWS_SECRET, _is_random_value),
    (("earer ", "uthorization"), _AUTHORIZATION, _is_random_value),
    (("auth", "Auth", "AUTH", "cred", "Cred", "CRED"), LAST_OF_TWO, is_of_credentials),
    (("",), LITERAL, is_named_secret),
)
"""Hints, pattern, rule: a pattern is looked for only where one of its hints is in the text."""

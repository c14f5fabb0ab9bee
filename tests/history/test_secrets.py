import pytest

from code2lora_lsp.history.secrets import PLACEHOLDER, is_secret_path, redact

SECRET_PATHS = [
    ".env",
    ".env.production",
    "app/.ENV.local",
    ".envrc",
    "certs/server.pem",
    "deploy.key",
    "id_rsa",
    ".ssh/config",
    "backup/id_ed25519.old",
    "credentials",
    ".aws/credentials",
    ".aws/anything.py",
    "config/credentials.json",
    "gcp-credentials.yaml",
    "my-project-service-account.json",
    "service_account_prod.json",
    "client_secret_12.json",
    ".npmrc",
    ".pypirc",
    ".netrc",
    ".git-credentials",
    "store.pfx",
    "store.p12",
    "vault.kdbx",
    "terraform.tfstate",
    "infra/prod.tfstate.backup",
    "terraform.tfvars",
    ".kube/config",
    "secrets.yml",
    "windows\\style\\.env",
]

ORDINARY_PATHS = [
    "botocore/credentials.py",
    "docs/credentials.rst",
    "tests/test_service_account.py",
    "src/environment.py",
    "env.py",
    "id_rsa.pub",
    "keys.py",
    "key",
    "src/secrets.py",
    "tokens.json",
    "package.json",
    "pem.py",
    "docs/pem.key.md",
    "README.md",
    "terraform/main.tf",
]


@pytest.mark.parametrize("path", SECRET_PATHS)
def test_secret_files_are_known_by_their_names(path: str) -> None:
    assert is_secret_path(path)


@pytest.mark.parametrize("path", ORDINARY_PATHS)
def test_source_about_secrets_is_not_secret(path: str) -> None:
    assert not is_secret_path(path)


VALUE = "q7Hn2kfP9xLw3ZtB8vRc5MdY"
BODY = "\n".join(["MIIEpAIBAAKCAQEA7bq9Zk3R1mVx0nW8yKpQ2sT4uV6wX8yZ0aB2cD4eF6gH8iJ0"] * 4)

SECRETS = {
    "aws key id": "AKIA" + "Q3EGRIBBMXJ4VT5Z",
    "aws secret": "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzq8T2vLk9s",
    "github": "ghp_" + "a1B2c3D4e5" * 4,
    "github fine": "github_pat_" + "11ABCDEFG0" * 5,
    "gitlab": "glpat-" + "a1B2c3D4e5F6g7H8i9J0",
    "slack": "xoxb-123456789012-" + "a1B2c3D4e5F6",
    "slack hook": "https://hooks.slack.com/services/T0A1B2C3D/B0A1B2C3D/" + "a1B2c3D4" * 3,
    "stripe": "sk_live_" + "a1B2c3D4e5F6g7H8",
    "google": "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "npm": "npm_" + "a1B2c3D4e5F6" * 3,
    "hugging face": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "pypi": "pypi-AgE" + "IcHlwaS5vcmcCJDE3Nz" * 4,
    "openai": "sk-proj-" + "a1B2c3D4e5_" * 5,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV",
    "password": 'password = "v8Kq2mZx7Lr4Tn9W"',
    "api key": "API_KEY: str = 'f3a9c1d7e5b2084663af'",
    "json": '"client_secret": "Zk3R1mVx0nW8yKpQ2sT4"',
    "subscript": "app.config['SECRET_KEY'] = 'f3a9c1d7e5b2084663af'",
    "annotated": f'api_key: str | None = "{VALUE}"',
    "optional": f'api_key: Optional[str] = "{VALUE}"',
    "final": f'API_KEY: Final[str] = "{VALUE}"',
    "annotated twice": f'api_key: Annotated[str, Meta] = Field(default=SecretStr("{VALUE}"))',
    "field": f'api_key: str = Field(default="{VALUE}")',
    "triple quotes": f'API_KEY = """{VALUE}"""',
    "brackets": f'API_KEY = (\n    "{VALUE}"\n)',
    "backslash": f'password = \\\n    "{VALUE}"',
    "next line": f'"api_key":\n        "{VALUE}"',
    "f-string": f'API_KEY = f"{VALUE}"',
    "f-string with a hole": f'API_KEY = f"{{prefix}}{VALUE}"',
    "raw bytes": f"API_KEY = rb'{VALUE}'",
    "getenv": f'os.getenv("API_KEY", "{VALUE}")',
    "setdefault": f'os.environ.setdefault("API_KEY", "{VALUE}")',
    "get": f'settings.get("MY_API_KEY", default="{VALUE}")',
    "or": f'api_key = os.environ.get("API_KEY") or "{VALUE}"',
    "walrus": f'(token := "{VALUE}")',
    "header": f'{{"X-Api-Key": "{VALUE}"}}',
    "bearer": f'{{"Authorization": "Bearer {VALUE}"}}',
    "bearer alone": f'send("Bearer {VALUE}")',
    "authorization": f'headers["Authorization"] = f"Token {VALUE}"',
    "pass": f'DB_PASS = "{VALUE}"',
    "pwd": f'pwd = "{VALUE}"',
    "openrouter": "sk-or-v1-" + "a1b2c3d4" * 8,
    "angle brackets inside": f'SECRET_KEY = "a<{VALUE}>b"',
    "braces inside": 'SECRET_KEY = "x7!k(9$w2v{m}q3r5t8z1c4n6p0"',
    "url": "postgres://admin:v8Kq2mZx7Lr4@db.internal/prod",
    "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----",
    "pgp": f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{BODY}\n-----END PGP PRIVATE KEY BLOCK-----",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("sign", ["+", "-", " ", ""])
def test_secrets_in_a_diff_are_replaced(kind: str, sign: str) -> None:
    lines = ["before = 1", *SECRETS[kind].splitlines(), "after = 2"]
    text = "".join(f"{sign}{line}\n" for line in lines)
    clean, count = redact(text)
    assert count >= 1
    assert PLACEHOLDER in clean
    assert clean.startswith(f"{sign}before = 1\n")
    assert clean.endswith(f"{sign}after = 2\n")
    for word in SECRETS[kind].split():
        is_value = len(word) > 18 and any(c.isdigit() for c in word)
        assert not is_value or word.strip("\"'") not in clean
    assert redact(clean) == (clean, 0)


REPLACED = [
    ('password = "v8Kq2mZx" "7Lr4Tn9W"', 'password = "REDACTED" "REDACTED"'),
    ("KEYS['api_key']='v8Kq2mZx''7Lr4Tn9W'", "KEYS['api_key']='REDACTED''REDACTED'"),
    (
        "SECRET_KEY = (\n    'f3a9c1d7e5b2'\n    '084663af'\n    'x'\n)",
        "SECRET_KEY = (\n    'REDACTED'\n    'REDACTED'\n    'REDACTED'\n)",
    ),
    ("API_KEY = b'v8Kq2mZx' \\\n    rb'7Lr4Tn9W'", "API_KEY = b'REDACTED' \\\n    rb'REDACTED'"),
    (
        'os.getenv(\n    "API_KEY",\n    "v8Kq2mZx"\n    "7Lr4Tn9W",\n)',
        'os.getenv(\n    "API_KEY",\n    "REDACTED"\n    "REDACTED",\n)',
    ),
    (f'token = "{VALUE}" f"-{{user}}"', 'token = "REDACTED" f"REDACTED"'),
    ('get(url, auth=("user", "v3ryS3cret"))', 'get(url, auth=("user", "REDACTED"))'),
    ("crm_auth = ('Ann Lee', b'v3ryS3cret')", "crm_auth = ('Ann Lee', b'REDACTED')"),
    ('"auth": (settings.user["x"], "v3ryS3cret")', '"auth": (settings.user["x"], "REDACTED")'),
    (
        'CREDENTIALS: tuple[str, str] = ("u", "v3ryS3cret")',
        'CREDENTIALS: tuple[str, str] = ("u", "REDACTED")',
    ),
    (
        'auth=aiohttp.BasicAuth(\n    "user",\n    "v3ryS3cret",\n)',
        'auth=aiohttp.BasicAuth(\n    "user",\n    "REDACTED",\n)',
    ),
    (
        'session.auth = HTTPDigestAuth("u", "v3ryS3cret")',
        'session.auth = HTTPDigestAuth("u", "REDACTED")',
    ),
]


@pytest.mark.parametrize(("text", "expected"), REPLACED)
@pytest.mark.parametrize("sign", ["+", "-", " ", ""])
def test_each_part_of_a_joined_literal_and_the_password_of_a_pair_are_replaced(
    text: str, expected: str, sign: str
) -> None:
    shown, clean = (
        "".join(f"{sign}{line}\n" for line in one.split("\n")) for one in (text, expected)
    )
    assert redact(shown) == (clean, 1)
    assert redact(clean) == (clean, 0)


@pytest.mark.parametrize("cut", ["head", "tail"])
def test_half_a_private_key_in_a_hunk_is_replaced(cut: str) -> None:
    whole = [f"+{line}" for line in SECRETS["private key"].splitlines()]
    lines = whole[:-2] if cut == "head" else whole[1:]
    clean, count = redact("+x = 1\n" + "\n".join(lines) + "\n+y = 2\n")
    assert count == 1
    assert "MIIE" not in clean
    assert clean.startswith("+x = 1\n")
    assert clean.endswith("+y = 2\n")


ORDINARY_TEXT = [
    'password = "correct horse"',
    'password = os.environ["DATABASE_PASSWORD_PRODUCTION_1"]',
    'token = "{{ github_token_2024_value }}"',
    'api_key = "your-api-key-goes-here-1"',
    'secret_key = "changeme-changeme-1234"',
    'SECRET = "aaaaaaaaaaaaaaaaaaaa1"',
    'url = "postgres://scott:tiger@localhost/test"',
    'url = "https://user:${PASSWORD_1}@host"',
    'token_type = "application/x-www-form-urlencoded"',
    'commit = "f4290b8a3c1d7e5b2084663af9c1d7e5b2084663"',
    'PRIVATE_KEY_HEADER = "-----BEGIN RSA PRIVATE KEY-----"',
    "index 8d950c3..82cea09 100644",
    'token = "<token-of-user-12345>"',
    'token = "{kind_of_token_1}-{name_of_user_2}"',
    'token = f"{settings.PREFIX_2_OF_TOKENS["a"]}"',
    'headers = {"Authorization": f"Bearer {self.tokens_of_user_1}"}',
    'def answer(token: str, model="large-model-2024-05-13"): ...',
    'NAMES = [("higgs_audio_token2wav", "HiggsAudioV2Tokens")]',
    '"tokens": ("HiggsAudioV2Tokens", "HiggsAudioV2Other")',
    'needs = {"secret_store": "secret_store>=0.23.1,<0.24.0"}',
    'tokenizer_class = "HiggsAudioV2TokenizerFast"',
    '# of "tokens" OR "m1.encoder.embed_tokens"',
    'bypass = "k3y-of-nothing-9a8b7c"',
    'sk-learn = "sk-learn-contrib-project-templates"',
    'primary_key = models.CharField("identifier_of_model_1")',
    'colours = ("v8Kq2mZx" "7Lr4Tn9W")',
    'password = "correct-horse-" "battery-staple"',
    'token = ("v8Kq2mZx" "7Lr4Tn9W", "name-of-it")',
    'passwd_pattern = (r"^(?=.{8,64}$)(?=.*[A-Z])" r"(?=.*[a-z])")',
    'authors = ("Jane", "JaneDoe1234")',
    'auth = ("user", "password")',
    'auth = ("user", "{password_of_user_1}")',
    '"auth": ("basic", "bearer", "digest2fa")',
    'extras = {"auth": ("django", "pyjwt>=2.0")}',
    'check_auth("GET", "/v1/secrets")',
    'auth = ("user", decrypted("v3ryS3cret"))',
]


@pytest.mark.parametrize("text", ORDINARY_TEXT)
def test_ordinary_code_is_left_alone(text: str) -> None:
    assert redact(f"+{text}\n") == (f"+{text}\n", 0)


HOSTILE = {
    "lines of a key in a diff": "x = 'PRIVATE KEY'\n" + f"+{'A' * 40}\n" * 5_000,
    "such lines and an end apart": f"+{'A' * 40}\n" * 5_000 + "x -----END PRIVATE KEY-----\n",
    "first lines of keys": "-----BEGIN RSA PRIVATE KEY-----\n" * 5_000,
    "last lines of keys": "-----END RSA PRIVATE KEY-----\n" * 5_000,
    "beginnings of web tokens": "x.eyJ " + "-eyJ" * 100_000,
    "names without a value": "token = " * 20_000,
    "parts of a literal": "token = " + '"a1" ' * 100_000,
    "parts on lines": '"a1"\n' + ("+" + " " * 60 + '"a1"\n') * 20_000,
    "pairs without an end": 'auth = ("user", "v3ryS3cret",\n' * 20_000,
    "literals above white space": ('"v3ryS3cret"' + "\n" + " " * 90) * 10_000 + "auth",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_long_text_that_nearly_holds_a_secret_is_read_to_its_end(kind: str) -> None:
    assert redact(HOSTILE[kind]) == (HOSTILE[kind], 0)


def test_a_key_of_many_lines_is_replaced_whole_or_by_its_end() -> None:
    body = f"+{'A' * 64}\n" * 150
    whole = f"+-----BEGIN PRIVATE KEY-----\n{body}+-----END PRIVATE KEY-----\n"
    assert redact(whole) == (f"+{PLACEHOLDER}\n", 1)
    end = f"+x = 1\n{body}+-----END PRIVATE KEY-----\n+y = 2\n"
    assert redact(end) == (f"+x = 1\n{PLACEHOLDER}\n+y = 2\n", 1)


def test_a_web_token_behind_another_name_is_replaced() -> None:
    token = SECRETS["jwt"]
    assert redact(f"a.eyJ.{token} -{token}") == (f"a.eyJ.{PLACEHOLDER} -{PLACEHOLDER}", 2)

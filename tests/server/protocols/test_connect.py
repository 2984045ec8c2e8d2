"""The settings that ``connect`` prints: run where they can be, else read as by their client."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from server_fakes import FakeBackend

from mlx_magistral.cli.clients import CLIENTS
from mlx_magistral.cli.main import main
from mlx_magistral.server.guard import Rules

from .conftest import serving

ROOT = "http://127.0.0.1:9000"


def shown(name: str, port: int = 9000) -> str:
    flags = ["connect", name, "--port", str(port), "--api-key", "secret", "--model", "mine"]
    result = CliRunner().invoke(main, flags)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def exported(text: str) -> dict[str, str]:
    """What a shell would export."""
    return dict(re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE))


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("//"))


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_gets_address_and_key(name: str) -> None:
    assert ROOT in shown(name) and "secret" in shown(name)


@pytest.mark.parametrize("name", ["openai", "anthropic", "curl"])
def test_what_is_printed_runs_as_it_is(name: str, fake: FakeBackend) -> None:
    if name == "curl" and shutil.which("curl") is None:
        pytest.skip("needs curl")
    with serving(fake, Rules(api_key="secret")) as url:
        text = shown(name, int(url.rpartition(":")[2]))
        command = ["sh", "-c", text] if name == "curl" else [sys.executable, "-c", text]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "85" in result.stdout and len(fake.requests) == 1


def test_claude_code() -> None:
    text = shown("claude-code")
    found = exported(text)
    # Without /v1: the client adds /v1/messages. A key of its own would go before the token.
    assert found["ANTHROPIC_BASE_URL"] == ROOT and found["ANTHROPIC_AUTH_TOKEN"] == "secret"
    assert "unset ANTHROPIC_API_KEY" in text
    tiers = ("MODEL", *(f"DEFAULT_{tier}_MODEL" for tier in ("OPUS", "SONNET", "HAIKU")))
    assert {found[f"ANTHROPIC_{tier}"] for tier in tiers} == {"mine"}
    assert text.splitlines()[-1] == "claude"


def test_aider_and_open_webui() -> None:
    found = exported(shown("aider"))
    assert found == {"OPENAI_API_BASE": f"{ROOT}/v1", "OPENAI_API_KEY": "secret"}
    assert "aider --model openai/mine" in shown("aider")
    found = exported(shown("open-webui"))
    assert found["OPENAI_API_BASE_URL"] == f"{ROOT}/v1" and found["OPENAI_API_KEY"] == "secret"


def test_continue() -> None:
    config = yaml.safe_load(shown("continue"))
    assert {"name", "version", "schema"} <= config.keys() and config["schema"] == "v1"
    [model] = config["models"]
    assert model["provider"] == "openai" and model["model"] == "mine"
    assert model["apiBase"] == f"{ROOT}/v1" and model["apiKey"] == "secret"
    assert set(model["roles"]) <= {"chat", "edit", "apply"}


def test_zed() -> None:
    text = shown("zed")
    [(name, provider)] = json.loads(without_comments(text))["language_models"][
        "openai_compatible"
    ].items()
    assert provider["api_url"] == f"{ROOT}/v1"
    # Zed makes the variable's name of the provider's.
    assert f"{name.upper()}_API_KEY=secret" in text
    [model] = provider["available_models"]
    assert model["name"] == "mine" and model["max_tokens"] == 40960
    assert model["capabilities"]["tools"] and not model["capabilities"]["images"]


def test_opencode() -> None:
    config = json.loads(without_comments(shown("opencode")))
    [(name, provider)] = config["provider"].items()
    assert provider["npm"] == "@ai-sdk/openai-compatible"
    assert provider["options"] == {"baseURL": f"{ROOT}/v1", "apiKey": "secret"}
    assert config["model"] == f"{name}/mine" and "mine" in provider["models"]


def test_llm() -> None:
    [model] = yaml.safe_load(shown("llm"))
    assert model["model_name"] == "mine" and model["api_base"] == f"{ROOT}/v1"
    # Its own OpenAI key is not sent elsewhere: the server's has a name.
    assert f"llm keys set {model['api_key_name']} --value secret" in shown("llm")


def test_the_list_and_an_unknown_one() -> None:
    assert CliRunner().invoke(main, ["connect"]).stdout.split() == list(CLIENTS)
    unknown = CliRunner().invoke(main, ["connect", "emacs"])
    assert unknown.exit_code == 2 and "emacs" in unknown.stderr

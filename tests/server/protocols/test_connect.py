"""The settings that ``connect`` prints: run where they can be, else read as by their client."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from server_fakes import FakeBackend

from mlx_magistral.cli.client_run import context_of
from mlx_magistral.cli.clients import CLIENTS
from mlx_magistral.cli.main import main
from mlx_magistral.server.guard import Rules
from mlx_magistral.server.uvicorn_server import bind

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


def test_settings_have_the_context_of_the_server_that_runs(fake: FakeBackend) -> None:
    fake.context_tokens = 12_345
    with serving(fake) as url:
        port = int(url.rpartition(":")[2])
        assert exported(shown("claude-code", port))["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "12345"
        model = json.loads(without_comments(shown("opencode", port)))["provider"]["magistral"]
        # An agent keeps a reply's length free: with most of the context it would have no room.
        assert model["models"]["mine"]["limit"] == {"context": 12_345, "output": 3_086}
    assert exported(shown("claude-code"))["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "40960"


def test_a_server_whose_model_has_several_names_is_one_of_ours(fake: FakeBackend) -> None:
    fake.context_tokens = 12_345
    fake.model_names = ["m", "m:poet"]
    with serving(fake) as url:
        assert context_of(url, "none") == 12_345


def test_codex_qwen_and_pi_read_as_their_formats() -> None:
    config = tomllib.loads(shown("codex"))
    provider = config["model_providers"][config["model_provider"]]
    assert provider["base_url"] == f"{ROOT}/v1" and provider["wire_api"] == "responses"
    assert f"{provider['env_key']}=secret" in shown("codex")
    assert exported(shown("qwen-code"))["OPENAI_BASE_URL"] == f"{ROOT}/v1"
    pi = json.loads(without_comments(shown("pi")))["providers"]["magistral"]
    assert pi["baseUrl"] == f"{ROOT}/v1" and pi["models"][0]["id"] == "mine"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for codex on the PATH: it says what it was started with."""
    path = tmp_path / "bin" / "codex"
    path.parent.mkdir()
    code = "import json, os, sys, urllib.request\n"
    code += "folder = os.environ['CODEX_HOME']\n"
    code += "config = open(folder + '/config.toml').read()\n"
    code += "print(json.dumps([folder, os.environ['MAGISTRAL_API_KEY'], config, sys.argv[1:]]))\n"
    code += "sys.exit(7)\n"
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("MLX_MAGISTRAL_PROFILES", str(tmp_path / "profiles"))
    return path


def run(*flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mlx_magistral", "connect", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_run_starts_the_client_in_a_profile_of_its_own(
    program: Path, fake: FakeBackend, tmp_path: Path
) -> None:
    with serving(fake, Rules(api_key="secret")) as url:
        flags = ["--port", url.rpartition(":")[2], "--api-key", "secret"]
        done = run("codex", "--run", *flags, "--", "exec", "--json", "hi")
        wrong = run("codex", "--run", *flags[:2], "--api-key", "other")
    assert done.returncode == 7 and done.stderr == ""
    folder, key, config, arguments = json.loads(done.stdout)
    assert Path(folder) == tmp_path / "profiles" / "codex" and key == "secret"
    assert tomllib.loads(config)["model_context_window"] == fake.context_tokens
    assert arguments == ["exec", "--json", "hi"]
    assert (Path(folder) / "config.toml").stat().st_mode & 0o077 == 0
    assert wrong.returncode == 1 and "wants another API key" in wrong.stderr


def test_run_starts_a_server_where_none_runs_and_ends_it(program: Path) -> None:
    with bind("127.0.0.1", 0) as free:
        port = str(free.getsockname()[1])
    done = run("codex", "--run", "--serve", "nano", "--port", port)
    assert done.returncode == 7 and "starting one" in done.stderr
    assert tomllib.loads(json.loads(done.stdout)[2])["model_context_window"] > 0
    with bind("127.0.0.1", int(port)):
        pass  # nobody listens there


def test_run_says_what_is_missing(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = CliRunner().invoke(main, ["connect", "openai", "--run"])
    assert refused.exit_code == 2 and "claude-code, codex" in refused.stderr
    refused = CliRunner().invoke(main, ["connect", "codex", "exec"])
    assert refused.exit_code == 2 and "add --run" in refused.stderr
    monkeypatch.setenv("PATH", "")
    refused = CliRunner().invoke(main, ["connect", "codex", "--run"])
    assert refused.exit_code == 1 and "codex is not installed" in refused.stderr

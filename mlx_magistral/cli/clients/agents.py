"""Coding agents. Each one's settings are those that scripts/checks/clients.py runs it with.

Sources: claude-code: LLM gateway configuration, settings; codex: config reference; opencode:
providers, config; continue: config.yaml reference; qwen-code: configuration; pi: custom models;
mistral-vibe: README; cline: its own settings files; aider: OpenAI compatible APIs.
"""

from mlx_magistral.cli.clients.settings import ClientSettings, exports

_CLAUDE = {
    "ANTHROPIC_BASE_URL": "$url",
    "ANTHROPIC_AUTH_TOKEN": "$key",
    "ANTHROPIC_MODEL": "$model",
    "ANTHROPIC_DEFAULT_OPUS_MODEL": "$model",
    "ANTHROPIC_DEFAULT_SONNET_MODEL": "$model",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL": "$model",
    "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "$context",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "$output",
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}

_CODEX = """\
model = "$model"
model_provider = "magistral"
model_context_window = $context
check_for_update_on_startup = false

[model_providers.magistral]
name = "Magistral"
base_url = "$url/v1"
env_key = "MAGISTRAL_API_KEY"
wire_api = "responses"

[analytics]
enabled = false

[features]
plugins = false
apps = false
"""

_OPENCODE = """\
{
  "$$schema": "https://opencode.ai/config.json",
  "autoupdate": false,
  "share": "disabled",
  "provider": {
    "magistral": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "Magistral",
      "options": { "baseURL": "$url/v1", "apiKey": "$key" },
      "models": {
        "$model": {
          "name": "Magistral",
          "reasoning": true,
          "tool_call": true,
          "limit": { "context": $context, "output": $output }
        }
      }
    }
  },
  "model": "magistral/$model",
  "small_model": "magistral/$model"
}
"""

_CONTINUE = """\
name: Local
version: 1.0.0
schema: v1
models:
  - name: Magistral
    provider: openai
    model: $model
    apiBase: $url/v1
    apiKey: $key
    roles: [chat, edit, apply]
    capabilities: [tool_use]
    defaultCompletionOptions:
      contextLength: $context
      maxTokens: $output
"""

_QWEN = {
    "OPENAI_BASE_URL": "$url/v1",
    "OPENAI_API_KEY": "$key",
    "OPENAI_MODEL": "$model",
}
_QWEN_SETTINGS = """\
{
  "general": { "disableAutoUpdate": true },
  "privacy": { "usageStatisticsEnabled": false },
  "model": { "generationConfig": { "contextWindowSize": $context } }
}
"""

_PI = """\
{
  "providers": {
    "magistral": {
      "baseUrl": "$url/v1",
      "api": "openai-completions",
      "apiKey": "$key",
      "models": [
        {
          "id": "$model",
          "name": "Magistral",
          "reasoning": true,
          "contextWindow": $context,
          "maxTokens": $output
        }
      ]
    }
  }
}
"""
_PI_COMMAND = ("pi", "--provider", "magistral", "--model", "$model")

_CLINE_PROVIDERS = """\
{
  "version": 1,
  "lastUsedProvider": "openai-compatible",
  "modes": {},
  "providers": {
    "openai-compatible": {
      "settings": {
        "provider": "openai-compatible",
        "apiKey": "$key",
        "model": "$model",
        "baseUrl": "$url/v1"
      },
      "updatedAt": "2026-01-01T00:00:00.000Z",
      "tokenSource": "manual"
    }
  }
}
"""
_CLINE_COMMAND = ("cline", "-P", "openai-compatible", "-m", "$model")

_VIBE = """\
active_model = "magistral"
enable_telemetry = false
enable_update_checks = false
enable_auto_update = false

[[providers]]
name = "magistral"
api_base = "$url/v1"
api_key_env_var = "MAGISTRAL_API_KEY"
api_style = "openai"
backend = "generic"
reasoning_field_name = "reasoning_content"

[[models]]
name = "$model"
provider = "magistral"
alias = "magistral"
temperature = 0.7
thinking = "high"
max_context_length = $context
max_output_tokens = $output
"""

_AIDER = {"OPENAI_API_BASE": "$url/v1", "OPENAI_API_KEY": "$key"}
_AIDER_COMMAND = ("aider", "--model", "openai/$model", "--no-show-model-warnings")

AGENTS = {
    "claude-code": ClientSettings(
        "unset ANTHROPIC_API_KEY  # it would go before the token\n" + exports(_CLAUDE, "claude"),
        ("claude",),
        {**_CLAUDE, "CLAUDE_CONFIG_DIR": "$profile"},
        ("ANTHROPIC_API_KEY",),
    ),
    "codex": ClientSettings(
        f"# ~/.codex/config.toml, or config.toml in the folder that CODEX_HOME names\n{_CODEX}"
        "# export MAGISTRAL_API_KEY=$key\n# codex",
        ("codex",),
        {"MAGISTRAL_API_KEY": "$key", "CODEX_HOME": "$profile"},
        files={"config.toml": _CODEX},
    ),
    "opencode": ClientSettings(
        f"// opencode.json of a project, or ~/.config/opencode/opencode.json\n{_OPENCODE}",
        ("opencode",),
        {
            "OPENCODE_CONFIG": "$profile/opencode.json",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "XDG_CONFIG_HOME": "$profile/config",
            "XDG_DATA_HOME": "$profile/data",
            "XDG_STATE_HOME": "$profile/state",
        },
        files={"opencode.json": _OPENCODE},
    ),
    "continue": ClientSettings(
        f"# ~/.continue/config.yaml, or for the program: cn --config FILE\n{_CONTINUE}",
        ("cn", "--config", "$profile/config.yaml"),
        {"CONTINUE_GLOBAL_DIR": "$profile", "CONTINUE_TELEMETRY_ENABLED": "0"},
        files={"config.yaml": _CONTINUE},
    ),
    "qwen-code": ClientSettings(
        exports(_QWEN, "qwen --auth-type openai")
        + f"\n# ~/.qwen/settings.json, for the length of the context:\n{_QWEN_SETTINGS}",
        ("qwen", "--auth-type", "openai"),
        {**_QWEN, "QWEN_HOME": "$profile"},
        files={"settings.json": _QWEN_SETTINGS},
    ),
    "pi": ClientSettings(
        f"// ~/.pi/agent/models.json\n{_PI}// {' '.join(_PI_COMMAND)}",
        _PI_COMMAND,
        {"PI_CODING_AGENT_DIR": "$profile", "PI_OFFLINE": "1"},
        files={"models.json": _PI},
    ),
    "cline": ClientSettings(
        "cline auth -p openai -k $key -m $model -b $url/v1\n" + " ".join(_CLINE_COMMAND),
        (*_CLINE_COMMAND, "--data-dir", "$profile"),
        files={
            "settings/providers.json": _CLINE_PROVIDERS,
            "settings/global-settings.json": (
                '{ "telemetryOptOut": true, "autoUpdateEnabled": false }\n'
            ),
        },
    ),
    "mistral-vibe": ClientSettings(
        f"# ~/.vibe/config.toml, or config.toml in the folder that VIBE_HOME names\n{_VIBE}"
        "# export MAGISTRAL_API_KEY=$key\n# vibe",
        ("vibe",),
        {"MAGISTRAL_API_KEY": "$key", "VIBE_HOME": "$profile"},
        files={"config.toml": _VIBE},
    ),
    "aider": ClientSettings(
        exports(_AIDER, " ".join(_AIDER_COMMAND)),
        (*_AIDER_COMMAND, "--analytics-disable", "--no-check-update"),
        _AIDER,
    ),
}

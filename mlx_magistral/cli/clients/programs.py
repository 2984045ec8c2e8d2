"""Other programs. zed: API access, OpenAI-compatible providers; llm: OpenAI-compatible models;
open-webui: environment configuration."""

from mlx_magistral.cli.clients.settings import ClientSettings, exports

_ZED = """\
// settings.json; the key goes into the environment: MAGISTRAL_API_KEY=$key
{
  "language_models": {
    "openai_compatible": {
      "Magistral": {
        "api_url": "$url/v1",
        "available_models": [
          {
            "name": "$model",
            "display_name": "Magistral",
            "max_tokens": $context,
            "max_output_tokens": $output,
            "capabilities": {
              "tools": true,
              "images": false,
              "parallel_tool_calls": true,
              "prompt_cache_key": false
            }
          }
        ]
      }
    }
  }
}"""

_LLM = """\
- model_id: $model
  model_name: $model
  api_base: "$url/v1"
  api_key_name: magistral
  reasoning: true
  supports_schema: true
  supports_tools: true
"""

_WEBUI = {
    "OPENAI_API_BASE_URL": "$url/v1",
    "OPENAI_API_KEY": "$key",
    "ENABLE_OLLAMA_API": "false",
}
_WEBUI_COMMAND = ("open-webui", "serve", "--port", "3000")

PROGRAMS = {
    "zed": ClientSettings(_ZED),
    "llm": ClientSettings(
        '# extra-openai-models.yaml in the folder that this prints: dirname "$$(llm logs path)"\n'
        f"# The key, once: llm keys set magistral --value $key\n{_LLM}",
        ("llm", "chat", "-m", "$model"),
        {"LLM_USER_PATH": "$profile"},
        files={"extra-openai-models.yaml": _LLM, "keys.json": '{"magistral": "$key"}\n'},
    ),
    "open-webui": ClientSettings(
        exports(_WEBUI, " ".join(_WEBUI_COMMAND)),
        _WEBUI_COMMAND,
        # Without the last it goes on with the address that it was first started with.
        {**_WEBUI, "DATA_DIR": "$profile", "ENABLE_PERSISTENT_CONFIG": "false"},
    ),
}

"""The settings of common clients, each as its own documentation has them.

openai, anthropic: their READMEs. claude-code: LLM gateway configuration. aider: OpenAI compatible
APIs. continue: config.yaml reference. zed: API access, OpenAI-compatible providers. opencode:
providers. llm: OpenAI-compatible models. open-webui: environment configuration.
"""

# {url} is the server's root, {key} what stands where a key goes, {model} the model's name.
CLIENTS = {
    "openai": """\
from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
reply = client.chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "What is 37 + 48?"}}]
)
print(reply.choices[0].message.content)""",
    "anthropic": """\
from anthropic import Anthropic

client = Anthropic(base_url="{url}", api_key="{key}")
reply = client.messages.create(
    model="{model}",
    max_tokens=4096,
    messages=[{{"role": "user", "content": "What is 37 + 48?"}}],
)
print(reply.content[-1].text)""",
    "curl": """\
curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "What is 37 + 48?"}}]}}'""",
    "claude-code": """\
unset ANTHROPIC_API_KEY  # it would go before the token
export ANTHROPIC_BASE_URL={url}
export ANTHROPIC_AUTH_TOKEN={key}
export ANTHROPIC_MODEL={model}
export ANTHROPIC_DEFAULT_OPUS_MODEL={model}
export ANTHROPIC_DEFAULT_SONNET_MODEL={model}
export ANTHROPIC_DEFAULT_HAIKU_MODEL={model}
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
claude""",
    "aider": """\
export OPENAI_API_BASE={url}/v1
export OPENAI_API_KEY={key}
aider --model openai/{model} --no-show-model-warnings""",
    "continue": """\
# ~/.continue/config.yaml
name: Local
version: 1.0.0
schema: v1
models:
  - name: Magistral
    provider: openai
    model: {model}
    apiBase: {url}/v1
    apiKey: {key}
    roles: [chat, edit, apply]
    capabilities: [tool_use]""",
    "zed": """\
// settings.json; the key goes into the environment: MAGISTRAL_API_KEY={key}
{{
  "language_models": {{
    "openai_compatible": {{
      "Magistral": {{
        "api_url": "{url}/v1",
        "available_models": [
          {{
            "name": "{model}",
            "display_name": "Magistral",
            "max_tokens": 40960,
            "capabilities": {{
              "tools": true,
              "images": false,
              "parallel_tool_calls": true,
              "prompt_cache_key": false
            }}
          }}
        ]
      }}
    }}
  }}
}}""",
    "opencode": """\
// opencode.json of a project, or ~/.config/opencode/opencode.json
{{
  "$schema": "https://opencode.ai/config.json",
  "provider": {{
    "magistral": {{
      "npm": "@ai-sdk/openai-compatible",
      "name": "Magistral",
      "options": {{ "baseURL": "{url}/v1", "apiKey": "{key}" }},
      "models": {{
        "{model}": {{
          "name": "Magistral",
          "limit": {{ "context": 40960, "output": 32768 }}
        }}
      }}
    }}
  }},
  "model": "magistral/{model}"
}}""",
    "llm": """\
# extra-openai-models.yaml in the folder that this prints: dirname "$(llm logs path)"
# The key, once: llm keys set magistral --value {key}
- model_id: {model}
  model_name: {model}
  api_base: "{url}/v1"
  api_key_name: magistral
  supports_tools: true""",
    "open-webui": """\
export OPENAI_API_BASE_URL={url}/v1
export OPENAI_API_KEY={key}
export ENABLE_OLLAMA_API=false
open-webui serve --port 3000""",
}

"""``mlx-magistral connect``: the settings that connect a client to a running server."""

import click

from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import UsageError

# {url} is the server's root, {key} what stands where a key goes, {model} the model's name.
_CLIENTS = {
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
export ANTHROPIC_BASE_URL={url}
export ANTHROPIC_AUTH_TOKEN={key}
export ANTHROPIC_MODEL={model}
export ANTHROPIC_DEFAULT_HAIKU_MODEL={model}
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
claude""",
    "aider": """\
export OPENAI_API_BASE={url}/v1
export OPENAI_API_KEY={key}
aider --model openai/{model}""",
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
}


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in _CLIENTS if name.startswith(incomplete)]


@click.command()
@click.argument("name", required=False, shell_complete=_complete)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the server listens.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--api-key", help="The server's key, printed where the client wants it.")
@click.option("--model", "-m", default="magistral", show_default=True, help="Name to send.")
@debug_option
def command(name: str | None, host: str, port: int, api_key: str | None, model: str) -> None:
    """Print what to set in the client NAME; without NAME, the clients there are.

    The server answers whatever model a client names, so any name will do.

    \b
      mlx-magistral connect openai
      mlx-magistral connect claude-code --port 9000
    """
    if name is None:
        click.echo("\n".join(_CLIENTS))
        return
    if name not in _CLIENTS:
        raise UsageError(f"There are no settings for {name!r}. Known are {', '.join(_CLIENTS)}.")
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    click.echo(_CLIENTS[name].format(url=url, key=api_key or "none", model=model))

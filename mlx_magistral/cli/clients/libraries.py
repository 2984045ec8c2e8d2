"""Libraries and bare HTTP: a first request to copy. openai, anthropic, mistralai: their READMEs."""

from mlx_magistral.cli.clients.settings import ClientSettings

_OPENAI = """\
from openai import OpenAI

client = OpenAI(base_url="$url/v1", api_key="$key")
reply = client.chat.completions.create(
    model="$model", messages=[{"role": "user", "content": "What is 37 + 48?"}]
)
print(reply.choices[0].message.content)"""

_ANTHROPIC = """\
from anthropic import Anthropic

client = Anthropic(base_url="$url", api_key="$key")
reply = client.messages.create(
    model="$model",
    max_tokens=4096,
    messages=[{"role": "user", "content": "What is 37 + 48?"}],
)
print(reply.content[-1].text)"""

_CURL = """\
curl $url/v1/chat/completions \\
  -H "Authorization: Bearer $key" -H "Content-Type: application/json" \\
  -d '{"model": "$model", "messages": [{"role": "user", "content": "What is 37 + 48?"}]}'"""

LIBRARIES = {
    "openai": ClientSettings(_OPENAI),
    "anthropic": ClientSettings(_ANTHROPIC),
    "curl": ClientSettings(_CURL),
}

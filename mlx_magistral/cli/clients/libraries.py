"""Libraries and bare HTTP: a first request to copy, each as its own README has it.

scripts/checks/clients.py runs each of them with the library itself, for its plain turn.
"""

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

_MISTRALAI = """\
from mistralai.client import Mistral

client = Mistral(server_url="$url", api_key="$key")
reply = client.chat.complete(
    model="$model", messages=[{"role": "user", "content": "What is 37 + 48?"}]
)
print(reply.choices[0].message.content)"""

_LITELLM = """\
import litellm

reply = litellm.completion(
    model="openai/$model",
    api_base="$url/v1",
    api_key="$key",
    messages=[{"role": "user", "content": "What is 37 + 48?"}],
)
print(reply.choices[0].message.content)"""

_LANGCHAIN_OPENAI = """\
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="$model", base_url="$url/v1", api_key="$key")
print(model.invoke("What is 37 + 48?").text)"""

_LANGCHAIN_ANTHROPIC = """\
from langchain_anthropic import ChatAnthropic

model = ChatAnthropic(model="$model", base_url="$url", api_key="$key", max_tokens=$output)
print(model.invoke("What is 37 + 48?").text)"""

_LANGCHAIN_MISTRALAI = """\
from langchain_mistralai import ChatMistralAI

model = ChatMistralAI(model="$model", endpoint="$url/v1", api_key="$key")
print(model.invoke("What is 37 + 48?").text)"""

_PYDANTIC_AI = """\
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url="$url/v1", api_key="$key")
agent = Agent(OpenAIChatModel("$model", provider=provider))
print(agent.run_sync("What is 37 + 48?").output)"""

_INSTRUCTOR = """\
import instructor
from openai import OpenAI
from pydantic import BaseModel


class Answer(BaseModel):
    text: str


client = instructor.from_openai(OpenAI(base_url="$url/v1", api_key="$key"))
reply = client.chat.completions.create(
    model="$model",
    response_model=Answer,
    messages=[{"role": "user", "content": "What is 37 + 48?"}],
)
print(reply.text)"""

_OPENAI_AGENTS = """\
from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
client = AsyncOpenAI(base_url="$url/v1", api_key="$key")
model = OpenAIResponsesModel(model="$model", openai_client=client)
agent = Agent(name="Assistant", model=model)
print(Runner.run_sync(agent, "What is 37 + 48?").final_output)"""

_AUTOGEN = """\
import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

client = OpenAIChatCompletionClient(
    model="$model",
    base_url="$url/v1",
    api_key="$key",
    model_info={
        "vision": False,
        "function_calling": True,
        "json_output": True,
        "structured_output": True,
        "family": "unknown",
    },
)
agent = AssistantAgent("assistant", client)
result = asyncio.run(agent.run(task="What is 37 + 48?"))
print(result.messages[-1].to_text())"""

LIBRARIES = {
    "openai": ClientSettings(_OPENAI),
    "anthropic": ClientSettings(_ANTHROPIC),
    "curl": ClientSettings(_CURL),
    "mistralai": ClientSettings(_MISTRALAI),
    "litellm": ClientSettings(_LITELLM),
    "langchain-openai": ClientSettings(_LANGCHAIN_OPENAI),
    "langchain-anthropic": ClientSettings(_LANGCHAIN_ANTHROPIC),
    "langchain-mistralai": ClientSettings(_LANGCHAIN_MISTRALAI),
    "pydantic-ai": ClientSettings(_PYDANTIC_AI),
    "instructor": ClientSettings(_INSTRUCTOR),
    "openai-agents": ClientSettings(_OPENAI_AGENTS),
    "autogen": ClientSettings(_AUTOGEN),
}

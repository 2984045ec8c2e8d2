"""Python libraries: each drives one of drivers/ in an environment of its own."""

import json
from pathlib import Path

from mlx_magistral.cli.clients import CLIENTS

from .cases import PROMPTS
from .running import KEY, Client, Command, Place, server_of

# What the first requests that ``connect`` prints ask.
_QUESTION = "What is 37 + 48?"
_DRIVERS = Path(__file__).parent / "drivers"
# pydantic-ai, autogen and the agents' library report to nobody; litellm and langchain are told so.
_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "ANONYMIZED_TELEMETRY": "false",
}


def _library(
    name: str,
    driver: str,
    *packages: str,
    more: tuple[str, ...] = (),
    leaves_out: tuple[str, ...] = (),
) -> Client:
    def ask(place: Place, case: str, goes_on: bool) -> Command:
        prompts = {**PROMPTS, "two": PROMPTS["plain"]}
        environment = {
            "CHECK_URL": place.url,
            "CHECK_KEY": KEY,
            "CHECK_PROMPTS": json.dumps(prompts),
            **_QUIET,
        }
        python = str(place.folder / "venv/bin/python")
        if case == "plain" and name in CLIENTS:
            printed = server_of(place).fill(CLIENTS[name].text)
            assert _QUESTION in printed
            asking = printed.replace(_QUESTION, PROMPTS["plain"])
            return Command([python, "-c", asking], environment)
        return Command([python, str(_DRIVERS / f"{driver}.py"), case, *more], environment)

    return Client(name, packages, (packages[0],), ask, leaves_out=leaves_out, has_own_turns=True)


LIBRARIES = [
    _library("openai", "openai_chat", "openai"),
    _library("openai-responses", "openai_responses", "openai"),
    _library("anthropic", "anthropic_messages", "anthropic"),
    _library("mistralai", "mistral_sdk", "mistralai"),
    _library("litellm", "litellm_sdk", "litellm"),
    _library("langchain-openai", "langchain_chat", "langchain-openai", more=("openai",)),
    _library("langchain-anthropic", "langchain_chat", "langchain-anthropic", more=("anthropic",)),
    _library("langchain-mistralai", "langchain_chat", "langchain-mistralai", more=("mistralai",)),
    _library("pydantic-ai", "pydantic_ai_agent", "pydantic-ai-slim", "pydantic-ai-slim[openai]"),
    _library("instructor", "instructor_sdk", "instructor", leaves_out=("tool", "error")),
    _library("openai-agents", "openai_agents", "openai-agents", more=("responses",)),
    _library("openai-agents-chat", "openai_agents", "openai-agents", more=("chat",)),
    _library("autogen", "autogen_agent", "autogen-agentchat", "autogen-ext[openai]"),
]

"""autogen: an assistant with a tool, whose messages carry names."""

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from common import KEY, MODEL, URL, add, run

INFO = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",
}


def assistant(tools=()):
    client = OpenAIChatCompletionClient(
        model=MODEL, base_url=f"{URL}/v1", api_key=KEY, model_info=INFO, max_retries=0
    )
    return AssistantAgent("helper", client, tools=list(tools), reflect_on_tool_use=bool(tools))


def ask(agent, *prompts):
    async def talk():
        for prompt in prompts:
            result = await agent.run(task=prompt)
        return result.messages[-1].to_text()

    return asyncio.run(talk())


def answer(prompt):
    return ask(assistant(), prompt)


def with_tool(prompt):
    return ask(assistant([add]), prompt)


def two_turns(first, second):
    return ask(assistant(), first, second)


run(answer, with_tool, two_turns)

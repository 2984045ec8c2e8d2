"""pydantic-ai: an agent with a tool."""

from common import KEY, MODEL, URL, add, run
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY))
agent = Agent(model, instructions="Be brief.")
calculating = Agent(model)


@calculating.tool_plain(name="add")
def adding(a: int, b: int) -> str:
    """Add two numbers."""
    try:
        return add(a, b)
    except ValueError as error:
        raise ModelRetry(str(error)) from error


def answer(prompt):
    return agent.run_sync(prompt).output


def with_tool(prompt):
    return calculating.run_sync(prompt).output


def two_turns(first, second):
    begun = agent.run_sync(first)
    return agent.run_sync(second, message_history=begun.all_messages()).output


run(answer, with_tool, two_turns)

"""openai-agents, on the protocol that the second argument names."""

import sys

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from common import KEY, MODEL, URL, add, run
from openai import AsyncOpenAI

set_tracing_disabled(True)
kind = OpenAIChatCompletionsModel if sys.argv[2] == "chat" else OpenAIResponsesModel
client = AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
model = kind(model=MODEL, openai_client=client)
agent = Agent(name="Brief", instructions="Be brief.", model=model)
# By itself it keeps what an error says from the model.
adding = function_tool(add, failure_error_function=lambda context, error: f"Error: {error}")
calculating = Agent(name="Adder", model=model, tools=[adding])


def answer(prompt):
    return Runner.run_sync(agent, prompt).final_output


def with_tool(prompt):
    return Runner.run_sync(calculating, prompt).final_output


def two_turns(first, second):
    begun = Runner.run_sync(agent, first)
    given = begun.to_input_list() + [{"role": "user", "content": second}]
    return Runner.run_sync(agent, given).final_output


run(answer, with_tool, two_turns)

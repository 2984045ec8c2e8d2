"""langchain with the provider that the second argument names."""

import sys

from common import KEY, MODEL, URL, add, run
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

if sys.argv[2] == "openai":
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
elif sys.argv[2] == "anthropic":
    from langchain_anthropic import ChatAnthropic

    model = ChatAnthropic(model=MODEL, base_url=URL, api_key=KEY, max_retries=0, max_tokens=2000)
else:
    from langchain_mistralai import ChatMistralAI

    model = ChatMistralAI(model=MODEL, endpoint=f"{URL}/v1", api_key=KEY, max_retries=1)

tools = {"add": tool(add)}


def answer(prompt):
    return "".join(str(piece.text) for piece in model.stream([HumanMessage(prompt)]))


def with_tool(prompt):
    messages = [SystemMessage("Be brief."), HumanMessage(prompt)]
    bound = model.bind_tools(list(tools.values()))
    reply = bound.invoke(messages)
    messages.append(reply)
    for call in reply.tool_calls:
        try:
            messages.append(tools[call["name"]].invoke(call))
        except ValueError as error:
            message = ToolMessage(str(error), tool_call_id=call["id"], status="error")
            messages.append(message)
    return str(bound.invoke(messages).text)


def two_turns(first, second):
    messages = [HumanMessage(first, name="someone")]
    messages.append(model.invoke(messages))
    messages += [SystemMessage("Be kind.")] if sys.argv[2] != "anthropic" else []
    messages.append(HumanMessage(second, name="someone"))
    return str(model.invoke(messages).text)


run(answer, with_tool, two_turns)

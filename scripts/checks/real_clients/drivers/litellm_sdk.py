"""litellm, with its own reply object given back."""

import litellm
from common import KEY, MODEL, PARAMETERS, URL, result_of, run

litellm.telemetry = False
ASKED = {"model": f"openai/{MODEL}", "api_base": f"{URL}/v1", "api_key": KEY, "num_retries": 0}
TOOL = {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}


def answer(prompt):
    messages = [{"role": "user", "content": prompt}]
    chunks = litellm.completion(messages=messages, stream=True, **ASKED)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def with_tool(prompt):
    messages = [{"role": "user", "content": prompt}]
    first = litellm.completion(messages=messages, tools=[TOOL], **ASKED).choices[0].message
    messages.append(first)
    for call in first.tool_calls:
        text = result_of(call.function.arguments)
        result = {"role": "tool", "name": "add", "tool_call_id": call.id, "content": text}
        messages.append(result)
    last = litellm.completion(messages=messages, tools=[TOOL], **ASKED)
    return last.choices[0].message.content


def two_turns(first, second):
    messages = [{"role": "user", "content": first}]
    messages.append(litellm.completion(messages=messages, **ASKED).choices[0].message)
    messages.append({"role": "user", "content": second})
    return litellm.completion(messages=messages, **ASKED).choices[0].message.content


run(answer, with_tool, two_turns)

"""openai on /v1/chat/completions, streamed and whole."""

from common import KEY, MODEL, PARAMETERS, URL, result_of, run
from openai import OpenAI

client = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
TOOL = {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}


def answer(prompt):
    stream = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": prompt}], stream=True
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def with_tool(prompt):
    messages = [{"role": "user", "content": prompt}]
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
    message = first.choices[0].message
    messages.append(message)
    for call in message.tool_calls:
        text = result_of(call.function.arguments)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
    last = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
    return last.choices[0].message.content


def two_turns(first, second):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": first}]
    reply = client.chat.completions.create(model=MODEL, messages=messages).choices[0].message
    messages += [reply.model_dump(), {"role": "user", "content": second}]
    return client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content


run(answer, with_tool, two_turns)

"""mistralai's own client."""

from common import KEY, MODEL, PARAMETERS, URL, result_of, run

try:
    from mistralai import Mistral
except ImportError:
    from mistralai.client import Mistral

client = Mistral(api_key=KEY, server_url=URL)
TOOL = {"type": "function", "function": {"name": "add", "parameters": PARAMETERS}}


def answer(prompt):
    stream = client.chat.stream(
        model=MODEL, messages=[{"role": "user", "content": prompt}], random_seed=1
    )
    texts = (event.data.choices[0].delta.content for event in stream if event.data.choices)
    return "".join(text for text in texts if isinstance(text, str))


def with_tool(prompt):
    messages = [{"role": "user", "content": prompt}]
    asked = {"model": MODEL, "tools": [TOOL], "tool_choice": "any"}
    first = client.chat.complete(messages=messages, **asked).choices[0].message
    messages.append(first)
    for call in first.tool_calls:
        text = result_of(call.function.arguments)
        result = {"role": "tool", "name": "add", "tool_call_id": call.id, "content": text}
        messages.append(result)
    asked["tool_choice"] = "auto"
    return client.chat.complete(messages=messages, **asked).choices[0].message.content


def two_turns(first, second):
    messages = [{"role": "user", "content": first}]
    reply = client.chat.complete(model=MODEL, messages=messages, safe_prompt=False)
    messages += [reply.choices[0].message, {"role": "user", "content": second}]
    return client.chat.complete(model=MODEL, messages=messages).choices[0].message.content


run(answer, with_tool, two_turns)

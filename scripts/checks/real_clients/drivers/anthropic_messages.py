"""anthropic on /v1/messages, streamed and whole."""

from anthropic import Anthropic
from common import KEY, MODEL, PARAMETERS, URL, add, run

client = Anthropic(base_url=URL, api_key=KEY, max_retries=0)
ASKED = {"model": MODEL, "max_tokens": 2000, "system": "Be brief."}
TOOLS = [{"name": "add", "description": "Adds", "input_schema": PARAMETERS}]


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def answer(prompt):
    with client.messages.stream(messages=[{"role": "user", "content": prompt}], **ASKED) as stream:
        return "".join(stream.text_stream)


def with_tool(prompt):
    messages = [{"role": "user", "content": prompt}]
    first = client.messages.create(messages=messages, tools=TOOLS, **ASKED)
    results = []
    for block in first.content:
        if block.type == "tool_use":
            result = {"type": "tool_result", "tool_use_id": block.id}
            try:
                results.append({**result, "content": add(**block.input)})
            except ValueError as error:
                results.append({**result, "content": str(error), "is_error": True})
    messages += [{"role": "assistant", "content": first.content}]
    messages += [{"role": "user", "content": results}]
    return text_of(client.messages.create(messages=messages, tools=TOOLS, **ASKED))


def two_turns(first, second):
    messages = [{"role": "user", "content": first}]
    reply = client.messages.create(messages=messages, **ASKED)
    messages += [{"role": "assistant", "content": reply.content}]
    messages += [{"role": "user", "content": second}]
    return text_of(client.messages.create(messages=messages, **ASKED))


run(answer, with_tool, two_turns)

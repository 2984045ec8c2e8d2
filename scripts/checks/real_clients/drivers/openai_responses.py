"""openai on /v1/responses, streamed and whole."""

from common import KEY, MODEL, PARAMETERS, URL, result_of, run
from openai import OpenAI

client = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
TOOL = {"type": "function", "name": "add", "parameters": PARAMETERS, "strict": False}


def answer(prompt):
    with client.responses.stream(model=MODEL, input=prompt) as stream:
        return stream.until_done().get_final_response().output_text


def with_tool(prompt):
    given = [{"role": "user", "content": prompt}]
    first = client.responses.create(model=MODEL, input=given, tools=[TOOL])
    given += first.output
    for item in first.output:
        if item.type == "function_call":
            text = result_of(item.arguments)
            given.append({"type": "function_call_output", "call_id": item.call_id, "output": text})
    return client.responses.create(model=MODEL, input=given, tools=[TOOL]).output_text


def two_turns(first, second):
    given = [{"role": "user", "content": first}]
    reply = client.responses.create(model=MODEL, input=given, instructions="Be brief.")
    given += [*reply.output, {"role": "user", "content": second}]
    return client.responses.create(model=MODEL, input=given, instructions="Be brief.").output_text


run(answer, with_tool, two_turns)

"""instructor: replies as objects, by a forced tool."""

import instructor
from common import KEY, MODEL, URL, run
from openai import OpenAI
from pydantic import BaseModel, HttpUrl


class Answer(BaseModel):
    """The answer."""

    text: str
    tags: set[str] = set()
    source: HttpUrl | None = None


client = instructor.from_openai(OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0))


def answer(prompt):
    messages = [{"role": "user", "content": prompt}]
    reply = client.chat.completions.create(
        model=MODEL, response_model=Answer, messages=messages, max_retries=0
    )
    return reply.text


def two_turns(first, second):
    messages = [{"role": "user", "content": first}]
    asked = {"model": MODEL, "response_model": Answer, "max_retries": 0}
    reply = client.chat.completions.create(messages=messages, **asked)
    messages += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": second}]
    return client.chat.completions.create(messages=messages, **asked).text


run(answer, None, two_turns)

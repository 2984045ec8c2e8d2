"""Open WebUI, asked as its page asks it: by its own API, which passes a chat on."""

import json
import os

import httpx
from common import MODEL, run

page = httpx.Client(base_url=os.environ["CHECK_WEBUI"], timeout=120)
# Without accounts whoever signs in is the administrator.
signed_in = page.post("/api/v1/auths/signin", json={"email": "", "password": ""}).json()
page.headers["authorization"] = f"Bearer {signed_in['token']}"
assert MODEL in [model["id"] for model in page.get("/api/models").json()["data"]]


def chat(messages):
    asked = {"model": MODEL, "messages": messages, "stream": True}
    texts = []
    with page.stream("POST", "/api/chat/completions", json=asked) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:]).get("choices", ()):
                    texts.append(choice["delta"].get("content") or "")
            elif line and not line.startswith(("data: [DONE]", ":")):
                texts.append(line)
    return "".join(texts)


def answer(prompt):
    return chat([{"role": "user", "content": prompt}])


def two_turns(first, second):
    messages = [{"role": "user", "content": first}]
    messages.append({"role": "assistant", "content": chat(messages)})
    return chat([*messages, {"role": "user", "content": second}])


run(answer, None, two_turns)

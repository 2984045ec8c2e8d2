#!/usr/bin/env python3
"""The batching backend behind the least HTTP there can be, for bench_serve.py.

Streams /v1/completions as server-sent events, one connection a thread. Not a product: the server
is ``mlx-magistral serve``.

    scripts/backend_server.py MODEL PORT
"""

import json
import queue
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mlx_magistral import Magistral
from mlx_magistral.errors import MagistralError
from mlx_magistral.events import ContentDelta, Finished, ReasoningDelta
from mlx_magistral.server.backend import Backend, GenerationRequest
from mlx_magistral.server.batching import make_backend


class Handler(BaseHTTPRequestHandler):
    """One request."""

    backend: Backend

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        options = {name: asked[name] for name in ("temperature", "top_p")}
        request = GenerationRequest(
            prompt=asked["prompt"],
            max_tokens=asked["max_tokens"],
            options={**options, "on_loop": "off"},
        )
        events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.backend.submit(request, events.put)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        while True:
            match events.get():
                case ReasoningDelta(text=text) | ContentDelta(text=text):
                    self._send({"object": "text_completion", "choices": [{"text": text}]})
                case Finished(usage=usage):
                    self._send({"choices": [], "usage": vars(usage)})
                    self.wfile.write(b"data: [DONE]\n\n")
                    return
                case MagistralError() as error:
                    raise error

    def _send(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Nothing, as the others' log level says too."""


if __name__ == "__main__":
    Handler.backend = make_backend(Magistral.load(sys.argv[1]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()

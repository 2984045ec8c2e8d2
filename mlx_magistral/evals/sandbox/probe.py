"""Runs inside a sandbox and tries to get out; prints what worked, as a JSON list.

Text for the interpreter, as inside.py. Must find nothing.
"""

import json
import os
import socket
import sys

facts = json.loads(sys.stdin.read())
done = []
for path in (facts["secret"], facts["home"] + "/.ssh", facts["home"], "/etc/passwd"):
    try:
        found = os.listdir(path) if os.path.isdir(path) else [open(path).read()]
        if set(found) - set(facts["known"]):
            done.append(f"reads {path}")
    except OSError:
        pass
for path in (facts["secret"], "/tmp/mlx-magistral-probe", facts["home"] + "/mlx-magistral-probe"):
    try:
        with open(path, "w") as stream:
            stream.write("written")
        os.unlink(path)
        done.append(f"writes {path}")
    except OSError:
        pass
try:
    with socket.create_connection(("127.0.0.1", facts["port"]), 1):
        done.append("reaches the network")
except OSError:
    pass
try:
    os.kill(facts["process"], 0)
    done.append("sees our processes")
except OSError:
    pass
print(json.dumps(done))

"""A small agent, which stands for a real one: reads prompts as lines of JSON, and works in its directory.

{"id": 0, "prompt": "run make test"} → {"id": 0, "event": "progress", "text": …}, then one with the event "done".
"""

import json
import subprocess
import sys
from pathlib import Path


def say(id: int, event: str, text: str) -> None:
    print(json.dumps({"id": id, "event": event, "text": text}), flush=True)


def work(id: int, prompt: str) -> str:
    """Carries a prompt out. Returns the outcome."""
    verb, _, rest = prompt.partition(" ")
    if verb == "write":
        path, _, text = rest.partition(" ")
        with Path(path).open("a") as file:
            file.write(text + "\n")
        return f"wrote {path}"
    if verb == "run":
        process = subprocess.Popen(rest, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout
        for line in process.stdout:
            say(id, "progress", line.rstrip("\n"))
        return f"exit code {process.wait()}"
    return f"not understood: {verb}"


for line in sys.stdin:
    message = json.loads(line)
    say(message["id"], "done", work(message["id"], message["prompt"]))

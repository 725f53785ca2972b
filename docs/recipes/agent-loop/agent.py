"""python3 agent.py TASK: a model writes a program, the sandbox runs it, and the model repairs it by its errors."""

import os
import re
import sys

import httpx
from sandbar import CommandError, Sandbox, get_sandbox

Message = dict[str, str]

MAX_RUNS = 5
INSTRUCTIONS = "Write a Python program that prints the answer. Reply with one block of code, and nothing else."


def model(messages: list[Message]) -> str:
    """The model's reply, from any server that speaks OpenAI's chat format."""
    key = os.environ.get("MODEL_API_KEY")
    response = httpx.post(
        f"{os.environ['MODEL_URL']}/chat/completions",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        json={"model": os.environ.get("MODEL", "gpt-5"), "messages": messages},
        timeout=300,
    )
    response.raise_for_status()
    return str(response.json()["choices"][0]["message"]["content"])


def code_in(reply: str) -> str:
    block = re.search(r"```\w*\n(.*?)```", reply, re.DOTALL)
    return block[1] if block else reply


def shorten(text: str) -> str:
    """A long output without its middle: errors stand at the end."""
    return text if len(text) <= 4000 else f"{text[:1000]}\n[…]\n{text[-3000:]}"


def run(sandbox: Sandbox, code: str) -> tuple[bool, str]:
    """Runs a program. Returns whether it succeeded, and its output."""
    sandbox.write_file("program.py", code)
    try:
        result = sandbox.exec("python3 program.py", timeout=30)
    except CommandError as error:
        return False, f"{error.details.get('stdout', '')}[ended after 30 seconds]"
    if result.success:
        return True, result.stdout
    return False, f"{result.stdout}{result.stderr}[exit code {result.exit_code}]"


def solve(sandbox: Sandbox, task: str) -> str:
    """Has the task solved. Returns the output of the first program that succeeds."""
    messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": task}]
    for number in range(1, MAX_RUNS + 1):
        reply = model(messages)
        succeeded, output = run(sandbox, code_in(reply))
        print(f"run {number}: {'succeeded' if succeeded else 'failed'}", file=sys.stderr)
        if succeeded:
            return output
        report = f"The program failed. Repair it.\n\n{shorten(output)}"
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": report}]
    raise RuntimeError(f"no program succeeded in {MAX_RUNS} runs")


with get_sandbox(os.environ["SANDBOX_URL"], os.environ["SANDBOX_API_KEY"], f"agent-{os.urandom(8).hex()}") as box:
    try:
        print(solve(box, " ".join(sys.argv[1:])), end="")
    finally:
        box.destroy()

"""python3 ci.py REPOSITORY [--ref REF] --step NAME=COMMAND … [--reports DIRECTORY]

Checks a repository out into a new sandbox and runs the steps one after the other, up to the first that fails. Prints
their output as it comes, and writes report.json and report.xml (JUnit). The exit code is that of the step that failed;
125: the runner itself failed.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sandbar import Sandbox, SandboxError, get_sandbox

DIRECTORY = "/workspace/checkout"


@dataclass
class Step:
    name: str
    command: str
    exit_code: int | None = None
    """Absent: the step was skipped."""
    seconds: float = 0.0
    output: str = ""


def run(sandbox: Sandbox, step: Step, timeout: float) -> None:
    """Runs a step to its end. Its output is printed as it comes."""
    begin = time.monotonic()
    print(f"::: {step.name}: {step.command}", flush=True)
    for event in sandbox.exec_stream(step.command, cwd=DIRECTORY, env={"CI": "true"}, timeout=timeout):
        step.output += event.text
        print(event.text, end="", flush=True)
        if event.type == "exit":
            step.exit_code = event.exit_code
    step.seconds = round(time.monotonic() - begin, 3)
    print(f"::: {step.name}: exit code {step.exit_code} after {step.seconds:.1f} s", flush=True)


def junit(repository: str, steps: list[Step], error: str | None) -> bytes:
    """The steps as test cases, and an error of the runner itself."""
    failures, skipped = sum(bool(step.exit_code) for step in steps), sum(step.exit_code is None for step in steps)
    counts = {"tests": len(steps), "failures": failures, "errors": int(error is not None), "skipped": skipped}
    suite = ElementTree.Element("testsuite", {"name": repository, **{name: str(n) for name, n in counts.items()}})
    if error:
        runner = ElementTree.SubElement(suite, "testcase", {"name": "runner"})
        ElementTree.SubElement(runner, "error", {"message": error})
    for step in steps:
        case = ElementTree.SubElement(suite, "testcase", {"name": step.name, "time": f"{step.seconds:.3f}"})
        # Control characters, such as those of colors, have no place in XML.
        output = "".join(c for c in step.output if c >= " " or c in "\t\n")
        if step.exit_code is None:
            ElementTree.SubElement(case, "skipped")
        elif step.exit_code:
            failure = ElementTree.SubElement(case, "failure", {"message": f"exit code {step.exit_code}"})
            failure.text = output
        else:
            ElementTree.SubElement(case, "system-out").text = output
    xml: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return xml


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the steps of a job in a sandbox.")
    parser.add_argument("repository")
    parser.add_argument("--ref", help="a branch, a tag or a commit; default: the default branch")
    parser.add_argument("--step", action="append", required=True, metavar="NAME=COMMAND")
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIRECTORY")
    parser.add_argument("--timeout", type=float, default=1800, help="of each step, in seconds")
    options = parser.parse_args()
    steps = [Step(*text.split("=", 1)) for text in options.step]

    report: dict[str, Any] = {"repository": options.repository}
    message: str | None = None
    job = f"ci-{os.urandom(8).hex()}"
    with get_sandbox(os.environ["SANDBOX_URL"], os.environ["SANDBOX_API_KEY"], job, default_session=False) as sandbox:
        try:
            checkout = sandbox.git_checkout(
                options.repository, ref=options.ref, target_dir=DIRECTORY, depth=1, token=os.environ.get("GIT_TOKEN")
            )
            report |= {"commit": checkout.commit, "branch": checkout.branch}
            for step in steps:
                run(sandbox, step, options.timeout)
                if step.exit_code:
                    break
        except SandboxError as error:
            message = str(error)
            print(f"::: the runner failed: {message} ({error.code})", file=sys.stderr)
            report["error"] = {"code": error.code, "message": message}
        finally:
            sandbox.destroy()

    failed = next((step.exit_code for step in steps if step.exit_code), 0)
    exit_code = 125 if message else failed
    report |= {"exit_code": exit_code, "steps": [asdict(step) for step in steps]}
    options.reports.mkdir(parents=True, exist_ok=True)
    (options.reports / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (options.reports / "report.xml").write_bytes(junit(options.repository, steps, message))
    return exit_code


sys.exit(main())

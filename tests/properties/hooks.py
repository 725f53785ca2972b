"""What schemathesis does not know of this API: its codes, its streams, and where files are."""

import base64
import json
import re

import schemathesis
from schemathesis.core.parameters import ParameterLocation

# How a client may write a segment that it then resolves.
DOTS = {".", "..", "%2e", "%2e%2e", ".%2e", "%2e."}

# The codes of JSON-RPC and of the Model Context Protocol.
JSON_RPC_CODES = {-32700, -32600, -32601, -32602, -32603, -32020, -32022}


@schemathesis.hook
def filter_case(context, case):
    """Leaves out what never reaches the operation: a segment of dots, which every client resolves, and a sandbox's id that
    was made wrong, as the configured one takes its place."""
    if any(str(value).lower() in DOTS for value in (case.path_parameters or {}).values()):
        return False
    if case.meta is None or case.meta.generation.mode.is_positive:
        return True
    data = case.meta.phase.data
    wrong = {(mutation.parameter_location, mutation.parameter) for mutation in data.mutations}
    wrong = wrong or {(data.parameter_location, data.parameter)}
    return wrong != {(ParameterLocation.PATH, "id")}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Most files are to be in the workspace."""
    path = (case.path_parameters or {}).get("path")
    if isinstance(path, str) and not path.startswith("workspace"):
        case.path_parameters["path"] = f"workspace%2F{path}"


@schemathesis.check
def known_code(context, response, case):
    """Every error has a code that the document names for its status."""
    if response.status_code < 400 or case.method.upper() == "HEAD":
        return
    # It may be the answer of a server.
    if case.operation.path.endswith("/port/{port}/{path}"):
        return
    # A method that the path does not take is no operation.
    if response.status_code == 405:
        return
    # Errors of JSON-RPC have codes of their own.
    if response.json().get("jsonrpc") == "2.0":
        assert response.json()["error"]["code"] in JSON_RPC_CODES
        return
    code = response.json()["code"]
    raw = case.operation.schema.raw_schema
    described = raw["paths"][case.operation.path][case.method.lower()]["responses"]
    described = described.get(str(response.status_code), {})
    if described.get("$ref") == "#/components/responses/Unauthorized":
        described = raw["components"]["responses"]["Unauthorized"]
    known = described.get("x-error-codes", [])
    assert code in known, f"{response.status_code} {code} is none of {known}"


@schemathesis.check
def well_formed_stream(context, response, case):
    """A stream of events is whole: ASCII, numbered events, one end."""
    if response.headers.get("content-type") != ["text/event-stream"]:
        return
    text = response.content.decode("ascii")
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    if case.operation.path.endswith("/watch/{path}"):
        # It has no end of its own, and begins with a number of its own.
        for block in blocks:
            match = re.fullmatch(r"id: (\d+)\nevent: (\w+)\ndata: (.*)", block)
            assert match and isinstance(json.loads(match[3]), dict), block
        return
    # A stream that continues another begins anywhere, and one of a single output leaves out ids.
    is_whole = "stream=" not in response.request.url
    is_first = is_whole and "last-event-id" not in (name.lower() for name in response.request.headers)
    previous = 0 if is_first and "since=" not in response.request.url else None
    for number, block in enumerate(blocks, 1):
        match = re.fullmatch(r"id: (\d+)\nevent: (\w+)\ndata: (.*)", block)
        assert match, block
        first = last = int(match[1])
        if match[2] in ("stdout", "stderr"):
            assert base64.b64decode(match[3], validate=True)
        elif match[2] == "gap":
            gap = json.loads(match[3])
            first = gap["first"]
            assert first <= gap["last"] == last, block
        elif match[2] == "result":
            assert isinstance(json.loads(match[3]), dict), block
        else:
            assert number == len(blocks), f"{match[2]} is not the last event"
            assert match[2] in ("exit", "error"), block
            fields = json.loads(match[3])
            assert isinstance(fields.get("exit_code"), int) or fields.get("code"), block
        if previous is not None:
            assert first > previous and (first == previous + 1 or not is_whole), block
        previous = last

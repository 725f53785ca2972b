"""The official client of the Model Context Protocol in Python: some tools, in the revision that it chooses or by `initialize`.
Prints the revision and the texts of the results as JSON."""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main(mode):
    url = os.environ["SANDBOX_URL"] + "/v1/mcp"
    headers = {"Authorization": f"Bearer {os.environ['SANDBOX_API_KEY']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=120) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            texts = {}

            async def call(name, **arguments):
                result = await client.call_tool(name, arguments)
                assert not result.is_error, result
                texts[name] = "\n".join(getattr(item, "text", "") for item in result.content)
                return texts[name]

            tools = [tool.name for tool in (await client.list_tools()).tools]
            sandbox = json.loads(await call("create_sandbox"))["sandbox"]
            await call("write", sandbox=sandbox, path="a.txt", content="hello ü")
            await call("read", sandbox=sandbox, path="a.txt")
            # Longer than the silence after which the answer has a space.
            await call("run", sandbox=sandbox, command="sleep 6; echo late")
            result = await client.call_tool("run", {"sandbox": sandbox})
            assert result.is_error and "command must be set" in result.content[0].text, result
            await call("destroy_sandbox", sandbox=sandbox)
            version = client.protocol_version
            print(json.dumps({"revision": version, "tools": tools, "texts": texts}))


asyncio.run(main(sys.argv[1]))

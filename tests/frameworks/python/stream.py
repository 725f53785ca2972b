"""Events, downloads, uploads and WebSockets of FastAPI: uvicorn stream:app --port PORT"""

import asyncio
import hashlib

from fastapi import FastAPI, UploadFile, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()
events: asyncio.Queue[str] = asyncio.Queue()

# The beginnings of these blocks differ, so that one that is lost, repeated or out of order changes the digest.
BLOCK = bytes(range(256)) * 4096


def blocks(count: int):
    for number in range(count):
        yield number.to_bytes(8) + BLOCK[8:]


@app.get("/items")
def items():
    return ["first", "second"]


@app.get("/events")
async def follow():
    async def written():
        while (event := await events.get()) != "end":
            yield f"data: {event}\n\n"

    return StreamingResponse(written(), media_type="text/event-stream")


@app.post("/events/{event}")
async def publish(event: str):
    await events.put(event)


@app.get("/download/{count}")
async def download(count: int):
    async def written():
        for block in blocks(count):
            yield block

    return StreamingResponse(written(), headers={"Content-Length": str(count * len(BLOCK))})


@app.get("/digest/{count}")
def digest(count: int):
    digest = hashlib.sha256()
    for block in blocks(count):
        digest.update(block)
    return digest.hexdigest()


@app.post("/upload")
async def upload(file: UploadFile):
    body = await file.read()
    return {"name": file.filename, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept(subprotocol=socket.headers.get("sec-websocket-protocol"))
    async for text in socket.iter_text():
        await socket.send_text(f"echo of {text}")

// The suite as a Worker: the answer to any request has its result.
import * as sandbar from "sandbar";
import { equal } from "./check.mjs";
import { cases, runAll } from "./suite.mjs";

/** The socket of an answer to a client's request for a WebSocket. */
function accept({ webSocket }) {
  webSocket.accept();
  return webSocket;
}

const request = (path) => new Request(`http://worker${path}`, { headers: { Upgrade: "websocket" } });

// A case for Workers only: pass on a client's request for a WebSocket.
cases["a request for a terminal, passed on"] = async ({ sandbox }) => {
  const terminal = accept(await sandbox.terminal(request("/"), { mode: "command" }));
  const end = await new Promise((resolve) => {
    terminal.addEventListener("message", ({ data }) => {
      if (typeof data !== "string") return;
      if (JSON.parse(data).type === "ready") terminal.send(new TextEncoder().encode("exit 4\n"));
      else resolve(JSON.parse(data));
    });
  });
  equal(end.code, 4);
};

cases["a request for a socket of a port, passed on"] = async ({ sandbox }) => {
  const port = 22000 + Math.floor(Math.random() * 2000);
  await sandbox.writeFile("handshake.py", HANDSHAKE);
  const server = await sandbox.startProcess(["python3", "handshake.py", String(port)]);
  await server.waitForPort(port, { mode: "tcp", timeout: 30_000 });
  const socket = accept(await sandbox.wsConnect(request("/chat?room=1"), port));
  const message = await new Promise((resolve) =>
    socket.addEventListener("message", ({ data }) => resolve(data)),
  );
  equal(message, "/chat?room=1");
};

/** A server that sends the path of a WebSocket as its only message. */
const HANDSHAKE = `
import base64, hashlib, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    request = b""
    while b"\\r\\n\\r\\n" not in request:
        data = connection.recv(65536)
        if not data:
            break
        request += data
    lines = request.decode().split("\\r\\n")
    keys = [line.split(": ")[1] for line in lines if line.lower().startswith("sec-websocket-key")]
    if not keys:
        continue
    digest = hashlib.sha1((keys[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    answer = "HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
    answer += "Sec-WebSocket-Accept: " + base64.b64encode(digest).decode() + "\\r\\n\\r\\n"
    path = lines[0].split(" ")[1].encode()
    connection.sendall(answer.encode() + bytes([0x81, len(path)]) + path)
`;

export default {
  async fetch(_request, { url, key }) {
    const sandbox = sandbar.getSandbox({ url, key }, `worker-${crypto.randomUUID()}`);
    const result = await runAll({ ...sandbar, sandbox, key });
    await sandbox.destroy();
    return Response.json(result);
  },
};

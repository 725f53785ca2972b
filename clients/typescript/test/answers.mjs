// Answers that a bridge gives seldom, from a server of this test.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import * as sandbar from "sandbar";

/** The requests, and how the next ones are answered: as JSON, or the pieces of a stream. */
const requests = [];
let answers = [];
const server = createServer((request, response) => {
  requests.push(`${request.method} ${request.url} ${request.headers["last-event-id"] ?? ""}`.trim());
  const answer = answers.shift();
  if (answer === undefined) return response.destroy();
  if (!Array.isArray(answer)) return response.end(JSON.stringify(answer));
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  for (const piece of answer) response.write(piece);
  response.end();
}).listen(0, "127.0.0.1");
await once(server, "listening");
const connection = { url: `http://127.0.0.1:${server.address().port}`, lingerMs: 2000 };
const sandbox = sandbar.getSandbox(connection, { id: "abc" });

// An event that broke off inside the bridge counts for nothing, and the stream goes on behind the one before.
const first = "id: 1\nevent: stdout\ndata: YQ==\n\nid: 2\nevent: stdout\ndata: YmN\nevent: incomplete\n\n";
const lost = 'event: error\ndata: {"error":"lost","code":"exec_transport_error"}\n\n';
const rest = 'id: 2\nevent: stdout\ndata: YmM=\n\nid: 3\nevent: exit\ndata: {"exit_code":0}\n\n';
answers = [[first, lost], [rest]];
assert.equal((await sandbox.exec("true")).stdout, "abc");
assert.deepEqual(requests.splice(0), ["POST /v1/sandbox/abc/exec", "POST /v1/sandbox/abc/exec 1"]);

// A path stays within its port.
for (const [path, target] of [
  ["/../../exec", "/exec"],
  ["/%2e%2E/..//a", "//a"],
  ["//elsewhere.example/a?b=c", "//elsewhere.example/a?b=c"],
  ["index.html", "/index.html"],
]) {
  answers = [{}];
  await sandbox.fetchPort(3000, path);
  assert.deepEqual(requests.splice(0), [`GET /v1/sandbox/abc/port/3000${target}`]);
}

// A list of which a part is missing is none.
answers = [{ sandboxes: [], incomplete: [3] }];
await assert.rejects(sandbar.listSandboxes(connection), sandbar.SandboxUnavailableError);

// A request that may have been sent is never called unsent, also when the bridge is gone by then.
requests.splice(0);
answers = [];
const running = sandbox.exec("true").catch((error) => error);
while (requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
server.close();
server.closeAllConnections();
assert.equal((await running).code, "connection_lost");
console.log("seldom answers are understood");

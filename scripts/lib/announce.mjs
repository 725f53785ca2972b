// node announce.mjs URL 3<KEY: waits until the bridge at URL answers, then prints how to call it.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const url = process.argv[2];
const key = readFileSync(3, "utf8").trim();

let health;
while (!(health = await fetch(`${url}/health`).catch(() => null))) await sleep(200);
if (!health.ok) {
  console.error(`The bridge at ${url} is not healthy: ${await health.text()}`);
  process.exit(1);
}

console.log(`
The bridge is ready:  ${url}
Its key is:           ${key}

  KEY=${key}
  ID=$(curl -s -X POST ${url}/v1/sandbox -H "Authorization: Bearer $KEY" | cut -d '"' -f 4)
  BOX=${url}/v1/sandbox/$ID

  curl -N $BOX/exec -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
    -d '{"argv":["sh","-c","echo hello; uname -sr"]}'
  curl -X PUT $BOX/file/workspace/hello.txt -H "Authorization: Bearer $KEY" --data-binary 'hello, file'
  curl $BOX/file/workspace/hello.txt -H "Authorization: Bearer $KEY"
  curl -X DELETE $BOX -H "Authorization: Bearer $KEY"

Ctrl-C ends it.
`);

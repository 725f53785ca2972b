// A TCP proxy whose connections break: at once, after a request, in the middle of an answer, or not for a while.
import { connect, createServer } from "node:net";

/** Starts a proxy in front of a URL. Returns its own URL, the number of cuts so far, and what ends it. */
export async function cuttingProxy(target, random = Math.random) {
  const { hostname, port } = new URL(target);
  const proxy = { cuts: 0, close: () => server.close() };
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    const cut = () => {
      if (client.destroyed) return;
      proxy.cuts++;
      // RST in one half of the cases, FIN in the other.
      if (random() < 0.5) client.resetAndDestroy();
      else client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on("error", () => {}).on("close", cut);
    const way = random();
    if (way < 0.1) client.once("data", cut);
    else if (way < 0.2) {
      client.pipe(upstream);
      upstream.once("data", cut);
    } else {
      client.pipe(upstream);
      // Mostly little, and at times more than the longest event, without which a stream never goes on.
      let left = 1 + random() ** 4 * 200_000;
      upstream.on("data", (data) => {
        left -= data.length;
        if (left > 0) return client.write(data);
        client.write(data.subarray(0, Math.floor(data.length / 2)), cut);
      });
      setTimeout(cut, 50 + random() * 1200);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  return proxy;
}

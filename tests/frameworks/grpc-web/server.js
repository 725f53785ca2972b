// node server.js PORT: a gRPC-web server by Connect.
import { EventEmitter, on } from "node:events";
import { createServer } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Chat } from "./schema.js";

const said = new EventEmitter();

const routes = (router) =>
  router.service(Chat, {
    say({ text }, context) {
      if (text === "") {
        throw new ConnectError("nothing was said", Code.InvalidArgument, { "x-reason": "empty" });
      }
      context.responseTrailer.set("x-length", String(text.length));
      said.emit("line", text);
      return { text: `You said ${text}` };
    },
    // Each line is sent as it is said, until this one.
    async *listen({ text: last }, context) {
      const lines = on(said, "line", { signal: context.signal });
      yield { text: "listening" };
      for await (const [text] of lines) {
        yield { text };
        if (text === last) return;
      }
    },
  });

createServer(connectNodeAdapter({ routes })).listen(Number(process.argv[2]), "127.0.0.1");

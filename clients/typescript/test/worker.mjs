// The suite as a Worker: the answer to any request has its result.
import * as sandbar from "sandbar";
import { runAll } from "./suite.mjs";

export default {
  async fetch(_request, { url, key }) {
    const sandbox = sandbar.getSandbox({ url, key }, `worker-${crypto.randomUUID()}`);
    const result = await runAll({ ...sandbar, sandbox, key });
    await sandbox.destroy();
    return Response.json(result);
  },
};

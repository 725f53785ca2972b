// The Worker with a further route, /evict: every object is gone, as those are that the runtime evicts 70 to 140 s after
// their last request. `evictAllDurableObjects` would wait for the object's own requests, which that eviction does not.
import unsafe from "workerd:unsafe";
import Bridge from "./index.js";

export * from "./index.js";
export default class extends Bridge {
  async fetch(request) {
    if (new URL(request.url).pathname !== "/evict") return super.fetch(request);
    await unsafe.abortAllDurableObjects();
    return new Response("evicted");
  }
}

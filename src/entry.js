// The Worker's entry point, which scripts/build-worker bundles with the code that wasm-bindgen generates: the handlers
// and the Durable Objects of the crate. A trap (a panic, a stack overflow) leaves the memory of the Wasm instance
// inconsistent, so the next call gets a new instance, with new objects.
import { WorkerEntrypoint } from "cloudflare:workers";
import * as wasm from "./index.js";

// The stack trace of a panic then has all its frames.
Error.stackTraceLimit = 100;

// The state of the `worker` crate: it sets `criticalError` on a panic, and counts the instances in `instanceId`.
const state = wasm.__worker_init_state();

const noteTrap = (error) => {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  console.error("Critical", error);
  state.criticalError = true;
};
// Traps in later polls of a future, for which no call waits.
addEventListener("error", ({ error }) => noteTrap(error));

// Calls into the instance; into a new one after a trap.
const enter = (call) => {
  if (state.criticalError) {
    console.log("Reinitializing Wasm application");
    wasm.__wbg_reset_state();
    state.criticalError = false;
  }
  try {
    return call();
  } catch (error) {
    noteTrap(error);
    throw error;
  }
};

export default class extends WorkerEntrypoint {
  fetch(request) {
    return enter(() => wasm.fetch(request, this.env, this.ctx));
  }
  scheduled(event) {
    return enter(() => wasm.scheduled(event, this.env, this.ctx));
  }
}

const durableObject = (WasmClass) =>
  class {
    #arguments;
    #object;
    #instanceId;

    constructor(...args) {
      this.#arguments = args;
      enter(() => this.#current());
    }
    // The Rust object in the current instance.
    #current() {
      if (this.#instanceId !== state.instanceId) {
        this.#object = new WasmClass(...this.#arguments);
        this.#instanceId = state.instanceId;
      }
      return this.#object;
    }
    fetch(request) {
      return enter(() => this.#current().fetch(request));
    }
    alarm() {
      return enter(() => this.#current().alarm());
    }
  };

export const Sandbox = durableObject(wasm.Sandbox);
export const WarmPool = durableObject(wasm.WarmPool);
export const SandboxIndex = durableObject(wasm.SandboxIndex);

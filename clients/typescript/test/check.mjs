// Code that the cases of the suite share. No imports: they run in every runtime.

/** Asserts that two values have the same JSON. */
export function equal(actual, expected) {
  const [got, wanted] = [actual, expected].map((value) => JSON.stringify(value));
  if (got !== wanted) throw new Error(`got ${got}, not ${wanted}`);
}

/** Asserts that a promise is rejected with this code, and returns the error. */
export async function rejects(promise, code) {
  try {
    await promise;
  } catch (error) {
    if (error.code !== code) throw error;
    return error;
  }
  throw new Error(`no error ${code}`);
}

/** All values of an iterable. */
export async function collect(events) {
  const all = [];
  for await (const event of events) all.push(event);
  return all;
}

/** Whether a condition holds within 10 s. */
export async function waitUntil(holds) {
  for (let i = 0; i < 200; i++) {
    if (await holds()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

/** The number of processes whose command line has a text. */
export async function runs(sandbox, text) {
  // Does not find itself.
  const script = `grep -ls -- '[${text[0]}]${text.slice(1)}' /proc/[0-9]*/cmdline | wc -l`;
  return Number((await sandbox.exec(script, { sessionId: "other" })).stdout);
}

export const orderPort = ({ port, url, name }) => ({ port, url, name });

/** Pages that came over plain HTTP have no `crypto.subtle`. */
export async function sha256(bytes) {
  return crypto.subtle.digest("SHA-256", bytes);
}

// Sets Swagger UI up for this API: takes the key over from the page's address, sends paths of files as they are, shows a
// command's stream decoded, while it runs and when it has ended, and shows the pictures of code.

// The limit of a command's output on the page, in characters: a command can print more than a page can show.
const MOST_TEXT = 1_000_000;

const address = new URL(location.href);
const key = address.searchParams.get("token");
if (key !== null) {
  // Out of sight, and out of what is copied from the address bar.
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

const explorer = SwaggerUIBundle({
  dom_id: "#explorer",
  url: "/v1/openapi.json",
  deepLinking: true,
  displayRequestDuration: true,
  queryConfigEnabled: false,
  tryItOutEnabled: true,
  validatorUrl: null,
  requestInterceptor(request) {
    if (request.loadSpec) {
      if (key !== null) request.headers.Authorization = `Bearer ${key}`;
    } else {
      request.url = withPlainSlashes(request.url);
      request.userFetch = call;
    }
    return request;
  },
  onComplete() {
    if (key !== null) explorer.preauthorizeApiKey("BearerAuth", key);
  },
});

// OpenAPI 3.1 cannot say that a parameter of the path keeps its slashes, so Swagger UI escapes them.
function withPlainSlashes(url) {
  return url.replace(/(\/sandbox\/[^/]+\/file\/)([^?#]*)/, (_, before, path) => before + path.replace(/%2F/gi, "/"));
}

// fetch, but a command's stream becomes text. The pictures of a run of code are shown.
async function call(url, options) {
  const leave = new AbortController();
  const response = await fetch(url, { ...options, signal: leave.signal });
  if (new URL(url, location.href).pathname.endsWith("/run-code")) {
    document.getElementById("pictures").replaceChildren();
    if (response.headers.get("content-type")?.startsWith("application/json")) {
      const { results = [] } = await response.clone().json();
      results.forEach(showPictures);
    }
  }
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
  const text = await show(response.body, leave);
  return new Response(text, { status: response.status, statusText: response.statusText, headers: response.headers });
}

// Shows a command's stream as it comes; gives all of it as text.
async function show(stream, leave) {
  const panel = document.getElementById("command");
  const output = document.getElementById("output");
  const stop = () => leave.abort();
  document.getElementById("stop").addEventListener("click", stop);
  output.replaceChildren();
  panel.hidden = false;

  let text = "";
  let last = "";
  const print = (name, more) => {
    if (name !== last) text += `${text === "" || text.endsWith("\n") ? "" : "\n"}── ${name} ──\n`;
    last = name;
    text = (text + more).slice(-MOST_TEXT);
    const part = document.createElement("span");
    part.className = name;
    part.textContent = more;
    output.append(part);
    while (output.textContent.length > MOST_TEXT && output.childNodes.length > 1) output.firstChild.remove();
    output.scrollTop = output.scrollHeight;
  };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  try {
    for await (const { name, data } of events(stream)) {
      if (name === "result") showPictures(JSON.parse(data));
      if (name in decoders) print(name, decoders[name].decode(bytes(data), { stream: true }));
      else print(name, data);
    }
  } catch (error) {
    print("end", leave.signal.aborted ? "You stopped the command." : String(error));
  }
  panel.hidden = true;
  document.getElementById("stop").removeEventListener("click", stop);
  return text;
}

// Shows the image of a result, if it has one.
function showPictures(result) {
  const type = ["image/png", "image/jpeg"].find((type) => type in result);
  if (type === undefined) return;
  const image = document.createElement("img");
  image.src = `data:${type};base64,${result[type]}`;
  image.alt = result.text ?? "A picture";
  document.getElementById("pictures").append(image);
}

// The events of a stream of Server-Sent Events.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.event !== undefined && fields.data !== undefined) yield { name: fields.event, data: fields.data };
    }
  }
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// The addresses of previews are origins whose pages may use the scripts and the WebSocket of `next dev`.
const hosts = [process.env.PREVIEW_HOST, "preview.example.com"];

export default { allowedDevOrigins: hosts.map((host) => `*.${host}`) };

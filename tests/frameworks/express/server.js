// node server.js PORT: routes, JSON, redirects, cookies and static files of Express.
import cookieParser from "cookie-parser";
import express from "express";

const app = express();
// `req.protocol`, `req.host` and `req.ip` are those of the client.
app.set("trust proxy", "loopback");
app.use(cookieParser("a secret"), express.json());
app.use("/static", express.static("public"));
app.get("/hello/:name", (req, res) => res.send(`Hello, ${req.params.name}`));
app.post("/sum", (req, res) => res.status(201).json({ sum: req.body.numbers.reduce((a, b) => a + b, 0) }));
app.get("/address", (req, res) => {
  const prefix = req.get("X-Forwarded-Prefix") ?? "";
  res.send(`${req.protocol}://${req.host}${prefix}${req.url}`);
});
app.get("/old", (req, res) => res.redirect(301, "/hello/again"));
app.get("/signin", (req, res) => {
  res.cookie("user", "Ann", { httpOnly: true, signed: true }).redirect("/account");
});
app.get("/account", (req, res) => res.send(`Account of ${req.signedCookies.user ?? "nobody"}`));
app.listen(Number(process.argv[2]), "127.0.0.1");

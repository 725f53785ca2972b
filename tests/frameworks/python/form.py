"""A form, a session and addresses of Flask: flask --app form run --port PORT"""

from flask import Flask, redirect, request, session, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.secret_key = "a secret"
# The addresses that Flask makes are those of the client.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)


@app.get("/")
def page():
    return f"Hello, {session.get('name', 'nobody')}"


@app.post("/form")
def form():
    session["name"] = request.form["name"]
    return redirect(url_for("page"))


@app.get("/addresses")
def addresses():
    return {"request": request.url, "page": url_for("page", _external=True)}

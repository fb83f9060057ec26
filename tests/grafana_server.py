"""A small HTTP server with the shapes of Grafana's API, as documented; Grafana itself can't be had here."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Json = dict[str, Any]
Answer = tuple[int, Any]

TOKEN = "glsa_s3cret"
VERSION = "12.3.2"


@dataclass
class GrafanaServer:
    """What was put there. `answers` are (status, body) in turn, in place of the API's own."""

    port: int = 0
    scheme: str = "http"
    sub_path: str = ""
    token: str = TOKEN
    slow_s: float = 0.0
    folders: dict[str, Json] = field(default_factory=dict)
    datasources: dict[str, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    annotations: list[Json] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{self.sub_path}"

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> Answer:
        """What Grafana answers to who is allowed everything."""
        what, _, rest = path.removeprefix("/api/").partition("/")
        match what:
            case "health":
                return 200, {"commit": "0123abc", "database": "ok", "version": VERSION}
            case "folders":
                return self._folder(method, rest, body)
            case "datasources":
                return self._datasource(method, rest.removeprefix("uid/"), body)
            case "dashboards":
                return self._dashboard(body)
            case "annotations":
                return self._annotation(method, rest, query, body)
        return 404, {"message": "Not found"}

    def _folder(self, method: str, uid: str, body: Json) -> Answer:
        if method == "POST":
            if any(folder["title"] == body["title"] for folder in self.folders.values()):
                return 409, {"message": "a folder with the same name already exists in the current location"}
            self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "version": 1}
            return 200, self.folders[body["uid"]]
        if uid not in self.folders:
            return 404, {"message": "folder not found", "status": "not-found"}
        if method == "PUT":
            if not body.get("overwrite"):
                return 412, {"message": "the folder has been changed by someone else", "status": "version-mismatch"}
            self.folders[uid]["title"] = body["title"]
        return 200, self.folders[uid]

    def _datasource(self, method: str, uid: str, body: Json) -> Answer:
        if method == "POST":
            if any(known["name"] == body["name"] for known in self.datasources.values()):
                return 409, {"message": "data source with the same name already exists"}
            self.datasources[body["uid"]] = body
            return 200, {"datasource": body, "id": 1, "message": "Datasource added", "name": body["name"]}
        if uid not in self.datasources:
            return 404, {"message": "Data source not found"}
        known = self.datasources[uid]
        if method == "PUT":
            if known.get("readOnly"):
                return 403, {"message": "Cannot update read-only data source"}
            self.datasources[uid] = known | body
        return 200, {key: value for key, value in self.datasources[uid].items() if key != "secureJsonData"}

    def _dashboard(self, body: Json) -> Answer:
        dashboard = body["dashboard"]
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        known = self.dashboards.get(dashboard["uid"])
        if known is not None and not body.get("overwrite"):
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        version = 1 + (known or {"version": 0})["version"]
        self.dashboards[dashboard["uid"]] = {**dashboard, "id": 7, "version": version}
        return 200, {"id": 7, "uid": dashboard["uid"], "url": f"/d/{dashboard['uid']}/x", "status": "success"}

    def _annotation(self, method: str, rest: str, query: dict[str, list[str]], body: Json) -> Answer:
        if method == "GET":
            wanted = set(query.get("tags", []))
            return 200, [one for one in self.annotations if wanted <= set(one["tags"])]
        if method == "POST":
            self.annotations.append({"id": len(self.annotations) + 1, **body})
            return 200, {"message": "Annotation added", "id": len(self.annotations)}
        self.annotations[int(rest) - 1] |= body
        return 200, {"message": "Annotation updated"}


@contextmanager
def grafana_server(*answers: Answer, certificate: Path | None = None, **settings: Any) -> Iterator[GrafanaServer]:
    grafana = GrafanaServer(answers=list(answers), **settings)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(grafana))
    server.daemon_threads = True
    grafana.port = server.server_port
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        grafana.scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield grafana
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(grafana: GrafanaServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"] or 0))
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            grafana.requests.append(f"{self.command} {self.path}")
            time.sleep(grafana.slow_s)
            if grafana.answers:
                status, body = grafana.answers.pop(0)
            elif not path.startswith(f"{grafana.sub_path}/api/"):
                status, body = 404, "<html>Page not found</html>"
            elif "/api/health" not in path and self.headers["Authorization"] != f"Bearer {grafana.token}":
                status, body = 401, {"message": "Invalid API key", "statusCode": 401}
            else:
                found = path.removeprefix(grafana.sub_path)
                status, body = grafana.answer(self.command, found, parse_qs(parts.query), json.loads(data or "{}"))
            text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            if status in {301, 302, 307}:
                self.send_header("Location", f"https://elsewhere.example{self.path}")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 -- http.server wants it so

        def log_message(self, *args: Any) -> None:
            pass

    return Handler

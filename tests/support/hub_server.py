"""A local stand-in for the Hugging Face hub: what huggingface_hub asks for and uploads."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from tests.support.file_server import running


@dataclass
class Hub:
    """What the server has; tests change the fields.

    repositories: name -> its commits, oldest first, each a table of files.
    tags: (name, revision) -> number of the commit.
    private: names that need the token.
    requests: (method, path, token) of each request.
    created: the requests to create repositories.
    """

    repositories: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    tags: dict[tuple[str, str], int] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    created: list[dict] = field(default_factory=list)
    address: str = ""

    def commit(self, name: str, number: int = -1) -> str:
        """The hash of a commit."""
        count = len(self.repositories[name])
        return hashlib.sha1(f"{name} {number % count}".encode()).hexdigest()

    def find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """(hash, files) of a revision; None if it does not exist."""
        commits = self.repositories[name]
        for number, files in enumerate(commits):
            names = {self.commit(name, number)}
            names |= {tag for (owner, tag), n in self.tags.items() if (owner, n) == (name, number)}
            if revision in names or revision == "main" and number == len(commits) - 1:
                return self.commit(name, number), files
        return None


TOKEN = "hf_of_the_test"


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Serves repositories at `address` within the block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            _answer(self, hub)

        do_HEAD = do_POST = do_GET

        def log_message(self, *args):
            pass

    with running(Handler) as address:
        hub.address = address
        yield hub


def _answer(handler: BaseHTTPRequestHandler, hub: Hub) -> None:
    path = unquote(urlsplit(handler.path).path)
    token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
    hub.requests.append((handler.command, path, token))
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    if path == "/api/repos/create":
        wanted = json.loads(body)
        hub.created.append(wanted)
        name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
        exists = name in hub.repositories
        hub.repositories.setdefault(name, [{}])
        return _json(handler, {"url": f"{hub.address}/{name}"}, 409 if exists else 200)
    if path == "/api/validate-yaml":
        return _json(handler, {"errors": [], "warnings": []})
    match = re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(?:/(\w+)/(.+))?", path) or re.fullmatch(
        r"/([\w.-]+/[\w.-]+)/(resolve)/(.+)", path
    )
    name = match[1] if match else ""
    if name not in hub.repositories or name in hub.private and token != TOKEN:
        return _json(handler, {"error": "Repository not found"}, 401, "RepoNotFound")
    what, rest = match[2] or "revision", match[3] or "main"
    revision, _, file = rest.partition("/")
    found = hub.find(name, revision if what in ("resolve", "tree") else rest)
    if found is None:
        return _json(handler, {"error": "Invalid rev"}, 404, "RevisionNotFound")
    commit, files = found
    if what == "revision":
        siblings = [{"rfilename": each} for each in files]
        return _json(handler, {"id": name, "modelId": name, "sha": commit, "siblings": siblings,
                               "tags": [], "private": name in hub.private, "downloads": 0})
    if what == "tree":
        return _json(handler, [
            {"type": "file", "path": each, "size": len(data), "oid": _tag(data)}
            for each, data in files.items()
        ])
    if what == "preupload":
        return _json(handler, {"files": [
            {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
            for each in json.loads(body)["files"]
        ]})
    if what == "commit":
        uploaded = dict(files)
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                uploaded[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        hub.repositories[name].append(uploaded)
        oid = hub.commit(name)
        return _json(handler, {"success": True, "commitOid": oid,
                               "commitUrl": f"{hub.address}/{name}/commit/{oid}"})
    if file not in files:
        return _json(handler, {"error": "Entry not found"}, 404, "EntryNotFound")
    headers = {"ETag": f'"{_tag(files[file])}"', "X-Repo-Commit": commit}
    return _send(handler, files[file], 200, headers)


def _tag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def _json(handler, content, status: int = 200, code: str = "") -> None:
    headers = {"Content-Type": "application/json"} | ({"X-Error-Code": code} if code else {})
    _send(handler, json.dumps(content).encode(), status, headers)


def _send(handler, data: bytes, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)

"""Two Hubs on loopback: `olah`, a third party's, for downloads as they should go, and `FaultyHub` for everything else.

Connections are counted where they are accepted.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote

import pytest

from zoo.testing.hub_server import sha256

REPO = "lab/tiny"


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


# -------------------------------------------------------------------------------------------------------- a faulty Hub


class FaultyHub(ThreadingHTTPServer):
    """A Hub in memory that fails as told. HTTP/1.0: one request per connection, so that accepted sockets count both.

    Attributes:
        commits: {repo: {commit: {file: bytes}}}; files above 1000 bytes are LFS.
        branches: {repo: {branch or tag: commit}}.
        faults: what to do with the next requests of a kind ("api", "paths", "file"), first come first served:
            ("status", 503, {headers}), ("cut", bytes), ("serve", other bytes), ("no-range",), ("pass",).
        requests: (kind, method, path, Range header) of every request.
        accepted: sockets accepted.
        pace_s: wait between pieces of 64 KiB.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits, self.branches, self.faults, self.requests = {}, {}, {}, []
        self.accepted, self.pace_s, self.uploads, self.created = 0, 0.0, {}, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def get_request(self):
        self.accepted += 1
        return super().get_request()

    def handle_error(self, request, client_address):
        """A client that goes away is part of the tests."""

    def commit(self, repo, files, branch="main"):
        commit = hashlib.sha1(repr((repo, files, time.time_ns())).encode()).hexdigest()
        self.commits.setdefault(repo, {})[commit] = dict(files)
        self.branches.setdefault(repo, {})[branch] = commit
        return commit

    def ranges(self):
        return [asked for kind, _, _, asked in self.requests if kind == "file"]


class _Handler(BaseHTTPRequestHandler):
    server: FaultyHub

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        if path.startswith("/api/models/"):
            repo, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            if not self._fault("api") and (commit := self._commit(repo, revision or "main")):
                self._json({"id": repo, "sha": commit})
            return
        if "/resolve/" not in path:  # huggingface_hub asks for a list of coding agents, once per process
            self._refuse(404, {})
            return
        repo, _, rest = path[1:].partition("/resolve/")
        revision, _, name = rest.partition("/")
        if (fault := self._fault("file")) is True or not (commit := self._commit(repo, revision)):
            return
        self._file(self.server.commits[repo][commit].get(name), fault)

    def _file(self, content, fault):
        if content is None:
            self._refuse(404, {"X-Error-Code": "EntryNotFound"})
            return
        if fault and fault[0] == "serve":
            content = fault[1]
        start, asked = 0, self.headers.get("Range")
        if asked and not (fault and fault[0] == "no-range"):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault and fault[0] == "cut":
            body = body[: fault[1]]
        for at in range(0, len(body), 1 << 16):
            self.wfile.write(body[at : at + (1 << 16)])
            time.sleep(self.server.pace_s)

    def do_POST(self):
        body, path = self.rfile.read(int(self.headers.get("Content-Length", 0))), self.path.partition("?")[0]
        if "/paths-info/" in path:
            repo, _, revision = path.removeprefix("/api/models/").partition("/paths-info/")
            if not self._fault("paths") and (commit := self._commit(repo, revision)):
                self._json(self._paths(repo, commit, parse_qs(body.decode())["paths"]))
        elif path == "/api/repos/create":
            if not self._fault("api"):
                row = json.loads(body)
                repo = f"{row['organization']}/{row['name']}"
                self.server.created.append(repo)
                self.server.commits.setdefault(repo, {})
                self._json({"url": f"{self.server.url}/{repo}", "name": repo, "id": repo})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            rows = json.loads(body)["files"]
            modes = [
                {"path": row["path"], "uploadMode": "lfs" if row["size"] > 1000 else "regular", "shouldIgnore": False}
                for row in rows
            ]
            self._json({"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            self._json({"transfer": "basic", "objects": [self._upload(row) for row in json.loads(body)["objects"]]})
        elif "/commit/" in path:
            self._take_commit(path.removeprefix("/api/models/").partition("/commit/")[0], body)

    def _upload(self, row):
        href = f"{self.server.url}/upload/{row['oid']}"
        return {**row, "authenticated": True, "actions": {"upload": {"href": href, "header": {}}}}

    def do_PUT(self):
        self.server.uploads[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self._json({})

    def _take_commit(self, repo, body):
        if self._fault("commit"):
            return
        files = {}
        for line in body.splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            elif row["key"] == "lfsFile":
                files[row["value"]["path"]] = self.server.uploads[row["value"]["oid"]]
        commit = self.server.commit(repo, files)
        self._json({"commitUrl": f"{self.server.url}/{repo}/commit/{commit}", "commitOid": commit})

    def _paths(self, repo, commit, names):
        files = self.server.commits[repo][commit]
        rows = []
        for name in names:
            if name in files:
                content = files[name]
                row = {"type": "file", "path": name, "size": len(content), "oid": git_sha1(content)}
                if len(content) > 1000:
                    row["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
                rows.append(row)
        return rows

    def _commit(self, repo, revision):
        if repo not in self.server.commits:
            self._refuse(401, {"X-Error-Code": "RepoNotFound"})
            return None
        if revision in self.server.commits[repo]:
            return revision
        if commit := self.server.branches.get(repo, {}).get(revision):
            return commit
        self._refuse(404, {"X-Error-Code": "RevisionNotFound"})
        return None

    def _fault(self, kind):
        """True when the fault was the whole answer; the fault, where it changes the answer; else None."""
        self.server.requests.append((kind, self.command, self.path, self.headers.get("Range")))
        planned = self.server.faults.get(kind)
        fault = planned.pop(0) if planned else ("pass",)
        if fault[0] == "status":
            self._refuse(fault[1], fault[2] if len(fault) > 2 else {})
            return True
        return None if fault[0] == "pass" else fault

    def _refuse(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(caches, monkeypatch):
    """A FaultyHub that the client is pointed to."""
    server = FaultyHub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def naps(monkeypatch):
    """Seconds that the client would have waited; it does not wait."""
    waited = []
    monkeypatch.setattr("zoo.hub.transfer.time", SimpleNamespace(sleep=waited.append, time=time.time))
    return waited


# -------------------------------------------------------------------------------------------------------------- caches


@pytest.fixture
def caches(zoo_caches):
    """Empty caches, no token, no pooled connection from another test."""
    return zoo_caches


@pytest.fixture
def python():
    """Run a line of Python in a fresh process, with the environment of the test."""

    def run(code, *, wait=True):
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        if not wait:
            return child
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        return out.strip()

    return run


@pytest.fixture
def nobody():
    """Folders and a context in which the process has no right to write them, also when the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)

        @contextlib.contextmanager
        def read_only():
            closed = [path, *(one for one in path.rglob("*") if one.is_dir() and not one.is_symlink())]
            for one in closed:
                one.chmod(0o555)
            root = os.geteuid() == 0
            if root:
                os.seteuid(65534)
            try:
                yield
            finally:
                if root:
                    os.seteuid(0)
                for one in closed:
                    one.chmod(0o755)

        yield path, read_only


# ---------------------------------------------------------------------------------------------------------------- olah


@pytest.fixture
def mirror(zoo_hub, request):
    """A fresh repository on `olah`, to which the client is pointed. Its name is the test's own."""
    repository = zoo_hub.repository(f"lab/{sha256(request.node.nodeid.encode())[:16]}")
    return SimpleNamespace(
        repo=repository.repo,
        folder=repository.folder,
        commit=repository.commit,
        lfs=repository.lfs,
        counter=zoo_hub.counter,
    )

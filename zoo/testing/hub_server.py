"""The Hub, played on loopback by a third party's server, `olah` (a development dependency), for tests of downloads.

The fixtures come with `zoo.testing.fixtures`: `zoo_hub` points the client to a Hub whose repositories a test fills, and
`zoo_caches` gives the test empty caches. The server takes seconds to start, so one serves all tests of a run.
Connections are counted where they are accepted.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

START_S = 60  # how long the server may take to answer


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Counter(threading.Thread):
    """Passes bytes on to a server and counts the sockets that it accepts."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self.target, self.accepted = target, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.accepted += 1
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server, contextlib.suppress(OSError):
            while True:
                for source in select.select([client, server], [], [])[0]:
                    piece = source.recv(1 << 16)
                    if not piece:
                        return
                    (server if source is client else client).sendall(piece)


@dataclass(frozen=True, slots=True)
class Repository:
    """The git folder that the server offers as one repository of the Hub; it comes into being with its first commit."""

    repo: str
    folder: Path

    def commit(self, small: Mapping[str, bytes], large: Mapping[str, bytes]) -> str:
        """Commit files as they are, and large ones as LFS pointers; returns the commit."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
            self._git("init", "-q", "-b", "main")
        for name, content in small.items():
            (self.folder / name).write_bytes(content)
        for name, content in large.items():
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content)}\nsize {len(content)}\n"
            (self.folder / name).write_text(pointer)
            self.lfs(content).parent.mkdir(parents=True, exist_ok=True)
            self.lfs(content).write_bytes(content)
        self._git("add", "-A")
        self._git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "files")
        return self._git("rev-parse", "HEAD").strip()

    def lfs(self, content: bytes) -> Path:
        """Where the bytes of a large file stand: a test may damage them."""
        name = sha256(content)
        return self.folder / ".git" / "lfs" / "objects" / name[:2] / name[2:4] / name

    def _git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True, slots=True)
class HubServer:
    """A running server behind a counter. `mirrors` holds its repositories, `copies` what it has served of them."""

    counter: Counter
    mirrors: Path
    copies: Path
    used: list[Path] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """Connections so far."""
        return self.counter.accepted

    def repository(self, repo: str) -> Repository:
        """An empty repository of that name, `org/name`."""
        folder = self.mirrors / "models" / repo
        if folder in self.used:
            shutil.rmtree(folder)
        else:
            self.used.append(folder)
        return Repository(repo, folder)

    def clear(self) -> None:
        """Delete all repositories, and the copies that the server keeps: released files are large."""
        for folder in self.used:
            shutil.rmtree(folder, ignore_errors=True)
        self.used.clear()
        shutil.rmtree(self.copies, ignore_errors=True)


@contextlib.contextmanager
def serve(root: Path) -> Iterator[HubServer]:
    """Run the server on files below `root` until the context ends."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    mirrors, copies, config = root / "mirrors", root / "repos", root / "olah.toml"
    mirrors.mkdir()
    config.write_text(
        f'[basic]\nhost = "127.0.0.1"\nport = {port}\nrepos-path = "{copies}"\n'
        f'mirrors-path = ["{mirrors}"]\n[accessibility]\noffline = true\n'
    )
    command = [sys.executable, "-m", "olah.server", "--config", str(config), "--log-path", str(root / "logs")]
    with (root / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=root, stdout=log, stderr=log)
        try:
            _wait(server, port, root / "log")
            counter = Counter(("127.0.0.1", port))
            counter.start()
            yield HubServer(counter, mirrors, copies)
            counter.listener.close()
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)

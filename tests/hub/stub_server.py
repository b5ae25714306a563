"""A small Hub that lives in one thread: enough of the protocol for the real client to create, push and load models.

It stores commits in memory, checks the sha256 of every large file, and refuses what the real Hub refuses:
unknown tokens (401), read-only tokens (403), names that are taken (409), a card whose metadata does not parse (400).
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

WRITE_TOKEN, READ_TOKEN, USER = "hf_x", "hf_read", "tester"
LARGE_SUFFIXES = (".safetensors", ".bin", ".onnx", ".pt", ".pth", ".pkl")
BASE_MODEL_RELATIONS = ("finetune", "adapter", "merge", "quantized")


class Refusal(Exception):
    """An answer other than 200: its status, a message, and the code by which the client tells one 404 from another."""

    def __init__(self, status, message, code=None, **body):
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, {"error": message, **body}


@dataclass
class Blob:
    content: bytes
    large: bool

    @property
    def oid(self):
        """sha256 for a large file, git's own hash for a small one: what the client compares its file with."""
        if self.large:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


@dataclass
class Repo:
    private: bool
    commits: dict = field(default_factory=dict)  # commit id -> {path: Blob}
    branches: dict = field(default_factory=dict)  # name -> commit id
    messages: list = field(default_factory=list)

    def commit(self, branch, files, message):
        oid = hashlib.sha1(f"{len(self.commits)} {message}".encode()).hexdigest()
        self.commits[oid], self.branches[branch] = files, oid
        self.messages.append(message)
        return oid

    def resolve(self, revision):
        oid = self.branches.get(revision, revision)
        if oid not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid


class StubHub:
    """The state behind the server. Its methods are named after what the client asks for."""

    def __init__(self):
        self.url, self.lock = None, threading.Lock()
        self.clear()

    def clear(self):
        """Forget all repositories, files and requests."""
        self.repos, self.large_files, self.unknown_requests = {}, {}, []

    def files(self, repo_id, revision="main"):
        """What a repository holds: path -> bytes."""
        repo = self.repos[repo_id]
        return {path: blob.content for path, blob in repo.commits[repo.resolve(revision)].items()}

    def repo(self, repo_id, token):
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and token not in (WRITE_TOKEN, READ_TOKEN)):
            raise Refusal(404 if token else 401, "Repository not found", "RepoNotFound")
        return repo

    def create(self, payload):
        repo_id = f"{payload.get('organization') or USER}/{payload['name']}"
        url = f"{self.url}/{repo_id}"
        if repo_id in self.repos:
            raise Refusal(409, "You already created this model repo", url=url)
        repo = self.repos[repo_id] = Repo(private=payload.get("visibility") == "private")
        repo.commit("main", {".gitattributes": Blob(b"*.safetensors filter=lfs\n", large=False)}, "initial commit")
        return {"url": url}

    def branch(self, repo, name, payload):
        if name in repo.branches:
            raise Refusal(409, f"Reference already exists: {name}")
        repo.branches[name] = repo.resolve(payload.get("startingPoint") or "main")
        return {}

    def preupload(self, repo, revision, payload):
        present = repo.commits[repo.resolve(revision)]
        modes = []
        for wanted in payload["files"]:
            path = wanted["path"]
            large = path.endswith(LARGE_SUFFIXES)
            known = {"oid": present[path].oid} if path in present else {}
            modes.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, **known})
        return {"files": modes}

    def large_batch(self, payload):
        objects = []
        for wanted in payload["objects"]:
            actions = {"actions": {"upload": {"href": f"{self.url}/large/{wanted['oid']}"}}}
            objects.append({**wanted, **({} if wanted["oid"] in self.large_files else actions)})
        return {"transfer": "basic", "objects": objects}

    def store_large(self, oid, content):
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refusal(400, f"The content of {oid} does not have this sha256")
        self.large_files[oid] = content
        return {}

    def commit(self, repo_id, repo, revision, lines):
        files, header = dict(repo.commits[repo.resolve(revision)]), {"summary": ""}
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "header":
                header = value
            elif key == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), large=False)
            elif key == "lfsFile":
                content = self.large_files.get(value["oid"])
                if content is None or len(content) != value.get("size", len(content)):
                    raise Refusal(400, f"LFS object {value['oid']} of {value['path']} was not uploaded")
                files[value["path"]] = Blob(content, large=True)
            else:
                raise Refusal(400, f"The stub Hub does not know the operation {key!r}")
        oid = repo.commit(revision, files, header["summary"])
        return {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/{repo_id}/commit/{oid}"}

    def info(self, repo_id, repo, revision):
        oid = repo.resolve(revision)
        card = repo.commits[oid].get("README.md")
        metadata = metadata_of(card.content.decode()) if card else {}
        return {
            "_id": "0", "id": repo_id, "modelId": repo_id, "sha": oid, "private": repo.private,
            "tags": metadata.get("tags", []), "pipeline_tag": metadata.get("pipeline_tag"),
            "library_name": metadata.get("library_name"), "cardData": metadata,
            "siblings": [{"rfilename": path} for path in repo.commits[oid]],
        }  # fmt: skip

    def tree(self, repo, revision, folder):
        entries = []
        for path, blob in repo.commits[repo.resolve(revision)].items():
            if folder and not path.startswith(f"{folder}/"):
                continue
            large = {"lfs": {"oid": blob.oid, "size": len(blob.content), "pointerSize": 134}} if blob.large else {}
            entries.append({"type": "file", "path": path, "size": len(blob.content), "oid": blob.oid, **large})
        if folder and not entries:
            raise Refusal(404, f"{folder} does not exist", "EntryNotFound")
        return entries


def metadata_of(card):
    """The metadata block of a model card; {} without one. Raises Refusal where the Hub would refuse the card."""
    match = re.match(r"\s*---\n(.*?)\n---[ \t]*(\n|$)", card, flags=re.DOTALL)
    if not match:
        return {}
    try:
        metadata = yaml.safe_load(match.group(1)) or {}
    except yaml.YAMLError as error:
        raise Refusal(400, "bad card", errors=[{"message": str(error)}], warnings=[]) from error
    relation = metadata.get("base_model_relation")
    if relation is not None and relation not in BASE_MODEL_RELATIONS:
        message = f'"base_model_relation" must be one of {BASE_MODEL_RELATIONS}'
        raise Refusal(400, "bad card", errors=[{"message": message}], warnings=[])
    return metadata


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps the connection open, as the client expects

    @property
    def hub(self):
        return self.server.hub

    def log_message(self, *args):
        """Quiet: pytest's output is for tests."""

    def do_GET(self):
        self.handle_with(self.read)

    def do_HEAD(self):
        self.handle_with(self.read)

    def do_POST(self):
        self.handle_with(self.write)

    def do_PUT(self):
        self.handle_with(self.write)

    def handle_with(self, action):
        body = self.body()  # read whatever happens: unread bytes would be taken for the next request
        path = urlsplit(self.path).path
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        try:
            with self.hub.lock:
                self.answer(200, action(path, token, body))
        except Refusal as refusal:
            headers = {"X-Error-Message": refusal.message, **({"X-Error-Code": refusal.code} if refusal.code else {})}
            self.answer(refusal.status, refusal.body, headers)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status, value, headers=None):
        headers = dict(headers or {})
        if isinstance(value, tuple):
            value, extra = value
            headers.update(extra)
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def read(self, path, token, body):
        hub = self.hub
        if path == "/api/whoami-v2":
            if token not in (WRITE_TOKEN, READ_TOKEN):
                raise Refusal(401, "Invalid username or password.")
            return {"type": "user", "name": USER, "orgs": [], "auth": {"accessToken": {"role": "write"}}}
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", path):
            repo_id, revision, folder = map(unquote, (match[1], match[2], match[3] or ""))
            return hub.tree(hub.repo(repo_id, token), revision, folder)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/([^/]+))?", path):
            repo_id, revision = match[1], unquote(match[2] or "main")
            return hub.info(repo_id, hub.repo(repo_id, token), revision)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repo_id, revision, name = map(unquote, match.groups())
            repo = hub.repo(repo_id, token)
            oid = repo.resolve(revision)
            commit = {"X-Repo-Commit": oid}
            if name not in repo.commits[oid]:
                raise Refusal(404, "Entry not found", "EntryNotFound")
            blob = repo.commits[oid][name]
            return blob.content, {**commit, "ETag": f'"{blob.oid}"'}
        return self.unknown(path)

    def write(self, path, token, body):
        hub = self.hub
        if path == "/api/validate-yaml":
            metadata_of(json.loads(body)["content"])
            return {"errors": [], "warnings": []}
        if match := re.fullmatch(r"/large/([0-9a-f]{64})", path):
            return hub.store_large(match[1], body)  # the address itself is the permission, as with the real storage
        if token == READ_TOKEN:
            raise Refusal(403, "This token has no write access")
        if token != WRITE_TOKEN:
            raise Refusal(401, "Invalid username or password.")
        if path == "/api/repos/create":
            return hub.create(json.loads(body))
        if match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            hub.repo(match[1], token)
            return hub.large_batch(json.loads(body))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch)/([^/]+)", path):
            repo_id, action, revision = match[1], match[2], unquote(match[3])
            repo = hub.repo(repo_id, token)
            if action == "commit":
                lines = [json.loads(line) for line in body.splitlines() if line.strip()]
                return hub.commit(repo_id, repo, revision, lines)
            return getattr(hub, action)(repo, revision, json.loads(body))
        return self.unknown(path)

    def unknown(self, path):
        self.hub.unknown_requests.append(f"{self.command} {path}")
        raise Refusal(404, f"The stub Hub has no {path}")


@contextmanager
def running_hub():
    """Serves an empty StubHub on a free port of 127.0.0.1 until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.hub = StubHub()
    server.hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

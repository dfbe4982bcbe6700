"""Two replicas over one folder behind nginx: neither keeps anything that the other lacks."""

import shutil
import subprocess
import time
from contextlib import contextmanager

import httpx
import pytest

from projects.qa_api.server.app import keys_of
from projects.qa_api.server.people import issue
from projects.qa_api.server.settings import PREFIX, Settings
from shared.web.launch import listening, running
from tests.qa_api.conftest import DOCUMENTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="Debian's nginx is not installed"),
]
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr warn; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream replicas {{ {upstreams} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas; proxy_next_upstream error timeout; proxy_read_timeout 300s;
      add_header X-Replica $upstream_addr;
    }}
  }}
}}
"""


@contextmanager
def nginx(folder, replicas):
    opened = listening("127.0.0.1", 0)
    port = opened.getsockname()[1]
    opened.close()
    upstreams = " ".join(f"server {each.url.removeprefix('http://')};" for each in replicas)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstreams=upstreams, port=port))
    process = subprocess.Popen(["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")])
    try:
        for _ in range(200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except httpx.HTTPError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_a_token_a_document_and_a_deletion_of_one_hold_at_the_other(tmp_path):
    data = tmp_path / "data"
    key = issue(keys_of(Settings(data=data)), "a", "admin", "ana")
    told = {"data": data, "dataset": "none", "rate": 1e5}
    module = "projects.qa_api.measure.small"
    with (
        running(module, PREFIX, told) as one,
        running(module, PREFIX, told) as two,
        nginx(tmp_path, (one, two)) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=300) as client,
    ):
        seen = set()
        for document in DOCUMENTS:
            given = {"title": document.title, "text": document.text, "language": document.language}
            answer = client.put(f"/v1/documents/{document.id}", json=given)
            assert answer.status_code == 201
            seen.add(answer.headers["X-Replica"])
        assert len(seen) == 2, "nginx asks both in turn"
        asked = [client.post("/v1/ask", json={"question": "What is a mole?"}) for _ in range(2)]
        for first, other in (asked, asked[::-1]):
            follow = {"question": "", "token": first.json()["token"], "document": "mole-unit"}
            for _ in range(2):  # one of the two is the replica that did not ask back
                chosen = client.post("/v1/ask", json=follow)
                assert chosen.status_code == 200 and chosen.json()["source"]["document"] == "mole-unit"
            assert first.headers["X-Replica"] != other.headers["X-Replica"]
        assert client.delete("/v1/documents/mole-unit").status_code == 200
        for _ in range(2):  # the answers that both kept are gone with it
            assert client.post("/v1/ask", json={"question": "What is a mole?"}).json()["kind"] != "clarify"
            assert all(each["document"] != "mole-unit" for each in client.get("/v1/search?q=mole").json()["hits"])
        one.process.kill()
        one.process.wait()
        for _ in range(3):
            assert client.get("/v1/search?q=star").json()["hits"][0]["document"] == "sun"

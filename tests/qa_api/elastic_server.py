"""A small Elasticsearch or OpenSearch: the part of the protocol that index/elastic.py speaks, and its refusals.

It refuses a search or a count without the filter of a tenant, an unknown field, a vector of another width, and the
vector query of the other kind of server, as the real ones or this project's rule do.
"""

import json
import re

import httpx
import numpy as np

CLIENT = httpx.Client  # also while a test has put another one in its place


class ElasticServer:
    def __init__(self, *, distribution=None):
        self.distribution, self.indices, self.requests, self.down = distribution, {}, [], False
        self.refuse_items = 0

    def client(self):
        return CLIENT(transport=httpx.MockTransport(self.handle), base_url="http://index.test")

    def handle(self, request):
        if self.down:
            raise httpx.ConnectError("refused")
        path, body = request.url.path, request.content.decode()
        self.requests.append((request.method, path, body))
        if path == "/":
            version = {"number": "9.2.0"} | ({"distribution": self.distribution} if self.distribution else {})
            return httpx.Response(200, json={"version": version})
        name, _, rest = path.strip("/").partition("/")
        if not rest:
            return self.create(name, json.loads(body))
        if name not in self.indices:
            return httpx.Response(404, json={"error": {"type": "index_not_found_exception"}})
        if rest == "_bulk":
            assert request.headers["Content-Type"] == "application/x-ndjson" and body.endswith("\n")
            assert request.url.params["refresh"] == "true"
            return self.bulk(self.indices[name], [json.loads(line) for line in body.splitlines()])
        if rest in ("_search", "_count"):
            return getattr(self, rest)(self.indices[name], json.loads(body))
        return self.one(self.indices[name], request, rest.removeprefix("_doc/"), body)

    def create(self, name, body):
        if name in self.indices:
            return httpx.Response(400, json={"error": {"type": "resource_already_exists_exception"}})
        fields = body["mappings"]["properties"]
        if "vector" in fields:
            opened = self.distribution == "opensearch"
            assert fields["vector"]["type"] == ("knn_vector" if opened else "dense_vector")
            assert bool(body["settings"].get("index.knn")) == opened
            assert body["settings"]["index.gc_deletes"] == "1d"
        self.indices[name] = {"fields": fields, "docs": {}, "versions": {}}
        return httpx.Response(200, json={"acknowledged": True})

    def write(self, index, identity, version, kind, source):
        assert kind == "external_gte"
        if self.refuse_items:
            self.refuse_items -= 1
            return 429
        if version < index["versions"].get(identity, -1):
            return 409
        index["versions"][identity] = version
        if source is None:
            return 200 if index["docs"].pop(identity, None) is not None else 404
        width = index["fields"].get("vector", {}).get("dims", index["fields"].get("vector", {}).get("dimension"))
        if source.keys() - index["fields"].keys() or ("vector" in source and len(source["vector"]) != width):
            return 400
        new = identity not in index["docs"]
        index["docs"][identity] = source
        return 201 if new else 200

    def bulk(self, index, lines):
        items, at = [], 0
        while at < len(lines):
            ((action, where),) = lines[at].items()
            source = lines[at + 1] if action == "index" else None
            at += 2 if action == "index" else 1
            status = self.write(index, where["_id"], where["version"], where["version_type"], source)
            items.append({action: {"_id": where["_id"], "status": status}})
        return httpx.Response(200, json={"errors": False, "items": items})

    def one(self, index, request, identity, body):
        if request.method == "GET":
            found = identity in index["docs"]
            told = {"found": found} | ({"_source": index["docs"][identity]} if found else {})
            return httpx.Response(200 if found else 404, json=told)
        told = request.url.params
        status = self.write(index, identity, int(told["version"]), told["version_type"], json.loads(body))
        return httpx.Response(status, json={})

    def _count(self, index, asked):
        tenant = asked["query"]["term"]["tenant"]
        return httpx.Response(200, json={"count": sum(each["tenant"] == tenant for each in index["docs"].values())})

    def _search(self, index, asked):
        words = lambda text: set(re.findall(r"\w+", text.casefold()))  # noqa: E731
        if "bool" in asked.get("query", {}):
            (tenant,) = (each["term"]["tenant"] for each in asked["query"]["bool"]["filter"])
            (match,) = asked["query"]["bool"]["must"]
            fields = [each.split("^")[0] for each in match["multi_match"]["fields"]]
            assert set(fields) == {"body_en", "body_es"}
            wanted = words(match["multi_match"]["query"])
            score = lambda each: len(wanted & words(" ".join(each.get(field, "") for field in fields)))  # noqa: E731
        else:
            opened = self.distribution == "opensearch"
            near = asked["query"]["knn"]["vector"] if opened else asked["knn"]
            tenant, query = near["filter"]["term"]["tenant"], np.array(near["vector" if opened else "query_vector"])
            score = lambda each: (1 + float(np.array(each["vector"]) @ query)) / 2  # noqa: E731
        found = [(score(each), identity) for identity, each in index["docs"].items() if each["tenant"] == tenant]
        best = sorted((-value, identity) for value, identity in found if value > 0)[: asked["size"]]
        assert asked["_source"] is False
        return httpx.Response(200, json={"hits": {"hits": [{"_id": each, "_score": -value} for value, each in best]}})

"""Asks a server for an inference with nothing but Python's own library: python3 ask.py [ADDRESS [MODEL REQUEST.json]]."""

import json
import os
import sys
import urllib.error
import urllib.request

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
model = sys.argv[2] if len(sys.argv) > 2 else "golden-f32"
path = sys.argv[3] if len(sys.argv) > 3 else "fixtures/micro/golden-f32/cases/golden/request.json"


def ask(method: str, route: str, body: bytes | None = None) -> dict:
    """One request; the server's own words where it refuses."""
    headers = {"Content-Type": "application/json"}
    token = os.environ.get("WEBNN_POOL_TOKEN")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(address + route, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        why = json.load(refused).get("error", refused.reason)
        # A full queue says when to come back; a caller that goes on has to wait so long.
        wait = refused.headers.get("Retry-After")
        sys.exit(f"{refused.code}: {why}" + (f" (again in {wait} s)" if wait else ""))


described = ask("GET", f"/v2/models/{model}")
print("inputs:", ", ".join(f"{one['name']} {one['datatype']} {one['shape']}" for one in described["inputs"]))

with open(path, "rb") as file:
    answer = ask("POST", f"/v2/models/{model}/infer", file.read())
where = answer["parameters"]
print(f"computed in {where['browser']} on {where['backend']} in {where['in_page_ms']:.1f} ms")
for output in answer["outputs"]:
    print(output["name"], output["shape"], output["data"][:4], "…")

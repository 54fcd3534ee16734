"""A client for pavise-hmac-v1, written from docs/guide/hmac-specification.md.

Reads requests as JSON, one a line, and writes for each the signed bytes and the
two headers to send. Only Python's standard library.
"""

import base64
import hashlib
import hmac
import json
import sys
from urllib.parse import urlsplit

HASHES = {"hmac-sha256": hashlib.sha256, "hmac-sha512": hashlib.sha512}
DIGESTS = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def digest_field(body, names):
    members = []
    for name in names:
        text = base64.b64encode(DIGESTS[name](body).digest()).decode()
        members.append(name + "=:" + text + ":")
    return ", ".join(members)


def canonical(request, digest):
    url = urlsplit(request["url"])
    query = ""
    if "?" in request["url"]:
        query = "?" + url.query
    headers = [(name.lower(), value.strip(" \t")) for name, value in request["headers"]]
    lines = [
        "pavise-hmac-v1",
        request["id"],
        request["algorithm"],
        str(request["timestamp"]),
        request["nonce"],
        request["method"],
        url.netloc.lower(),
        url.path or "/",
        query,
        ";".join(name for name, _ in headers),
    ]
    lines += [name + ":" + value for name, value in headers]
    lines.append(digest)
    return "".join(line + "\n" for line in lines)


def sign(request):
    if "body_base64" in request:
        body = base64.b64decode(request["body_base64"])
    else:
        body = request.get("body", "").encode()
    digest = digest_field(body, request.get("digests", ["sha-256"]))
    text = canonical(request, digest)
    key = request["secret"].encode()
    mac = hmac.new(key, text.encode(), HASHES[request["algorithm"]]).digest()
    signature = base64.b64encode(mac).decode()
    authorization = (
        f'HMAC id="{request["id"]}", alg="{request["algorithm"]}", ts="{request["timestamp"]}", '
        f'nonce="{request["nonce"]}", headers="{";".join(n.lower() for n, _ in request["headers"])}", '
        f'signature="{signature}"'
    )
    return {"canonical": text, "content_digest": digest, "signature": signature, "authorization": authorization}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(sign(json.loads(line))))

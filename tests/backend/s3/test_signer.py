"""Our signatures are those of the vendor's library: some of its are kept here, and more are made where it is installed.

It is not among the packages of the tests, because it needs older ones than others do. To write the file anew after
`pip install botocore`: python3 -m tests.backend.s3.test_signer
"""

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.s3.signer import UNSIGNED, S3Key, make_query, quote_key, sign

VECTORS = Path(__file__).with_name("signatures.json")
_LETTERS = "abcXYZ019-_.~/ +%&=?#!*'():@;,$[]ü漢"
_text = st.text(_LETTERS, max_size=20)
_words = st.text("abcXYZ019=+/", min_size=1, max_size=20)
_headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-MD5": _words,
        "Range": st.just("bytes=0-9"),
        "X-Amz-Storage-Class": st.sampled_from(["STANDARD_IA", " spaces  in it "]),
    },
)


def sign_theirs(key: S3Key, method: str, url: str, headers: dict[str, str], service: str, seconds: int) -> str:
    """Return the Authorization of the vendor's library."""
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    credentials = botocore.credentials.Credentials(key.key_id, key.secret, key.token or None)
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    auth = kind(credentials, service, "eu-west-1")
    auth.payload = lambda request: UNSIGNED
    request = botocore.awsrequest.AWSRequest(method=method, url=url, headers=dict(headers), data=b"")
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        auth.add_auth(request)
    return str(request.headers["Authorization"])


@given(
    key=st.builds(S3Key, _words, _words, st.just("") | _words),
    method=st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"]),
    host=st.sampled_from(["bucket.s3.dualstack.eu-west-1.amazonaws.com", "127.0.0.1:8333", "[::1]:9000"]),
    path=_text.filter(lambda path: "//" not in path and not path.startswith("/") and "./" not in path + "/"),
    query=st.lists(st.tuples(_text.filter(bool), _text), max_size=4),
    headers=_headers,
    seconds=st.integers(0, 4_000_000_000),
)
def test_a_signature_is_that_of_the_vendors_library(
    key: S3Key,
    method: str,
    host: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    seconds: int,
) -> None:
    pytest.importorskip("botocore", reason="the vendor's library is not among the packages of the tests")
    made = make_query(query)
    url = f"https://{host}/{quote_key(path)}" + (f"?{made}" if made else "")
    ours = sign(key, method, url, headers, region="eu-west-1", seconds=seconds)
    assert ours["Authorization"] == sign_theirs(key, method, url, headers, "s3", seconds)


def test_signatures_are_those_that_the_vendors_library_made() -> None:
    vectors = json.loads(VECTORS.read_text())
    assert len(vectors) == 120
    for key, method, url, headers, service, seconds, authorization in vectors:
        made = sign(
            S3Key(*key),
            method,
            url,
            headers,
            region="eu-west-1",
            seconds=seconds,
            service=service,
            payload_hash=UNSIGNED,
        )
        assert made["Authorization"] == authorization


def write_vectors() -> None:
    """Write signatures of the vendor's library for requests of all kinds."""
    dice = random.Random(8)
    vectors = []
    for number in range(120):
        service = "sts" if number % 10 == 0 else "s3"
        text = ["".join(dice.choices(_LETTERS, k=dice.randrange(1, 16))) for _ in range(5)]
        path = "/".join(part for part in text[0].split("/") if part.strip("."))
        query = make_query([(text[1], text[2]), (text[3], text[4])][: dice.randrange(3)])
        host = dice.choice(["b.s3.dualstack.eu-west-1.amazonaws.com", "127.0.0.1:8333", "[::1]:9000"])
        url = f"https://{host}/" + ("" if service == "sts" else quote_key(path) + (f"?{query}" if query else ""))
        headers = {"Content-MD5": "abc=="} if number % 2 else {}
        headers |= {"X-Amz-Storage-Class": " spaces  in it "} if number % 3 else {}
        key = S3Key(f"KEY{number}", text[1], "token/==" if number % 4 == 0 else "")
        method = dice.choice(["GET", "PUT", "HEAD", "DELETE", "POST"])
        seconds = dice.randrange(4_000_000_000)
        authorization = sign_theirs(key, method, url, headers, service, seconds)
        vectors.append(((key.key_id, key.secret, key.token), method, url, headers, service, seconds, authorization))
    VECTORS.write_text("[\n" + ",\n".join(map(json.dumps, vectors)) + "\n]\n")


if __name__ == "__main__":
    write_vectors()

"""Access keys are found in restic's order, renewed, and never shown."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.leases import Lease
from pyrestic.backend.s3.key_files import RareProfile, find_profile, run_program
from pyrestic.backend.s3.key_services import KeyServices
from pyrestic.backend.s3.keys import KeyFinder
from pyrestic.backend.s3.signer import S3Key, sign
from pyrestic.errors import AccessError, PyresticError
from tests.support.key_service import KeyService, key_service

OFF = {"AWS_EC2_METADATA_DISABLED": "true"}
TEMPORARY = S3Key("temporary", "temporary-secret", "temporary-token")


@pytest.fixture
def service() -> Iterator[KeyService]:
    with key_service() as running:
        yield running


def find(environment: dict[str, str], home: Path | None = None, region: str = "") -> Lease[S3Key]:
    own = {**OFF, **environment, "HOME": str(home or "/nowhere")}
    return KeyFinder(KeyServices(own, HttpSettings(stall_seconds=5), region)).find()


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, S3Key("a", "b")),
        ({"AWS_ACCESS_KEY": "a", "AWS_SECRET_KEY": "b", "AWS_SESSION_TOKEN": "t"}, S3Key("a", "b", "t")),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_KEY": "b"}, S3Key("a", "b")),
        ({"MINIO_ROOT_USER": "a", "MINIO_ROOT_PASSWORD": "b", "AWS_SESSION_TOKEN": "t"}, S3Key("a", "b")),
        ({"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "b"}, S3Key("a", "b")),
        (
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "MINIO_ACCESS_KEY": "c", "MINIO_SECRET_KEY": "d"},
            S3Key("a", "b"),
        ),
        ({"AWS_ACCESS_KEY_ID": "a", "MINIO_ACCESS_KEY": "c", "MINIO_SECRET_KEY": "d"}, S3Key("c", "d")),
    ],
)
def test_a_key_comes_from_the_environment(environment: dict[str, str], key: S3Key) -> None:
    assert find(environment) == Lease(key)


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is empty"),
        ("AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is empty"),
        ("MINIO_ROOT_USER", "MINIO_ROOT_USER is set, but MINIO_ROOT_PASSWORD is empty"),
    ],
)
def test_half_a_pair_names_the_missing_half(variable: str, words: str) -> None:
    with pytest.raises(AccessError, match=words) as caught:
        find({variable: "topsecret"})
    assert "topsecret" not in str(caught.value)


def test_without_any_key_the_error_says_so_and_how_to_go_on_without() -> None:
    with pytest.raises(AccessError, match="no credentials found") as caught:
        find({})
    assert "s3.unsafe-anonymous-auth" in caught.value.hint


def test_profiles_are_read_from_the_files_of_the_vendors_tools(tmp_path: Path) -> None:
    put(tmp_path / ".aws/credentials", "[default]\naws_access_key_id = a\naws_secret_access_key=b%c\n")
    put(
        tmp_path / ".aws/config",
        "[default]\nregion = x\n[profile other]\naws_access_key_id=c\naws_secret_access_key=d\n",
    )
    assert find({}, tmp_path).value == S3Key("a", "b%c")
    assert find({"AWS_PROFILE": "other"}, tmp_path).value == S3Key("c", "d")
    elsewhere = put(tmp_path / "x", "[default]\naws_access_key_id=e\naws_secret_access_key=f\naws_session_token=g\n")
    assert find({"AWS_SHARED_CREDENTIALS_FILE": str(elsewhere)}, tmp_path).value == S3Key("e", "f", "g")
    with pytest.raises(AccessError, match="no profile absent in"):
        find({"AWS_PROFILE": "absent"}, tmp_path)
    # The environment comes first.
    assert find({"MINIO_ACCESS_KEY": "h", "MINIO_SECRET_KEY": "i"}, tmp_path).value == S3Key("h", "i")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[default]\naws_access_key_id = topsecret\n", "only one of"),
        ("[default\naws_secret_access_key=topsecret", "malformed"),
        ("topsecret\n", "malformed"),
        ("[default]\naws_secret_access_key\x00=topsecret\xff\n[default]\n topsecret", "malformed|only one|no creden"),
    ],
)
def test_a_malformed_file_is_named_and_not_shown(tmp_path: Path, text: str, words: str) -> None:
    path = put(tmp_path / ".aws/credentials", text)
    with pytest.raises(AccessError, match=words) as caught:
        find({}, tmp_path)
    assert "topsecret" not in str(caught.value) + repr(caught.value)
    assert path.exists()


def test_the_alias_of_minios_client_is_used(tmp_path: Path) -> None:
    aliases = {"s3": {"url": "x", "accessKey": "a", "secretKey": "b"}, "own": {"accessKey": "c", "secretKey": "d"}}
    put(tmp_path / ".mc/config.json", json.dumps({"version": "10", "aliases": aliases}))
    assert find({}, tmp_path).value == S3Key("a", "b")
    assert find({"MINIO_ALIAS": "own"}, tmp_path).value == S3Key("c", "d")
    older = put(tmp_path / "old.json", json.dumps({"hosts": {"s3": {"accessKey": "e", "secretKey": "f"}}}))
    assert find({"MINIO_SHARED_CREDENTIALS_FILE": str(older)}, tmp_path).value == S3Key("e", "f")
    put(older, "{")
    with pytest.raises(AccessError, match="no credentials found"):
        find({"MINIO_SHARED_CREDENTIALS_FILE": str(older)}, tmp_path)


@pytest.mark.process
def test_a_program_of_the_user_makes_the_key(tmp_path: Path) -> None:
    printed = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "2033-05-18T03:33:20Z"}
    program = put(tmp_path / "a program.py", f"print({json.dumps(json.dumps(printed))})")
    put(tmp_path / ".aws/config", f"[profile p]\ncredential_process = {sys.executable} '{program}'\n")
    assert find({"AWS_PROFILE": "p"}, tmp_path) == Lease(S3Key("a", "b"), 2e9)
    for text, words in (
        ("import sys; print('topsecret'); sys.exit(3)", "exit code 3"),
        ("print('topsecret')", "no credentials"),
        ('print(\'{"AccessKeyId": "topsecret"}\')', "no credentials"),
    ):
        put(program, text)
        with pytest.raises(AccessError, match=words) as caught:
            find({"AWS_PROFILE": "p"}, tmp_path)
        assert "topsecret" not in str(caught.value)
    with pytest.raises(AccessError, match="could not be started"):
        run_program(str(tmp_path / "absent"), {})


@pytest.mark.process
def test_a_program_of_the_user_does_not_get_the_password(tmp_path: Path) -> None:
    text = """import json, os
given = sorted(name for name in os.environ if name in ("OWN", "RESTIC_PASSWORD"))
print(json.dumps({"Version": 1, "AccessKeyId": " ".join(given), "SecretAccessKey": "b"}))"""
    program = put(tmp_path / "program.py", text)
    made = run_program(f"{sys.executable} '{program}'", {"OWN": "1", "RESTIC_PASSWORD": "topsecret"})
    assert made.value.key_id == "OWN"


def test_a_profile_with_sso_needs_the_extra_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / ".aws/config", "[profile p]\nsso_session = x\nsso_account_id = 1\n")
    assert find_profile({"HOME": str(tmp_path), "AWS_PROFILE": "p"}) == RareProfile("p")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AccessError, match="profile p signs in by SSO") as caught:
        find({"AWS_PROFILE": "p"}, tmp_path)
    assert "pyrestic[cloud-auth]" in caught.value.hint


def test_the_vendors_library_signs_in_for_rare_profiles(
    tmp_path: Path, service: KeyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore", reason="the vendor's library is not among the packages of the tests")
    text = "[profile p]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = q\nregion = us-east-1\n"
    text += "[profile q]\naws_access_key_id=a\naws_secret_access_key=b\n"
    path = put(tmp_path / ".aws/config", text)
    # The library reads the environment of its own process.
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    lease = find({"AWS_PROFILE": "p", "AWS_CONFIG_FILE": str(path)}, tmp_path)
    assert lease == Lease(TEMPORARY, service.ends)
    assert service.actions == ["AssumeRole"]


def test_a_web_identity_becomes_a_key(tmp_path: Path, service: KeyService) -> None:
    token = put(tmp_path / "token", "web-token\n")
    environment = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ENDPOINT_URL_STS": service.url}
    with pytest.raises(AccessError, match="AWS_ROLE_ARN is empty"):
        find(environment)
    environment |= {"AWS_ROLE_ARN": "arn:role", "AWS_ROLE_SESSION_NAME": "me"}
    assert find(environment) == Lease(TEMPORARY, service.ends)
    path, form, headers = service.asked[-1]
    assert (path, form["Action"], form["WebIdentityToken"]) == ("/", "AssumeRoleWithWebIdentity", "web-token")
    assert (form["RoleArn"], form["RoleSessionName"]) == ("arn:role", "me")
    assert "Authorization" not in headers
    token.unlink()
    with pytest.raises(AccessError, match="unable to read the web identity token"):
        find(environment)


def test_a_container_has_a_key(tmp_path: Path, service: KeyService) -> None:
    environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/container"}
    assert find(environment) == Lease(TEMPORARY, service.ends)
    service.container_token = "let me in"
    with pytest.raises(AccessError, match="from the container failed"):
        find(environment)
    assert find({**environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let me in"}).value == TEMPORARY
    path = str(put(tmp_path / "token", "let me in\n"))
    assert find({**environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": path}).value == TEMPORARY


@pytest.mark.parametrize("url", ["http://example.com/x", "ftp://127.0.0.1/", "http://[", "x"])
def test_the_token_of_a_container_is_not_sent_unencrypted(url: str) -> None:
    with pytest.raises(AccessError, match="AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        find({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"})


def test_an_instance_has_a_key(service: KeyService) -> None:
    environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url, "AWS_EC2_METADATA_DISABLED": ""}
    assert find(environment) == Lease(TEMPORARY, service.ends)
    service.url = "http://127.0.0.1:1"
    with pytest.raises(AccessError, match="no credentials found"):
        find({**environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url})


def test_a_role_is_assumed_with_the_key_that_was_found(service: KeyService) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "RESTIC_AWS_ASSUME_ROLE_ARN": "arn:role",
        "RESTIC_AWS_ASSUME_ROLE_SESSION_NAME": "me",
        "RESTIC_AWS_ASSUME_ROLE_EXTERNAL_ID": "outside",
        "RESTIC_AWS_ASSUME_ROLE_POLICY": '{"a": 1}',
        "RESTIC_AWS_ASSUME_ROLE_REGION": "eu-west-1",
        "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT": service.url,
    }
    assert find(environment, region="us-west-2") == Lease(TEMPORARY, service.ends)
    _, form, headers = service.asked[-1]
    assert form | {"RoleArn": "arn:role", "ExternalId": "outside", "Policy": '{"a": 1}'} == form
    assert (form["Action"], form["RoleSessionName"]) == ("AssumeRole", "me")
    assert "/eu-west-1/sts/aws4_request" in headers["Authorization"]
    service.failure = 403
    with pytest.raises(AccessError, match="getting temporary credentials failed"):
        find(environment)


def test_a_key_is_renewed_from_where_it_was_found(service: KeyService) -> None:
    environment = {**OFF, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/container", "HOME": "/nowhere"}
    finder = KeyFinder(KeyServices(environment, HttpSettings(stall_seconds=5), ""))
    finder.find()
    service.key_id = "newer"
    environment |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert finder.find().value.key_id == "newer"


def test_no_secret_is_in_the_text_of_a_key_or_what_holds_one() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "topsecret", "AWS_SESSION_TOKEN": "topsecret"}
    services = KeyServices({**environment, "HOME": "/nowhere"}, HttpSettings(), "")
    lease = KeyFinder(services).find()
    assert "topsecret" not in f"{lease} {lease.value!r} {services!r} {KeyFinder(services)!r}"


def test_a_token_that_expires_in_the_hands_of_sts_is_an_error(service: KeyService) -> None:
    service.failure = 400
    with pytest.raises(PyresticError):
        find(
            {
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
                "RESTIC_AWS_ASSUME_ROLE_ARN": "r",
                "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT": service.url,
            }
        )


def test_anonymous_requests_are_not_signed() -> None:
    assert sign(S3Key("", ""), "GET", "http://h/b", {"Range": "x"}, region="r", seconds=0.0) == {"Range": "x"}

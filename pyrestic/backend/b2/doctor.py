"""Finds problems of a bucket, its key and its contents, and suggests a remedy for each."""

from dataclasses import dataclass
from typing import NamedTuple

from pyrestic.backend.b2 import api
from pyrestic.backend.b2.backend import B2Backend
from pyrestic.backend.b2.client import Authorization, Bucket
from pyrestic.backend.b2.pages import list_versions
from pyrestic.errors import AccessError

_NEEDED = {
    "listFiles": "listing the repository",
    "readFiles": "reading anything back",
    "writeFiles": "backing up",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding: `problem` if backups or restores may fail or cost more than necessary, otherwise advice."""

    code: str
    text: str
    remedy: str
    problem: bool


class Held(NamedTuple):
    """The contents below the repository's prefix: visible files, and invisible versions that are billed."""

    files: int
    file_bytes: int
    hidden: int
    hidden_bytes: int


def examine(backend: B2Backend) -> list[Diagnosis]:
    """Return the findings, problems first; raise BackendError if no call succeeds."""
    session = backend.session
    authorization = session.authorization()
    findings = _check_key(authorization, session.bucket_name, backend.base)
    if not session.can("listFiles"):
        return findings
    bucket = _find_bucket(backend)
    held = count_held(backend)
    if bucket is None:
        findings.append(
            Diagnosis(
                "bucket-unseen",
                "cannot read the bucket settings: the key lacks the capability listBuckets",
                "To check them, run this command with a key that has it, such as the master key.",
                problem=False,
            )
        )
    else:
        findings += _check_bucket(bucket, backend.base, held)
    findings += _check_unfinished(backend)
    return sorted(findings, key=lambda finding: not finding.problem)


def count_held(backend: B2Backend) -> Held:
    """Return the contents below the prefix, from a listing of all versions."""
    files = file_bytes = hidden = hidden_bytes = 0
    decided = ""
    for version in list_versions(backend.session, backend.base):
        if version.action == "start":
            continue
        if version.action == "upload" and version.file_name != decided:
            files += 1
            file_bytes += version.content_length
        elif version.action == "upload":
            hidden += 1
            hidden_bytes += version.content_length
        decided = version.file_name
    return Held(files, file_bytes, hidden, hidden_bytes)


def _find_bucket(backend: B2Backend) -> Bucket | None:
    session = backend.session
    try:
        found = session.run(lambda auth: api.list_buckets(session.caller, auth, session.bucket_name))
    except AccessError:
        return None
    return next((bucket for bucket in found if bucket.bucket_name == session.bucket_name), None)


def _check_key(authorization: Authorization, bucket: str, base: str) -> list[Diagnosis]:
    findings = [
        Diagnosis(
            f"missing-{capability}",
            f"the key lacks the capability {capability}, which {what} needs",
            f"Create a key that has it: b2 key create --bucket {bucket} NAME "
            "listBuckets,listFiles,readFiles,writeFiles,deleteFiles",
            problem=True,
        )
        for capability, what in _NEEDED.items()
        if capability not in authorization.capabilities
    ]
    if authorization.name_prefix and not base.startswith(authorization.name_prefix):
        findings.append(
            Diagnosis(
                "prefix",
                f"the key is limited to names that start with {authorization.name_prefix!r}",
                f"Give the location as b2:{bucket}:{authorization.name_prefix.rstrip('/')} or below it.",
                problem=True,
            )
        )
    if "deleteFiles" not in authorization.capabilities:
        findings.append(
            Diagnosis(
                "append-only",
                "the key may not delete: forget and prune only hide files, which are kept and billed",
                "That protects the backups from whoever has this machine. Prune now and then from another one with a "
                "key that may delete, or let a lifecycle rule delete hidden files after some time.",
                problem=False,
            )
        )
    if authorization.buckets is None and "writeKeys" in authorization.capabilities:
        findings.append(
            Diagnosis(
                "master-key",
                "this is the master key or an equally powerful one: whoever steals it controls the entire account",
                f"Create a key for this bucket only: b2 key create --bucket {bucket} NAME "
                "listBuckets,listFiles,readFiles,writeFiles,deleteFiles",
                problem=False,
            )
        )
    return findings


def _check_bucket(bucket: Bucket, base: str, held: Held) -> list[Diagnosis]:
    name = bucket.bucket_name
    findings = []
    if bucket.bucket_type == "allPublic":
        findings.append(
            Diagnosis(
                "public",
                "the bucket is public: anyone who knows a file name can download it at your cost, but not decrypt it",
                f"b2 bucket update {name} allPrivate, or Bucket Settings in the console: Files in Bucket are Private.",
                problem=True,
            )
        )
    rules = [rule for rule in bucket.lifecycle_rules if _concerns(rule, base)]
    for rule in rules:
        if rule.get("daysFromUploadingToHiding"):
            findings.append(
                Diagnosis(
                    "rule-hides",
                    f"a lifecycle rule hides files {rule['daysFromUploadingToHiding']} days after they were uploaded: "
                    "the repository loses its data by it",
                    f"Lifecycle Settings of {name} in the console: Keep only the last version, or a rule without "
                    "daysFromUploadingToHiding.",
                    problem=True,
                )
            )
    days = [rule["daysFromHidingToDeleting"] for rule in rules if rule.get("daysFromHidingToDeleting")]
    if not days:
        findings.append(
            Diagnosis(
                "rule-missing",
                f"hidden and replaced files are kept and billed forever; there are {held.hidden} of them here, "
                f"{held.hidden_bytes} bytes",
                f"b2 bucket update {name} --lifecycle-rule "
                '\'{"daysFromHidingToDeleting": 30, "daysFromUploadingToHiding": null, "fileNamePrefix": ""}\': '
                "they then remain available with -o b2.as-of for 30 days.",
                problem=held.hidden > 0,
            )
        )
    return findings


def _concerns(rule: dict[str, object], base: str) -> bool:
    prefix = rule.get("fileNamePrefix")
    return isinstance(prefix, str) and (base.startswith(prefix) or prefix.startswith(base))


def _check_unfinished(backend: B2Backend) -> list[Diagnosis]:
    session = backend.session
    bucket_id = session.bucket_id()
    page = session.run(lambda auth: api.list_unfinished_large_files(session.caller, auth, bucket_id, backend.base))
    if not page.files:
        return []
    count = f"{len(page.files)}{' or more' if page.next_file_id else ''}"
    return [
        Diagnosis(
            "unfinished",
            f"uploads of large files were started and never finished; the parts of {count} files are billed",
            f"If no upload is running: b2 file large unfinished cancel b2://{session.bucket_name}/{backend.base}",
            problem=True,
        )
    ]

"""Buckets and keys: the calls by which an account is managed, as in calls.py."""

import re
import secrets
from collections.abc import Callable

from tools.b2_service.failure import CallError, bad_request, unauthorized
from tools.b2_service.service import Answer, Request, Service
from tools.b2_service.store import ACCOUNT, ALL_CAPABILITIES, Bucket, Key

_is_bucket_name = re.compile(r"[a-zA-Z0-9-]{6,63}").fullmatch


def describe_bucket(bucket: Bucket) -> Answer:
    """Return a bucket as answers show it."""
    return {
        "accountId": ACCOUNT,
        "bucketId": bucket.id,
        "bucketInfo": bucket.info,
        "bucketName": bucket.name,
        "bucketType": bucket.type,
        "corsRules": [],
        "defaultServerSideEncryption": {
            "isClientAuthorizedToRead": True,
            "value": {"algorithm": None, "mode": "none"},
        },
        "fileLockConfiguration": {
            "isClientAuthorizedToRead": True,
            "value": {"defaultRetention": {"mode": None, "period": None}, "isFileLockEnabled": False},
        },
        "lifecycleRules": bucket.rules,
        "options": ["s3"],
        "replicationConfiguration": {"isClientAuthorizedToRead": True, "value": None},
        "revision": bucket.revision,
    }


def list_buckets(service: Service, key: Key, request: Request) -> Answer:
    """b2_list_buckets."""
    wanted_id, wanted_name = request.get("bucketId"), request.get("bucketName")
    service.access.check(key, "b2_list_buckets")
    found = [
        bucket
        for bucket in service.store.buckets()
        if wanted_id in (None, bucket.id) and wanted_name in (None, bucket.name)
    ]
    if key.buckets is not None and (not found or any(bucket.id not in key.buckets for bucket in found)):
        raise unauthorized("unauthorized: the key is limited to other buckets")
    types = request.get("bucketTypes")
    if types and "all" not in types:
        found = [bucket for bucket in found if bucket.type in types]
    return {"buckets": [describe_bucket(bucket) for bucket in found]}


def create_bucket(service: Service, key: Key, request: Request) -> Answer:
    """b2_create_bucket."""
    service.access.check(key, "b2_create_bucket")
    name, kind = request.get("bucketName", ""), request.get("bucketType")
    if not isinstance(name, str) or not _is_bucket_name(name) or name.startswith("b2-"):
        raise bad_request("invalid bucketName")
    if kind not in ("allPrivate", "allPublic"):
        raise bad_request("invalid bucketType")
    if key.buckets is not None:
        raise unauthorized("unauthorized: the key is limited to a bucket")
    with service.store.lock:
        if any(bucket.name.lower() == name.lower() for bucket in service.store.buckets()):
            raise bad_request("Bucket name is already in use.", "duplicate_bucket_name")
        rules = request.get("lifecycleRules") or []
        bucket = Bucket(secrets.token_hex(12), name, kind, request.get("bucketInfo") or {}, rules, 2)
        service.store.put_bucket(bucket)
    return describe_bucket(bucket)


def update_bucket(service: Service, key: Key, request: Request) -> Answer:
    """b2_update_bucket."""
    bucket = service.bucket(request.get("bucketId"))
    service.access.check(key, "b2_update_bucket", bucket=bucket.id)
    if request.get("ifRevisionIs") not in (None, bucket.revision):
        raise CallError(409, "conflict", "the bucket has another revision")
    changed = Bucket(
        bucket.id,
        bucket.name,
        request.get("bucketType") or bucket.type,
        bucket.info if request.get("bucketInfo") is None else request["bucketInfo"],
        bucket.rules if request.get("lifecycleRules") is None else request["lifecycleRules"],
        bucket.revision + 1,
    )
    service.store.put_bucket(changed)
    return describe_bucket(changed)


def delete_bucket(service: Service, key: Key, request: Request) -> Answer:
    """b2_delete_bucket."""
    bucket = service.bucket(request.get("bucketId"))
    service.access.check(key, "b2_delete_bucket", bucket=bucket.id)
    if next(service.store.versions(bucket.id, "", ""), None) is not None:
        raise bad_request("Cannot delete non-empty bucket", "cannot_delete_non_empty_bucket")
    service.store.remove_bucket(bucket)
    return describe_bucket(bucket)


def describe_key(key: Key) -> Answer:
    """Return a key as answers show it, without its secret."""
    return {
        "accountId": ACCOUNT,
        "applicationKeyId": key.id,
        "bucketId": key.buckets[0] if key.buckets else None,
        "bucketIds": None if key.buckets is None else list(key.buckets),
        "capabilities": list(key.capabilities),
        "expirationTimestamp": key.expires,
        "keyName": key.name,
        "namePrefix": key.prefix or None,
        "options": ["s3"],
    }


def create_key(service: Service, key: Key, request: Request) -> Answer:
    """b2_create_key."""
    service.access.check(key, "b2_create_key")
    capabilities = tuple(request.get("capabilities") or ())
    if not capabilities or any(name not in ALL_CAPABILITIES for name in capabilities):
        raise bad_request("invalid capabilities")
    one = request.get("bucketId")
    buckets = request.get("bucketIds") or ([one] if one else None)
    for bucket in buckets or ():
        service.bucket(bucket)
    seconds = request.get("validDurationInSeconds")
    expires = None if seconds is None else service.store.now() + int(seconds) * 1000
    made = service.store.add_key(
        str(request.get("keyName") or "key"),
        capabilities,
        None if buckets is None else tuple(buckets),
        request.get("namePrefix") or "",
        expires,
    )
    return {**describe_key(made), "applicationKey": made.secret}


def list_keys(service: Service, key: Key, request: Request) -> Answer:
    """b2_list_keys."""
    service.access.check(key, "b2_list_keys")
    start, count = request.get("startApplicationKeyId") or "", request.get("maxKeyCount") or 100
    keys = [found for found in service.store.all_keys() if found.id >= start]
    following = keys[count].id if len(keys) > count else None
    return {"keys": [describe_key(found) for found in keys[:count]], "nextApplicationKeyId": following}


def delete_key(service: Service, key: Key, request: Request) -> Answer:
    """b2_delete_key."""
    service.access.check(key, "b2_delete_key")
    for found in service.store.all_keys():
        if found.id == request.get("applicationKeyId"):
            service.store.remove_key(found)
            return describe_key(found)
    raise bad_request("the key does not exist")


CALLS: dict[str, Callable[[Service, Key, Request], Answer]] = {
    f"b2_{function.__name__}": function
    for function in (list_buckets, create_bucket, update_bucket, delete_bucket, create_key, list_keys, delete_key)
}

"""The calls whose requests and answers are JSON, one function each: (service, key, request) -> answer."""

import shutil
from collections.abc import Callable, Iterator

from tools.b2_service.failure import bad_request
from tools.b2_service.service import Answer, Request, Service
from tools.b2_service.store import ACCOUNT, Bucket, Key, Version

MAX_NAMES = 10_000


def check_file_name(name: object) -> str:
    """Return a file's name; raise if B2 would not take it."""
    if not isinstance(name, str) or not name:
        raise bad_request("fileName is missing")
    if len(name.encode()) > 1024 or name[0] == "/" or name[-1] == "/" or "//" in name or "\\" in name:
        raise bad_request("File names must not start or end with '/', hold '//' or '\\', or be over 1024 bytes")
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise bad_request("File names must not hold control characters")
    return name


def describe(version: Version) -> Answer:
    """Return a version as answers show it."""
    none = {"isClientAuthorizedToRead": False, "value": None}
    return {
        "accountId": ACCOUNT,
        "action": version.action,
        "bucketId": version.bucket,
        "contentLength": version.length,
        "contentMd5": None,
        "contentSha1": version.sha1 if version.sha1 or version.action != "upload" else "none",
        "contentType": version.type,
        "fileId": version.id,
        "fileInfo": version.info,
        "fileName": version.name,
        "fileRetention": none,
        "legalHold": none,
        "replicationStatus": None,
        "serverSideEncryption": {"algorithm": None, "mode": None},
        # The name that version 1 had for contentLength; rclone still reads it.
        "size": version.length,
        "uploadTimestamp": version.time,
    }


def authorize(service: Service, key: Key, token: str, version: int) -> Answer:
    """Return the answer of b2_authorize_account in the shape of an API version."""
    names = {bucket.id: bucket.name for bucket in service.store.buckets()}
    buckets = None if key.buckets is None else [{"id": name, "name": names.get(name)} for name in key.buckets]
    one = buckets[0] if buckets else {"id": None, "name": None}
    prefix = key.prefix or None
    capabilities = list(key.capabilities)
    urls = {
        "absoluteMinimumPartSize": service.minimum_part_bytes,
        "apiUrl": service.url,
        "downloadUrl": service.url,
        "recommendedPartSize": service.recommended_part_bytes,
        "s3ApiUrl": service.url,
    }
    answer: Answer = {"accountId": ACCOUNT, "authorizationToken": token}
    if version < 3:
        allowed = {
            "bucketId": one["id"],
            "bucketName": one["name"],
            "capabilities": capabilities,
            "namePrefix": prefix,
        }
        old = {"minimumPartSize": service.recommended_part_bytes} if version == 1 else {}
        return answer | urls | old | {"allowed": allowed}
    storage = {**urls, "infoType": "storageApi"}
    if version == 3:
        storage |= {
            "bucketId": one["id"],
            "bucketName": one["name"],
            "capabilities": capabilities,
            "namePrefix": prefix,
        }
    else:
        storage["allowed"] = {"buckets": buckets, "capabilities": capabilities, "namePrefix": prefix}
    answer["applicationKeyExpirationTimestamp"] = key.expires
    answer["apiInfo"] = {"storageApi": storage}
    return answer


def get_upload_url(service: Service, key: Key, request: Request) -> Answer:
    """b2_get_upload_url."""
    bucket = service.bucket(request.get("bucketId"))
    service.access.check(key, "b2_get_upload_url", bucket=bucket.id)
    name, place = service.access.new_place(key, bucket.id)
    url = f"{service.url}/b2api/v4/b2_upload_file/{name}"
    return {"authorizationToken": place.token, "bucketId": bucket.id, "uploadUrl": url}


def start_large_file(service: Service, key: Key, request: Request) -> Answer:
    """b2_start_large_file."""
    bucket = service.bucket(request.get("bucketId"))
    name = check_file_name(request.get("fileName"))
    service.access.check(key, "b2_start_large_file", bucket=bucket.id, name=name)
    if not isinstance(request.get("contentType"), str):
        raise bad_request("contentType is missing")
    info = request.get("fileInfo") or {}
    version = service.store.add_version(bucket.id, name, "start", type_=request["contentType"], info=info)
    return describe(version)


def _started(service: Service, key: Key, request: Request, call: str) -> Version:
    version = service.store.find_version(str(request.get("fileId")))
    if version is None or version.action != "start":
        raise bad_request(f"No active upload for: {request.get('fileId')}")
    service.access.check(key, call, bucket=version.bucket, name=version.name)
    return version


def get_upload_part_url(service: Service, key: Key, request: Request) -> Answer:
    """b2_get_upload_part_url."""
    version = _started(service, key, request, "b2_get_upload_part_url")
    name, place = service.access.new_place(key, version.bucket, version.id)
    url = f"{service.url}/b2api/v4/b2_upload_part/{name}"
    return {"authorizationToken": place.token, "fileId": version.id, "uploadUrl": url}


def finish_large_file(service: Service, key: Key, request: Request) -> Answer:
    """b2_finish_large_file."""
    with service.store.lock:
        version = _started(service, key, request, "b2_finish_large_file")
        parts = service.store.parts(version.id)
        sha1s = request.get("partSha1Array") or []
        if [part.number for part in parts] != list(range(1, len(sha1s) + 1)):
            raise bad_request("parts are missing", "missing_part")
        if [part.sha1 for part in parts] != sha1s:
            raise bad_request("the SHA-1 of a part does not match", "part_sha1_mismatch")
        if len(parts) < 2:
            raise bad_request("large files must have at least 2 parts")
        if any(part.length < service.minimum_part_bytes for part in parts[:-1]):
            raise bad_request("part is smaller than the minimum part size")
        service.store.join_parts(version, parts)
        return describe(service.version(version.id))


def cancel_large_file(service: Service, key: Key, request: Request) -> Answer:
    """b2_cancel_large_file."""
    version = _started(service, key, request, "b2_cancel_large_file")
    service.store.remove_version(version)
    return {"accountId": ACCOUNT, "bucketId": version.bucket, "fileId": version.id, "fileName": version.name}


def list_parts(service: Service, key: Key, request: Request) -> Answer:
    """b2_list_parts."""
    version = _started(service, key, request, "b2_list_parts")
    start, count = request.get("startPartNumber") or 1, request.get("maxPartCount") or 100
    parts = [part for part in service.store.parts(version.id) if part.number >= start]
    shown = [
        {
            "contentLength": part.length,
            "contentMd5": None,
            "contentSha1": part.sha1,
            "fileId": version.id,
            "partNumber": part.number,
            "serverSideEncryption": {"algorithm": None, "mode": None},
            "uploadTimestamp": part.time,
        }
        for part in parts[:count]
    ]
    return {"nextPartNumber": parts[count].number if len(parts) > count else None, "parts": shown}


def list_unfinished_large_files(service: Service, key: Key, request: Request) -> Answer:
    """b2_list_unfinished_large_files."""
    bucket = service.bucket(request.get("bucketId"))
    prefix = request.get("namePrefix") or ""
    service.access.check(key, "b2_list_unfinished_large_files", bucket=bucket.id, name=prefix)
    started = [version for version in service.store.versions(bucket.id, "", prefix) if version.action == "start"]
    started.sort(key=lambda version: version.id)
    start, count = request.get("startFileId") or "", request.get("maxFileCount") or 100
    started = [version for version in started if version.id >= start]
    following = started[count].id if len(started) > count else None
    return {"files": [describe(version) for version in started[:count]], "nextFileId": following}


def _newest_visible(service: Service, bucket: Bucket, start: str, prefix: str) -> Iterator[Version]:
    decided = None
    for version in service.store.versions(bucket.id, start, prefix):
        if version.action != "start" and version.name != decided:
            decided = version.name
            if version.action == "upload":
                yield version


def _fold(versions: Iterator[Version], prefix: str, delimiter: str) -> Iterator[Answer]:
    """Return entries with those below a delimiter as one folder each."""
    folder = None
    for version in versions:
        head, mark, _ = version.name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not mark:
            yield describe(version)
        elif prefix + head + mark != folder:
            folder = prefix + head + mark
            yield {**describe(version), "action": "folder", "fileId": None, "fileName": folder, "contentLength": 0}


def _count(request: Request) -> int:
    count = request.get("maxFileCount", 100)
    if count is None:
        return 100
    if not isinstance(count, int) or not 0 < count <= MAX_NAMES:
        raise bad_request("maxFileCount out of range")
    return count


def _text(request: Request, name: str) -> str:
    value = request.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"{name} has to be a string", "bad_json")
    return value or ""


def list_file_names(service: Service, key: Key, request: Request) -> Answer:
    """b2_list_file_names."""
    bucket = service.bucket(request.get("bucketId"))
    prefix = _text(request, "prefix")
    service.access.check(key, "b2_list_file_names", bucket=bucket.id, name=prefix)
    count = _count(request)
    found: list[Answer] = []
    start = _text(request, "startFileName")
    for entry in _fold(_newest_visible(service, bucket, start, prefix), prefix, _text(request, "delimiter")):
        if len(found) == count:
            # A name that need not exist: the least one after the last, or after all that are in the last folder.
            last = found[-1]["fileName"]
            following = f"{last[:-1]}{chr(ord(last[-1]) + 1)}" if found[-1]["action"] == "folder" else f"{last} "
            return {"files": found, "nextFileName": following}
        found.append(entry)
    return {"files": found, "nextFileName": None}


def list_file_versions(service: Service, key: Key, request: Request) -> Answer:
    """b2_list_file_versions."""
    bucket = service.bucket(request.get("bucketId"))
    prefix = _text(request, "prefix")
    service.access.check(key, "b2_list_file_versions", bucket=bucket.id, name=prefix)
    count = _count(request)
    start, start_id = _text(request, "startFileName"), request.get("startFileId")
    if start_id and not start:
        raise bad_request("startFileId needs startFileName")
    after = service.store.find_version(str(start_id)) if start_id else None
    versions = (
        version
        for version in service.store.versions(bucket.id, start, prefix)
        if after is None or version.name != after.name or version.time <= after.time
    )
    found: list[Answer] = []
    for entry in _fold(versions, prefix, _text(request, "delimiter")):
        if len(found) == count:
            return {"files": found, "nextFileId": entry["fileId"], "nextFileName": entry["fileName"]}
        found.append(entry)
    return {"files": found, "nextFileId": None, "nextFileName": None}


def get_file_info(service: Service, key: Key, request: Request) -> Answer:
    """b2_get_file_info."""
    version = service.version(request.get("fileId"))
    service.access.check(key, "b2_get_file_info", bucket=version.bucket, name=version.name)
    return describe(version)


def hide_file(service: Service, key: Key, request: Request) -> Answer:
    """b2_hide_file."""
    bucket = service.bucket(request.get("bucketId"))
    name = check_file_name(request.get("fileName"))
    service.access.check(key, "b2_hide_file", bucket=bucket.id, name=name)
    with service.store.lock:
        newest = service.store.newest(bucket.id, name)
        if newest is None:
            raise bad_request(f"File not present: {name}", "no_such_file")
        if newest.action == "hide":
            raise bad_request(f"File already hidden: {name}", "already_hidden")
        return describe(service.store.add_version(bucket.id, name, "hide", type_="application/x-bz-hide-marker"))


def delete_file_version(service: Service, key: Key, request: Request) -> Answer:
    """b2_delete_file_version."""
    name, version_id = check_file_name(request.get("fileName")), request.get("fileId")
    version = service.store.find_version(str(version_id))
    # What the key may do is told before what there is.
    service.access.check(key, "b2_delete_file_version", bucket=version.bucket if version else None, name=name)
    if version is None or version.name != name:
        raise bad_request(f"File not present: {name} {version_id}", "file_not_present")
    service.store.remove_version(version)
    return {"fileId": version.id, "fileName": version.name}


def copy_file(service: Service, key: Key, request: Request) -> Answer:
    """b2_copy_file, without ranges."""
    source = service.version(request.get("sourceFileId"))
    service.access.check(key, "b2_get_file_info", bucket=source.bucket, name=source.name)
    bucket = request.get("destinationBucketId") or source.bucket
    name = check_file_name(request.get("fileName"))
    service.access.check(key, "b2_copy_file", bucket=service.bucket(bucket).id, name=name)
    if source.action != "upload" or request.get("range"):
        raise bad_request("only whole uploaded files are copied here")
    target = service.store.new_content()
    shutil.copyfile(service.store.contents / source.content, target)
    version = service.store.add_version(
        bucket,
        name,
        "upload",
        length=source.length,
        sha1=source.sha1,
        type_=source.type,
        info=source.info,
        content=target.name,
    )
    return {**describe(version), "action": "copy"}


def get_download_authorization(service: Service, key: Key, request: Request) -> Answer:
    """b2_get_download_authorization."""
    bucket, prefix = service.bucket(request.get("bucketId")), request.get("fileNamePrefix") or ""
    service.access.check(key, "b2_get_download_authorization", bucket=bucket.id, name=prefix)
    token = service.access.grant(bucket.id, prefix, float(request.get("validDurationInSeconds") or 3600))
    return {"authorizationToken": token, "bucketId": bucket.id, "fileNamePrefix": prefix}


CALLS: dict[str, Callable[[Service, Key, Request], Answer]] = {
    f"b2_{function.__name__}": function
    for function in (
        get_upload_url,
        start_large_file,
        get_upload_part_url,
        finish_large_file,
        cancel_large_file,
        list_parts,
        list_unfinished_large_files,
        list_file_names,
        list_file_versions,
        get_file_info,
        hide_file,
        delete_file_version,
        copy_file,
        get_download_authorization,
    )
}

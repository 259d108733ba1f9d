"""Finds the access key of an S3 service, in restic's order: environment, files, services; then the role to assume."""

import importlib.util
from collections.abc import Callable, Mapping

from pyrestic.backend.leases import Lease, Leased
from pyrestic.backend.s3.key_files import RareProfile, find_minio_alias, find_profile
from pyrestic.backend.s3.key_services import KeyServices
from pyrestic.backend.s3.signer import S3Key
from pyrestic.errors import AccessError

_PAIRS = (
    (("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY")),
    (("MINIO_ROOT_USER",), ("MINIO_ROOT_PASSWORD",)),
    (("MINIO_ACCESS_KEY",), ("MINIO_SECRET_KEY",)),
)
_HINT = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use -o s3.unsafe-anonymous-auth=true for a public bucket."

_Source = Callable[[], Lease[S3Key] | None]


class KeyFinder:
    """Finds a key, and renews it from the same source."""

    def __init__(self, services: KeyServices) -> None:
        self._services = services
        self._environment = services.environment
        self._source: _Source | None = None
        self._base = Leased(self._find_base, clock=services.clock)

    def find(self) -> Lease[S3Key]:
        """Return the key for requests; raise AccessError if there is none, BackendError."""
        if not self._environment.get("RESTIC_AWS_ASSUME_ROLE_ARN"):
            return self._find_base()
        assumed = self._base.run(self._services.assume_role)
        assert assumed is not None  # noqa: S101 - the role is set
        return assumed

    def _find_base(self) -> Lease[S3Key]:
        sources = [self._source] if self._source is not None else self._sources()
        for source in sources:
            lease = source()
            if lease is not None:
                self._source = source
                return lease
        raise AccessError("no credentials found", hint=_HINT)

    def _sources(self) -> list[_Source]:
        services = self._services
        local: list[_Source] = [self._from_environment, self._from_profile, lambda: find_minio_alias(self._environment)]
        return [
            *local,
            self._refuse_half,
            services.from_web_identity,
            services.from_container,
            services.from_machine,
        ]

    def _from_environment(self) -> Lease[S3Key] | None:
        for key_ids, secrets in _PAIRS:
            key_id, secret = self._first(key_ids), self._first(secrets)
            if key_id and secret:
                token = self._environment.get("AWS_SESSION_TOKEN", "") if key_ids[0].startswith("AWS") else ""
                return Lease(S3Key(key_id, secret, token))
        return None

    def _from_profile(self) -> Lease[S3Key] | None:
        found = find_profile(self._environment)
        if isinstance(found, RareProfile):
            return load_by_vendor(found.name, self._environment)
        return found

    def _refuse_half(self) -> None:
        """Raise AccessError if half of a pair is set, before a service is asked."""
        for key_ids, secrets in _PAIRS:
            key_id, secret = self._first(key_ids), self._first(secrets)
            if key_id or secret:
                there, missing = (key_ids, secrets) if key_id else (secrets, key_ids)
                raise AccessError(f"no credentials found: {there[0]} is set, but {missing[0]} is empty")

    def _first(self, variables: tuple[str, ...]) -> str:
        return next((value for variable in variables if (value := self._environment.get(variable, ""))), "")


def load_by_vendor(profile: str, environment: Mapping[str, str]) -> Lease[S3Key]:
    """Return the key of a profile that needs the vendor's library, such as one with SSO; raise AccessError."""
    if importlib.util.find_spec("botocore") is None:
        raise AccessError(
            f"the profile {profile} signs in by SSO or a role, which needs the vendor's library",
            hint="Install the extra cloud-auth: pip install 'pyrestic[cloud-auth]'.",
        )
    from pyrestic.backend.s3.vendor_keys import load_profile

    return load_profile(profile, environment)

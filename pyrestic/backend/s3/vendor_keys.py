"""Access keys by the vendor's library botocore, of the extra cloud-auth: SSO, roles of profiles.

The library reads the environment of the process, so it only serves the profile that this environment names.
"""

from collections.abc import Mapping

from pyrestic.backend.leases import Lease
from pyrestic.backend.s3.signer import S3Key
from pyrestic.errors import AccessError


def load_profile(profile: str, environment: Mapping[str, str]) -> Lease[S3Key]:
    """Return the key of a profile; raise AccessError."""
    # Few installations have it.
    import botocore.exceptions
    import botocore.session

    session = botocore.session.Session(profile=profile)
    for variable, name in (("AWS_CONFIG_FILE", "config_file"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials_file")):
        if value := environment.get(variable, ""):
            session.set_config_variable(name, value)
    try:
        credentials = session.get_credentials()
        frozen = None if credentials is None else credentials.get_frozen_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise AccessError(f"the profile {profile} gives no credentials: {error}") from None
    if frozen is None or not (frozen.access_key and frozen.secret_key):
        raise AccessError(f"the profile {profile} gives no credentials")
    ends = getattr(credentials, "_expiry_time", None)
    return Lease(S3Key(frozen.access_key, frozen.secret_key, frozen.token or ""), ends and ends.timestamp())

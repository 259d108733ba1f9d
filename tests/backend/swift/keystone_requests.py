"""Writes keystone_requests.json: the requests for a token that Keystone's own client sends.

    pip install keystoneauth1; python3 -m tests.backend.swift.keystone_requests

Each has the variables with which ours must send the same.
"""

import json
from pathlib import Path
from typing import Any

USER = {"OS_USERNAME": "me", "OS_PASSWORD": "a-password"}
URL = "https://keystone.example.net"
FILE = Path(__file__).with_suffix(".json")


def cases() -> dict[str, tuple[dict[str, str], Any]]:
    """Return variables and the client's plugin for them, by name."""
    from keystoneauth1.identity import v2, v3

    by_name: dict[str, Any] = {"auth_url": URL, "username": "me", "password": "a-password"}
    project: dict[str, Any] = {"project_name": "p", "project_domain_name": "pd"}
    applied: dict[str, Any] = {"auth_url": URL, "application_credential_secret": "s"}
    application = {"OS_APPLICATION_CREDENTIAL_SECRET": "s", "OS_PROJECT_NAME": "unused"}
    return {
        "3 names": (
            {**USER, "OS_USER_DOMAIN_NAME": "d", "OS_PROJECT_NAME": "p", "OS_PROJECT_DOMAIN_NAME": "pd"},
            v3.Password(**by_name, user_domain_name="d", **project),
        ),
        "3 IDs": (
            {"OS_USER_ID": "u", "OS_PASSWORD": "x", "OS_PROJECT_NAME": "p", "OS_PROJECT_DOMAIN_ID": "pd"},
            v3.Password(URL, user_id="u", password="x", project_name="p", project_domain_id="pd"),
        ),
        "3 project ID": (
            {**USER, "OS_USER_DOMAIN_ID": "d", "OS_TENANT_ID": "pid", "OS_PROJECT_NAME": "unused"},
            v3.Password(**by_name, user_domain_id="d", project_id="pid"),
        ),
        "3 domain of the user": (
            {**USER, "OS_USER_DOMAIN_NAME": "d", "OS_PROJECT_NAME": "p"},
            v3.Password(**by_name, user_domain_name="d", project_name="p", project_domain_name="d"),
        ),
        "3 trust": (
            {**USER, "OS_USER_DOMAIN_NAME": "d", "OS_TRUST_ID": "t", "OS_PROJECT_NAME": "unused"},
            v3.Password(**by_name, user_domain_name="d", trust_id="t"),
        ),
        "3 application ID": (
            {**application, "OS_APPLICATION_CREDENTIAL_ID": "a"},
            v3.ApplicationCredential(**applied, application_credential_id="a"),
        ),
        "3 application name": (
            {**application, "OS_APPLICATION_CREDENTIAL_NAME": "n", "OS_USERNAME": "me", "OS_USER_DOMAIN_NAME": "d"},
            v3.ApplicationCredential(**applied, application_credential_name="n", username="me", user_domain_name="d"),
        ),
        "3 token": (
            {"OS_PASSWORD": "a-token", "OS_PROJECT_NAME": "p", "OS_PROJECT_DOMAIN_NAME": "pd"},
            v3.Token(URL, token="a-token", **project),
        ),
        "2 name": ({**USER, "OS_TENANT_NAME": "t"}, v2.Password(**by_name, tenant_name="t")),
        "2 ID": ({**USER, "OS_TENANT_ID": "5"}, v2.Password(**by_name, tenant_id="5")),
    }


def request_of(plugin: Any) -> Any:
    """Return the body that a plugin sends."""
    sent: list[Any] = []

    class Session:
        """Takes the request in place of the client's session."""

        def post(self, url: str, json: Any = None, **_: Any) -> Any:
            sent.append(json)
            raise LookupError

    try:
        plugin.get_auth_ref(Session())
    except LookupError:
        pass
    return sent[0]


if __name__ == "__main__":
    made = {name: {"variables": given, "request": request_of(plugin)} for name, (given, plugin) in cases().items()}
    FILE.write_text(json.dumps(made, indent=1) + "\n")

"""Exit statuses and environment variables, as man pages describe them."""

EXIT_STATUS = {
    0: "The command succeeded.",
    1: "The command failed, was used wrongly, or could do only part of its work.",
    10: "There is no repository at this location.",
    11: "The repository could not be locked, or the lock was lost.",
    12: "No key of the repository accepts the password.",
    75: "The key ring with a secret of the profile is locked, or --budget-month does not allow what B2 would charge.",
    130: "The command was interrupted by SIGINT, SIGTERM or SIGHUP.",
}
REPOSITORY_EXITS = (10, 11, 12, 75)
"""Exit statuses of commands that open a repository."""

ENVIRONMENT = {
    "RESTIC_REPOSITORY": "location of the repository; replaces --repo",
    "RESTIC_REPOSITORY_FILE": "file with the location of the repository; replaces --repository-file",
    "RESTIC_PASSWORD": "the password itself; prefer a file or a command",
    "RESTIC_PASSWORD_FILE": "file with the password; replaces --password-file",
    "RESTIC_PASSWORD_COMMAND": "command that prints the password; replaces --password-command",
    "RESTIC_KEY_HINT": "ID of the key to try first; replaces --key-hint",
    "RESTIC_CACHE_DIR": "base directory of the cache; replaces --cache-dir",
    "RESTIC_CACERT": "files with additional root certificates, separated by commas; replaces --cacert",
    "RESTIC_TLS_CLIENT_CERT": "file with a client certificate and its key; replaces --tls-client-cert",
    "RESTIC_HTTP_USER_AGENT": "value of the User-Agent header; replaces --http-user-agent",
    "RESTIC_COMPRESSION": "auto, off, fastest, better or max; replaces --compression",
    "RESTIC_PACK_SIZE": "target size of packs in MiB; replaces --pack-size",
    "RESTIC_HOST": "host name of new snapshots, or the host to filter snapshots by; replaces --host",
    "RESTIC_READ_CONCURRENCY": "number of files that backup reads at once; replaces --read-concurrency",
    "RESTIC_FEATURES": "feature flags, such as device-id-for-hardlinks=true, separated by commas",
    "RESTIC_PROGRESS_FPS": "progress updates per second, also where standard output is no terminal",
    "RESTIC_FROM_REPOSITORY": "location of the source repository of copy and init; replaces --from-repo",
    "RESTIC_FROM_REPOSITORY_FILE": "file with the location of the source repository; replaces --from-repository-file",
    "RESTIC_FROM_PASSWORD": "password of the source repository",
    "RESTIC_FROM_PASSWORD_FILE": "file with the password of the source repository; replaces --from-password-file",
    "RESTIC_FROM_PASSWORD_COMMAND": "command that prints that password; replaces --from-password-command",
    "RESTIC_FROM_KEY_HINT": "ID of the key of the source repository to try first; replaces --from-key-hint",
    "B2_ACCOUNT_ID": "ID of the application key for Backblaze B2",
    "B2_ACCOUNT_KEY": "the application key for Backblaze B2",
    "RESTIC_REST_USERNAME": "user name for a REST server whose URL names none",
    "RESTIC_REST_PASSWORD": "password for a REST server whose URL names none",
    "http_proxy": "proxy for HTTP; https_proxy is the one for HTTPS",
    "no_proxy": "hosts that are reached without a proxy",
    "XDG_CACHE_HOME": "where the cache and compiled code are kept (~/.cache)",
    "XDG_CONFIG_HOME": "where profiles and prices are configured (~/.config)",
    "XDG_RUNTIME_DIR": "where the user manager of systemd is reached (/run/user/UID)",
    "XDG_STATE_HOME": "where run states, restore journals, verification dates and B2 usage are kept (~/.local/state)",
    "TZ": "time zone of the times that are read and printed",
    "PYRESTIC_TRACEBACK": "if set, an unexpected error shows its traceback",
}
COMMON = ("RESTIC_REPOSITORY", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND", "RESTIC_PASSWORD")
"""The variables that nearly every command needs."""

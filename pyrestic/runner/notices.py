"""Tells a person and programs what happened: decides, sends in a process of its own, remembers.

Sending starts threads, reads secrets and imports much; the runner, which forks, must do none of that.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Final

from pyrestic.errors import LocalFileError, PyresticError
from pyrestic.profiles.profile import Notify, Profile, Secret
from pyrestic.profiles.secrets import read_secret
from pyrestic.runner.apart import run_apart
from pyrestic.runner.due import find_overdue
from pyrestic.runner.ending import EndRequest
from pyrestic.runner.messages import Message, begin, decide
from pyrestic.runner.records import ProfileRecord, Runs
from pyrestic.runner.state import RunStore

_SECRETS_OF = "notify"
"""The name under which a key ring has the secrets of messages."""
_LONGEST_SECONDS: Final = 180.0


class Notices:
    """Sends messages as a table `notify` says, until the runner has to end."""

    def __init__(
        self,
        notify: Notify,
        store: RunStore,
        environment: Mapping[str, str],
        session_bus: str = "",
        now: Callable[[], float] = time.time,
        ending: EndRequest | None = None,
    ) -> None:
        self._ending = ending or EndRequest()
        self._notify = notify
        self._store = store
        self._environment = environment
        self._session_bus = session_bus
        self._now = now

    def tell_begin(self, profile: Profile, task: str) -> list[str]:
        """Tell programs that a task begins; return what went wrong."""
        return self._send([begin(profile.name, task)], None)[0] if self._notify.ping and task == "backup" else []

    def tell_change(
        self, profile: Profile, before: ProfileRecord, after: ProfileRecord, summary: object = None
    ) -> list[str]:
        """Tell what changed between two states of a profile, if it is worth it; return what went wrong."""
        now = self._now()
        limit = find_overdue(profile, after)
        overdue = limit is not None and limit <= now
        news = decide(profile.name, before, after, after.told, overdue=overdue, now=now, on=self._notify.on)
        wanted = [one for one in news.messages if one.for_person or self._notify.ping]
        problems, arrived = self._send(wanted, summary) if wanted else ([], True)
        if arrived and news.told != after.told:

            def remember(record: ProfileRecord) -> None:
                record.told = news.told

            try:
                self._store.change_profile(profile, remember)
            except LocalFileError as error:
                problems.append(f"what was told cannot be remembered: {error}")
        return problems

    def tell_overdue(self, profile: Profile) -> list[str]:
        """Tell if the backups of a profile are overdue; return what went wrong."""
        record = self._store.read().find(profile, self._now())
        return self.tell_change(profile, record, record)

    def write_metrics(self, profiles: Mapping[str, Profile], runs: Runs) -> list[str]:
        """Replace the file of metrics, if there is one; return what went wrong."""
        if not self._notify.metrics_file:
            return []
        # Rarely used.
        from pyrestic.runner.metrics import encode_metrics, write_metrics

        now = self._now()
        records = {name: runs.find(profile, now) for name, profile in profiles.items()}
        limits = {name: find_overdue(profiles[name], record) for name, record in records.items()}
        overdue = {name for name, limit in limits.items() if limit is not None and limit <= now}
        try:
            write_metrics(self._notify.metrics_file, encode_metrics(records, overdue))
        except LocalFileError as error:
            return [str(error)]
        return []

    def _send(self, messages: list[Message], summary: object) -> tuple[list[str], bool]:
        """Send messages; return what went wrong, and whether somebody got each that is for a person."""
        answer = run_apart(lambda: self._deliver(messages, summary), _LONGEST_SECONDS, self._ending)
        if answer is None:
            return ["the messages were not sent"], False
        problems, arrived = answer
        return list(problems), bool(arrived)

    def _deliver(self, messages: list[Message], summary: object) -> tuple[list[str], bool]:
        from pyrestic.backend.http_settings import HttpSettings, read_proxies
        from pyrestic.runner.channels import Channels, arrived, send

        notify = self._notify
        problems: list[str] = []

        def resolve(kind: str, value: str | Secret) -> str:
            try:
                return value if isinstance(value, str) else read_secret(value, _SECRETS_OF, kind, self._environment)
            except PyresticError as error:
                problems.append(str(error))
                return ""

        channels = Channels(
            desktop=notify.desktop,
            ping=resolve("ping", notify.ping),
            ntfy=resolve("ntfy", notify.ntfy),
            webhook=resolve("webhook", notify.webhook),
            mail=notify.mail,
            apprise=tuple(filter(None, (resolve("apprise", one) for one in notify.apprise))),
            session_bus=self._session_bus,
            host=os.uname().nodename,
        )
        http = HttpSettings(proxies=read_proxies(self._environment))
        all_arrived = True
        for message in messages:
            deliveries = send(message, channels, http, summary=summary)
            problems += [f"message by {one.channel}: {one.error}" for one in deliveries if one.error]
            all_arrived = all_arrived and (arrived(deliveries) or not message.for_person)
        return problems, all_arrived

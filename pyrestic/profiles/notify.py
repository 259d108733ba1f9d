"""The table `notify`: which events are reported, and to whom."""

from pyrestic.profiles.fill import Filler
from pyrestic.profiles.merge import Leaf, Tree
from pyrestic.profiles.profile import Notify, Secret
from pyrestic.profiles.schema import NotifyTable, convert
from pyrestic.profiles.secret_table import parse_text_or_secret, parse_texts_or_secrets


def read_notify(tree: Tree, filler: Filler) -> Notify:
    """Return the table with its defaults; raise UsageError."""
    filled: Tree = {
        key: leaf._replace(value=leaf.parse(key, filler.fill)) for key, leaf in tree.items() if isinstance(leaf, Leaf)
    }
    table = convert(filled, NotifyTable)

    def find(key: str) -> str | Secret:
        leaf = filled.get(key)
        return leaf.parse(key, parse_text_or_secret) if isinstance(leaf, Leaf) else ""

    apprise = filled.get("apprise")
    return Notify(
        on=table.on,
        desktop=table.desktop,
        ping=find("ping"),
        ntfy=find("ntfy"),
        webhook=find("webhook"),
        mail=table.mail,
        apprise=apprise.parse("apprise", parse_texts_or_secrets) if isinstance(apprise, Leaf) else (),
        metrics_file=table.metrics_file,
    )

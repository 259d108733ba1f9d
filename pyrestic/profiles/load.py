"""Reads the files of profiles: profiles.toml and profiles.d/*.toml in the folder of settings, or another file.

Later files win where they set the same key.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping

from pyrestic.backend.location import strip_password
from pyrestic.errors import UsageError
from pyrestic.localfs.user_folders import find_config_folder
from pyrestic.nearest import suggest
from pyrestic.profiles.fill import Filler
from pyrestic.profiles.merge import Leaf, Tree, merge, read_tree, refuse
from pyrestic.profiles.notify import read_notify
from pyrestic.profiles.profile import Profile, Profiles
from pyrestic.profiles.resolve import CheckFlag, Resolver
from pyrestic.profiles.schema import DocumentTable, convert_document
from pyrestic.profiles.trusted_file import TrustedFile, list_trusted, read_trusted

_ROOT_FOLDER = "/etc/pyrestic"
_NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_SECRET_NAME = re.compile("KEY|SECRET|TOKEN|PASS", re.IGNORECASE)
_NOT_INHERITED = ("inherit", "default")


def find_profile_folder(environment: Mapping[str, str]) -> str:
    """Return the folder of profiles.toml, "" for none; root's is that of the system."""
    if os.geteuid() == 0 and not environment.get("XDG_CONFIG_HOME"):
        return _ROOT_FOLDER
    return find_config_folder(environment)


def find_profile_files(environment: Mapping[str, str]) -> list[str]:
    """Return the paths of the files of profiles that exist, in the order in which they are read."""
    folder = find_profile_folder(environment)
    if not folder:
        return []
    first = os.path.join(folder, "profiles.toml")
    return [*([first] if os.path.lexists(first) else []), *list_trusted(os.path.join(folder, "profiles.d"), ".toml")]


def load_profiles(
    environment: Mapping[str, str], file: str = "", *, check_flag: CheckFlag | None = None, host: str = ""
) -> Profiles:
    """Return the profiles of a user with these variables, or those of a file; raise UsageError.

    Without `check_flag`, flags are not compared with those that commands have. `host` is this machine's name by
    default. A folder without files has no profiles.
    """
    paths = [file] if file else find_profile_files(environment)
    try:
        found = _Documents(paths)
        return found.resolve(environment, host or os.uname().nodename, check_flag)
    except FileNotFoundError as error:
        raise UsageError(f"{file or error.filename} does not exist") from error
    except RecursionError:
        raise UsageError(f"{', '.join(paths)}: values are nested too deeply") from None


def check_name(name: str) -> None:
    """Raise UsageError if a profile cannot have this name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a name of at most 64 letters, digits, dots and dashes")


class _Documents:
    """The tables of all files, before they are resolved."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.files: list[str] = []
        self.defaults: list[Tree] = []
        self.notify: Tree = {}
        self.profiles: dict[str, list[Tree]] = {}
        """The tables of each profile, one per file; lists are extended when the inherited ones are known."""
        self.places: dict[str, str] = {}
        """The last file of each profile."""
        for path in paths:
            self._add(read_trusted(path))

    def _add(self, file: TrustedFile) -> None:
        table = _parse(file)
        self.files.append(file.path)
        defaults = read_tree(table.defaults, file.path, "defaults")
        for key in _NOT_INHERITED:
            if isinstance(leaf := defaults.get(key), Leaf):
                raise leaf.refuse(key, "belongs to a profile")
        self.defaults.append(_checked(defaults, file))
        notify: Tree = {key: Leaf(value, file.path, "notify") for key, value in table.notify.items()}
        self.notify = merge([self.notify, notify])
        for name, value in table.profile.items():
            if not isinstance(value, dict):
                raise refuse(file.path, "profile", name, "must be a table")
            try:
                check_name(name)
            except UsageError as error:
                raise refuse(file.path, "profile", "", str(error)) from None
            tree = _checked(read_tree(value, file.path, f"profile.{name}"), file)
            self.profiles.setdefault(name, []).append(tree)
            self.places[name] = file.path

    def resolve(self, environment: Mapping[str, str], host: str, check_flag: CheckFlag | None) -> Profiles:
        """Return the profiles; raise UsageError."""
        bases = {base for name in self.profiles if (base := self._base_of(name))}
        trees = {name: self._inherit(name) for name in self.profiles}
        abstract = frozenset(name for name in bases if _is_incomplete(trees[name]))
        real = [name for name in trees if name not in abstract]
        for name in real:
            if _is_incomplete(trees[name]):
                missing = "source of backup" if "repo" in trees[name] else "repo"
                raise refuse(self.places[name], f"profile.{name}", "", f"the key {missing} is missing")
        default = self._find_default(real)
        by_name: dict[str, Profile] = {}
        for name in real:
            resolver = Resolver(name, trees[name], Filler(environment, name, host), check_flag)
            by_name[name] = resolver.resolve(is_default=name == default)
        notify = read_notify(self.notify, Filler(environment, "", host))
        return Profiles(by_name=by_name, notify=notify, files=tuple(self.files), bases=abstract)

    def _base_of(self, name: str) -> str:
        leaf = self._own(name, "inherit")
        if leaf is None:
            return ""
        if not isinstance(leaf.value, str) or leaf.value not in self.profiles:
            hint = suggest(str(leaf.value), self.profiles)
            raise leaf.refuse("inherit", f"there is no profile {leaf.value!r}", hint)
        return leaf.value

    def _inherit(self, name: str) -> Tree:
        """Return the merged tables of a profile."""
        chain = [name]
        while base := self._base_of(chain[-1]):
            if base in chain:
                raise refuse(self.places[name], f"profile.{name}", "inherit", f"{base!r} inherits from itself")
            chain.append(base)
        inherited = [_without(tree, _NOT_INHERITED) for base in reversed(chain[1:]) for tree in self.profiles[base]]
        return merge([*self.defaults, *inherited, *self.profiles[name]])

    def _own(self, name: str, key: str) -> Leaf | None:
        """Return a value that is not inherited, None if there is none."""
        found = [leaf for tree in self.profiles[name] if isinstance(leaf := tree.get(key), Leaf)]
        return found[-1] if found else None

    def _find_default(self, names: list[str]) -> str:
        """Return the name of the default profile, "" if there is none."""
        chosen = []
        for name in names:
            leaf = self._own(name, "default")
            if len(names) == 1 if leaf is None else leaf.value is True:
                chosen.append(name)
        if len(chosen) > 1:
            place = self.places[chosen[1]]
            raise refuse(place, f"profile.{chosen[1]}", "default", f"{chosen[0]!r} is the default profile already")
        return chosen[0] if chosen else ""


def _parse(file: TrustedFile) -> DocumentTable:
    try:
        values = tomllib.loads(file.content.decode())
    except UnicodeDecodeError as error:
        raise refuse(file.path, "", "", "is not UTF-8") from error
    except ValueError as error:
        raise refuse(file.path, "", "", f"is not valid TOML: {error}") from error
    return convert_document(values, file.path)


def _checked(tree: Tree, file: TrustedFile) -> Tree:
    """Return the tree; raise UsageError if others may read a secret in it."""
    variables, repo = tree.get("env"), tree.get("repo")
    if file.shown and isinstance(repo, Leaf) and _has_password(repo.value):
        raise repo.refuse("repo", "it has a password, and others may read this file", f"Run chmod 600 {file.path}.")
    if file.shown and isinstance(variables, dict):
        for name, leaf in _leaves(variables):
            if isinstance(leaf.value, str) and _SECRET_NAME.search(name):
                raise leaf.refuse(
                    name,
                    "others may read this file",
                    f"Run chmod 600 {file.path}, or write a table such as {{ file = PATH }}.",
                )
    return tree


def _has_password(repo: object) -> bool:
    """Tell whether a location has a password that no variable replaces."""
    return isinstance(repo, str) and "${" not in repo and strip_password(repo) != repo


def _leaves(tree: Tree) -> Iterator[tuple[str, Leaf]]:
    for key, value in tree.items():
        if isinstance(value, Leaf):
            yield key, value


def _without(tree: Tree, keys: Iterable[str]) -> Tree:
    return {key: value for key, value in tree.items() if key not in keys}


def _is_incomplete(tree: Tree) -> bool:
    """Tell whether a profile can only be inherited from."""
    backup = tree.get("backup")
    return "repo" not in tree or (isinstance(backup, dict) and "source" not in backup)

"""Command lines over all of restic's commands and flags, made from a table; always the same ones in the same order.

A word in braces is a name of the fixture (see Duel), a tab stands for a space in a word, and `''` for an empty word.
"""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

MORE = Path(__file__).with_name("more_command_lines.txt")
FLAGS = {
    "*": "cacert= cache-dir= cleanup-cache compression= http-user-agent= insecure-no-password insecure-tls json"
    " key-hint= limit-download= limit-upload= no-cache no-extra-verify no-lock o/option= pack-size= password-command="
    " p/password-file= q/quiet r/repo= repository-file= retry-lock= stuck-request-timeout= tls-client-cert= v/verbose",
    "backup": "n/dry-run e/exclude= exclude-caches exclude-file= exclude-if-present= exclude-larger-than= files-from="
    " files-from-raw= files-from-verbatim= f/force g/group-by= H/host= iexclude= iexclude-file= ignore-ctime"
    " ignore-inode no-scan x/one-file-system parent= read-concurrency= skip-if-unchanged stdin stdin-filename="
    " stdin-from-command tag= time= with-atime hostname=",
    "cache": "cleanup max-age= no-size",
    "cat": "",
    "check": "H/host= path= read-data read-data-subset= tag= with-cache check-unused",
    "copy": "from-insecure-no-password from-key-hint= from-password-command= from-password-file= from-repo="
    " from-repository-file= H/host= path= tag= repo2= repository-file2= password-file2= key-hint2= password-command2=",
    "diff": "metadata",
    "dump": "a/archive= H/host= path= tag= t/target=",
    "find": "blob H/host= human-readable i/ignore-case l/long N/newest= O/oldest= pack path= R/reverse show-pack-id"
    " s/snapshot= tag= tree",
    "forget": "l/keep-last= H/keep-hourly= d/keep-daily= w/keep-weekly= m/keep-monthly= y/keep-yearly= keep-within="
    " keep-within-hourly= keep-within-daily= keep-within-weekly= keep-within-monthly= keep-within-yearly= keep-tag="
    " unsafe-allow-remove-all host= tag= path= c/compact g/group-by= n/dry-run prune max-unused= max-repack-size="
    " repack-cacheable-only repack-uncompressed repack-smaller-than= hostname= repack-small",
    "init": "copy-chunker-params from-insecure-no-password from-key-hint= from-password-command= from-password-file="
    " from-repo= from-repository-file= repository-version= repo2= repository-file2= password-file2= key-hint2="
    " password-command2=",
    "key": "",
    "key add": "host= new-insecure-no-password new-password-file= user=",
    "key list": "",
    "key passwd": "host= new-insecure-no-password new-password-file= user=",
    "key remove": "",
    "list": "",
    "ls": "H/host= human-readable l/long ncdu path= recursive reverse s/sort= tag=",
    "migrate": "f/force",
    "mount": "allow-other H/host= no-default-permissions owner-root path= path-template= tag= time-template=",
    "prune": "n/dry-run max-repack-size= max-unused= repack-cacheable-only repack-smaller-than= repack-uncompressed"
    " unsafe-recover-no-free-space= repack-small",
    "recover": "",
    "repair": "",
    "repair index": "read-all-packs",
    "repair packs": "",
    "repair snapshots": "n/dry-run forget H/host= path= tag=",
    "restore": "delete dry-run e/exclude= exclude-file= exclude-xattr= H/host= iexclude= iexclude-file= iinclude="
    " iinclude-file= i/include= include-file= include-xattr= overwrite= ownership-by-name path= sparse tag= t/target="
    " verify",
    "rewrite": "n/dry-run e/exclude= exclude-file= forget H/host= iexclude= iexclude-file= iinclude= iinclude-file="
    " i/include= include-file= new-host= new-time= path= s/snapshot-summary tag=",
    "snapshots": "c/compact g/group-by= H/host= latest= path= tag= last",
    "stats": "H/host= mode= path= tag=",
    "tag": "add= H/host= path= remove= set= tag=",
    "unlock": "remove-all",
    "features": "",
    "options": "",
    "generate": "bash-completion= fish-completion= man= powershell-completion= zsh-completion=",
    "version": "",
    "rebuild-index": "read-all-packs",
    "help": "",
}
"""Flags by command: `x/long=` is --long with a value, or -x for short."""

BASES = {
    "backup": ("backup source", "backup source/dir source/new --host=two"),
    "cat": (
        "cat config",
        "cat masterkey",
        "cat snapshot {short1}",
        "cat snapshot latest",
        "cat tree {t2}",
        "cat tree {s2}",
        "cat tree latest:{source}/dir",
        "cat blob {blob}",
        "cat blob {t1}",
        "cat pack {pack}",
        "cat index {index}",
        "cat key {key}",
        "cat lock {pack}",
        "cat",
        "cat nonsense",
        "cat nonsense x",
        "cat snapshot ffffffff",
        "cat index ffff",
        "cat config more",
    ),
    "check": ("check", "check latest", "check {short1}"),
    "copy": ("copy --from-repo={other} --from-password-file={password}",),
    "diff": ("diff {s1} {s2}", "diff {s2} {s3}", "diff {s1}:{source}/dir {s4}:{source}/dir"),
    "dump": ("dump latest {source}/new", "dump {s2} {source}", "dump {s2}:{source}/dir /"),
    "find": ("find a.txt", "find new *.bin"),
    "forget": ("forget --keep-last=1", "forget {short1} {short3}", "forget --keep-daily=2 --keep-monthly=2"),
    "init": ("init --repo={run}/made",),
    "key": ("key list", "key"),
    "key add": ("key add --new-password-file={password}",),
    "key passwd": ("key passwd --new-password-file={password}",),
    "key remove": ("key remove {key}", "key remove ffff", "key remove", "key remove {key2}"),
    "list": (
        "list blobs",
        "list packs",
        "list index",
        "list snapshots",
        "list keys",
        "list locks",
        "list",
        "list nonsense",
        "list keys locks",
    ),
    "ls": ("ls latest", "ls {s2} {source}/dir", "ls {s3}:{source}/dir /"),
    "migrate": ("migrate", "migrate upgrade_repo_v2", "migrate nonsense"),
    "mount": ("mount", "mount {run}/nowhere", "mount a b"),
    "prune": ("prune", "prune --max-unused=0"),
    "repair": ("repair", "repair nonsense", "repair index more"),
    "repair packs": ("repair packs {pack}", "repair packs", "repair packs {short1}", "repair packs {t1}"),
    "repair snapshots": ("repair snapshots", "repair snapshots {short2} latest"),
    "restore": (
        "restore latest --target=out",
        "restore {s2}:{source}/dir --target=out",
        "restore {s2} --target=there --include=*.txt",
    ),
    "rewrite": ("rewrite --exclude=new", "rewrite {short2} --include=*.txt", "rewrite --new-host=three latest"),
    "snapshots": ("snapshots", "snapshots latest", "snapshots {short1} {short2}"),
    "stats": ("stats", "stats latest", "stats {short1} {short3}"),
    "tag": ("tag --add=x", "tag --set=y {short1}", "tag --remove=a latest"),
    "generate": ("generate", "generate more"),
    "help": ("help", "help backup", "help frobnicate", "help key list", "help key frobnicate", "help help"),
}
"""Lines of a command without the flags in question; without an entry the command's name is the line."""

VALUES = {
    "host": ("one", "nobody", "''"),
    "hostname": ("two",),
    "path": ("{source}", "{source}/dir", "relative", "''"),
    "tag": ("a", "a,b", ",a", "''", "nothing", "a,,b"),
    "keep-tag": ("a", "c,<&>", "''", ",a"),
    "add": ("n", "a,b", "''"),
    "remove": ("c", "nothing"),
    "set": ("n,m", "''"),
    "exclude": ("*.txt", "{source}/dir", "[", "!*.txt", "**/deep"),
    "iexclude": ("*.TXT", "["),
    "include": ("*.txt", "{source}/dir", "[", "!*.txt"),
    "iinclude": ("*.TXT",),
    "exclude-file": ("{patterns}", "{run}/nowhere"),
    "iexclude-file": ("{patterns}",),
    "include-file": ("{patterns}", "{run}/nowhere"),
    "iinclude-file": ("{patterns}",),
    "exclude-xattr": ("user.*", "["),
    "include-xattr": ("user.*",),
    "exclude-if-present": ("new", "new:new", "''"),
    "exclude-larger-than": ("1k", "1", "x", "''", "-1"),
    "files-from": ("{list}", "{run}/nowhere"),
    "files-from-raw": ("{list}",),
    "files-from-verbatim": ("{list}",),
    "group-by": ("host", "paths,tags", "''", "x"),
    "parent": ("{short1}", "ffffffff", "latest"),
    "read-concurrency": ("1", "x", "0x2"),
    "stdin-filename": ("name", "a/b", "''"),
    "time": ("2024-05-01\t12:00:00", "2024-05-01", "2024-05-01\t1:02:03", "2024-05-01\t12:00:00.5", "x"),
    "new-time": ("2024-05-01\t12:00:00", "2024-05-01\t1:02:03.25", "2024-3-1\t12:00:00", "x"),
    "max-age": ("1", "x", "-1"),
    "read-data-subset": ("1/2", "100%", "0/1", "1M", "x"),
    "archive": ("zip", "tar", "x"),
    "target": ("out", "a/b/c", "''", "."),
    "newest": ("2024-01-01", "2001-09-09\t01:46:40", "x"),
    "oldest": ("2024-01-01", "01.02.2003\t1:02:03.5", "x"),
    "snapshot": ("{short1}", "latest", "ffffffff"),
    "keep-last": ("1", "3", "unlimited", "-1", "-2", "x", "0x1"),
    "keep-hourly": ("2", "unlimited"),
    "keep-daily": ("2", "x"),
    "keep-weekly": ("2",),
    "keep-monthly": ("2",),
    "keep-yearly": ("1",),
    "keep-within": ("1y", "1000000d", "2m5d", "1w", "x"),
    "keep-within-hourly": ("100y",),
    "keep-within-daily": ("1y2m",),
    "keep-within-weekly": ("100y",),
    "keep-within-monthly": ("100y",),
    "keep-within-yearly": ("1h",),
    "max-unused": ("0", "10%", "unlimited", "1K", "x", "-1%", "101%"),
    "max-repack-size": ("1K", "0", "x"),
    "repack-smaller-than": ("1K", "20M", "x"),
    "unsafe-recover-no-free-space": ("x",),
    "repository-version": ("1", "2", "stable", "latest", "3", "x"),
    "from-repo": ("{other}", "{run}/nowhere"),
    "from-repository-file": ("{location}",),
    "from-password-file": ("{password}", "{wrong}"),
    "from-password-command": ("cat\t{password}",),
    "from-key-hint": ("ffff",),
    "repo2": ("{other}",),
    "repository-file2": ("{location}",),
    "password-file2": ("{password}",),
    "key-hint2": ("ffff",),
    "password-command2": ("cat\t{password}",),
    "new-password-file": ("{wrong}", "{run}/nowhere", "/dev/null"),
    "user": ("somebody",),
    "sort": ("name", "size", "time", "mtime", "atime", "ctime", "extension", "x"),
    "overwrite": ("always", "if-changed", "if-newer", "never", "x"),
    "new-host": ("three", "''"),
    "latest": ("1", "2", "0", "-1", "x", "0b1"),
    "mode": ("restore-size", "files-by-contents", "blobs-per-file", "raw-data", "x"),
    "path-template": ("%i", "%q"),
    "time-template": ("2006",),
    "bash-completion": ("-",),
    "fish-completion": ("-",),
    "zsh-completion": ("-",),
    "powershell-completion": ("-",),
    "man": ("{run}/nowhere",),
    "cacert": ("{run}/nowhere", "{password}"),
    "cache-dir": ("{run}/cached",),
    "compression": ("off", "max", "x"),
    "http-user-agent": ("somebody",),
    "key-hint": ("{key}", "ffff"),
    "limit-download": ("1000000", "-1", "x"),
    "limit-upload": ("1000000", "0x10"),
    "option": ("local.connections=3", "local.connections=0x2", "local.connections=1_0", "x", "''", "rest.x=1"),
    "pack-size": ("16", "3", "129", "x"),
    "password-command": ("cat\t{password}", "false", "''"),
    "password-file": ("{password}", "{wrong}", "{run}/nowhere"),
    "repo": ("{run}/nowhere",),
    "repository-file": ("{location}",),
    "retry-lock": ("1s", "1h1m", "1", "-1s", "x"),
    "stuck-request-timeout": ("1m", "x"),
    "tls-client-cert": ("{run}/nowhere",),
}
"""Values for flags that take one: what is usual, what is at the edge, what is wrong."""

KNOWN = (
    (r"\bcat (snapshot|tree) latest", "", "`latest` is taken"),
    (r"\bcheck .*--json|--json .*check", "messages", "a wrong name of a snapshot is counted once"),
    (r"repair snapshots \{short2\} latest", "out", "a snapshot that is named twice is treated once"),
    (r"connections=0$", "code", "restic crashes"),
    (r"\bfeatures\b.*--password-command=false", "code", "features needs no password"),
    (
        r"^restore .* -vv$",
        "out: ['restored  /dir/bad\ufffdname with size …'] | ['restored  /dir/bad\\\\xffname with size …']",
        "bytes that are not UTF-8 are escaped in messages",
    ),
)
"""Lines that differ, in which respect, and why: rows of docs/differences.md, each with a test of its own."""
JSON = ("backup", "check", "diff", "find", "forget", "ls", "prune", "restore", "rewrite", "snapshots", "stats", "tag")


def all_lines() -> list[str]:
    """Return every line, without doubles: those of the table, and those that a table does not think of."""
    made = [line for command in FLAGS if command != "*" for line in _lines_of(command)]
    written = MORE.read_text().replace("\\t", "\t").splitlines()
    return list(dict.fromkeys([*made, *written]))


def spread(lines: list[str], count: int) -> list[str]:
    """Return about `count` of the lines at equal distances."""
    return lines[:: max(1, len(lines) // count)]


def is_known(line: str, difference: str, told: str) -> bool:
    """Tell whether a line differs on purpose in what a difference (see Left.differences) tells of.

    `told` is what restic wrote to standard error: a name that it ignores is an error here, and nothing is changed then.
    """
    if re.search(r'^Ignoring "(?!filters)|"Ignoring \\"(?!filters)', told, re.MULTILINE):
        return True
    return any(re.search(pattern, line) and difference.startswith(part) for pattern, part, _ in KNOWN)


def _lines_of(command: str) -> Iterator[str]:
    bases = BASES.get(command, (command,))
    own = list(_samples(FLAGS[command]))
    yield from bases
    yield from (f"{base} --json" for base in bases)
    yield f"{command} ffffffff"
    yield f"{command} --nonsense"
    yield f"{command} more\tthan one two three"
    for number, flag in enumerate(own):
        base = bases[number % len(bases)]
        yield f"{base} {flag}"
        if command in JSON:
            yield f"{base} {flag} --json"
    for number, (one, other) in enumerate(combinations(own, 2)):
        # Every pair would be thirty times as many; those of a prime distance meet each flag with several others.
        if number % 31 == 0 and one.partition("=")[0] != other.partition("=")[0]:
            yield f"{bases[number % len(bases)]} {one} {other}"
    turn = list(FLAGS).index(command)
    for number, flag in enumerate(_samples(FLAGS["*"])):
        # A third of the global flags for each command, and each of them for a third of the commands.
        if number % 3 == turn % 3:
            base = bases[number % len(bases)]
            yield f"{flag} {base}" if number % 2 else f"{base} {flag}"
    yield from _before(command, bases[0], own)


def _before(command: str, base: str, own: list[str]) -> Iterator[str]:
    """Yield lines with the command's own flags before its name."""
    if own:
        yield f"{own[0]} {base}"
        yield f"--json {own[-1]} {base}"
        yield f"--nonsense {own[-1]} {base}"


def _samples(flags: str) -> Iterator[str]:
    """Yield flags with each of their values; the short form is used for every second value."""
    for flag in flags.split():
        short, _, long = flag.rpartition("/")
        name = long.removesuffix("=")
        if long == name:
            yield f"--{name}"
            if short:
                yield f"-{short}"
            continue
        for number, value in enumerate(VALUES[name]):
            separate = f"--{name} {value}" if value == "''" else f"--{name}={value}"
            yield f"-{short} {value}" if short and number % 2 else separate

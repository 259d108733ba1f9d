"""The content of man pages beyond the help texts: details, examples, special exit statuses."""

from pyrestic.cli.manual_entry import Manual
from pyrestic.cli.manual_of_profiles import PROFILE_MANUALS

PROGRAM = Manual(
    details=(
        "A backup splits files into chunks, stores each chunk once, encrypts everything before it leaves the machine,"
        " and records a snapshot: the state of the files at that time. Any snapshot can be restored, mounted or"
        " browsed.",
        "The repository is in restic's format. pyrestic and restic can use the same repository, in any order.",
        "A repository is a local directory (`/mnt/disk/backup`), a Backblaze B2 bucket (`b2:BUCKET:PATH`) or a REST"
        " server (`rest:https://user@host/path/`). Without its password nothing in it can be read.",
    ),
    examples=(
        ("Say where the repository is and where its password is kept:", "export RESTIC_REPOSITORY=/mnt/disk/backup"),
        ("", "export RESTIC_PASSWORD_FILE=~/.backup-password"),
        ("Create the repository, once:", "pyrestic init"),
        ("Back up a directory, list the snapshots, restore the newest one:", "pyrestic backup ~/Documents"),
        ("", "pyrestic snapshots"),
        ("", "pyrestic restore latest --target /tmp/restored"),
    ),
)

_SOURCE = (
    "RESTIC_FROM_REPOSITORY",
    "RESTIC_FROM_REPOSITORY_FILE",
    "RESTIC_FROM_PASSWORD",
    "RESTIC_FROM_PASSWORD_FILE",
    "RESTIC_FROM_PASSWORD_COMMAND",
    "RESTIC_FROM_KEY_HINT",
)
_B2 = ("RESTIC_REPOSITORY", "B2_ACCOUNT_ID", "B2_ACCOUNT_KEY")
_STATE = ("XDG_STATE_HOME",)
_LOSSES = "Something could not be repaired without loss; standard error names what was lost."

MANUALS: dict[str, Manual] = {
    "b2": Manual(
        (("Check the configuration of a bucket:", "pyrestic --repo b2:BUCKET:backup b2 doctor"),), variables=_B2
    ),
    "b2 doctor": Manual(
        (("Check the bucket and the application key:", "pyrestic --repo b2:BUCKET:backup b2 doctor"),),
        exits={1: "A problem was found, or the check failed."},
        variables=_B2,
        opens_repository=False,
    ),
    "backup": Manual(
        (
            ("Back up the home directory, without caches:", "pyrestic backup ~ --exclude-caches --exclude ~/.cache"),
            ("Create no snapshot if nothing changed, as from cron:", "pyrestic backup --quiet --skip-if-unchanged ~"),
            ("Show what a backup would do:", "pyrestic backup --dry-run --verbose ~/Documents"),
            (
                "If it is interrupted, keep what is complete; store that every 30 minutes as well:",
                "pyrestic backup --partial --checkpoint 30m ~",
            ),
            (
                "Back up the output of a program; nothing is stored if it fails:",
                "pyrestic backup --stdin-filename shop.sql --stdin-from-command -- pg_dump shop",
            ),
        ),
        details=(
            "Files are compared with the newest snapshot of the same host and paths. Only files whose size, time or"
            " inode changed are read, and only chunks that the repository does not have are stored.",
            "A backup that was killed can be repeated: it reuses the packs that were stored already.",
            "With --partial, the signals INT, TERM and HUP (exit status 130) and USR2 (3) end a backup with a partial"
            " snapshot: what is complete, and all other files as in the parent. A second signal ends it at once.",
        ),
        exits={
            1: "The backup failed and no snapshot was made, or a snapshot file could not be read.",
            3: "Some source files could not be read and are not in the snapshot, or the backup ended early.",
        },
        variables=("RESTIC_READ_CONCURRENCY",),
    ),
    "cache": Manual(
        (("List the cache directories:", "pyrestic cache"), ("Remove old ones:", "pyrestic cache --cleanup")),
        variables=("RESTIC_CACHE_DIR", "XDG_CACHE_HOME"),
        opens_repository=False,
    ),
    "cat": Manual(
        (("Print the configuration:", "pyrestic cat config"), ("Print a snapshot:", "pyrestic cat snapshot 4bba301e")),
    ),
    "check": Manual(
        (
            ("Check the structure of the repository:", "pyrestic check"),
            ("Also read and verify every byte:", "pyrestic check --read-data"),
            ("Verify 1 GiB a run, least recently verified packs first:", "pyrestic check --budget 1G"),
        ),
        exits={1: "An error was found, or the check failed."},
        variables=("XDG_STATE_HOME",),
    ),
    "copy": Manual(
        (
            (
                "Copy all snapshots of another repository into this one:",
                "pyrestic copy --from-repo /mnt/disk/backup --from-password-file ~/.backup-password",
            ),
        ),
        details=(
            "Snapshots that were copied before are skipped. To let both repositories share chunk boundaries, create the"
            " destination with `init --copy-chunker-params`.",
        ),
        variables=_SOURCE,
    ),
    "cost": Manual(
        (("Show usage, cost and forecast:", "pyrestic cost"), ("Do not contact B2:", "pyrestic cost --offline")),
        variables=_B2,
        opens_repository=False,
    ),
    "diff": Manual(
        (
            ("Compare the two newest snapshots:", "pyrestic diff latest~1 latest"),
            (
                "Compare a directory in two snapshots:",
                "pyrestic diff @yesterday:/home/me/Documents latest:/home/me/Documents",
            ),
        ),
    ),
    "back": Manual(
        (
            ("Choose a version of a file, and get it beside the present one:", "pyrestic back ~/notes.txt"),
            ("Restore what a folder has lost since the last backup:", "pyrestic back ~/Documents"),
            ("Also what was deleted long ago:", "pyrestic back --deleted ~/Documents"),
            (
                "Put yesterday's version in its place, without a question:",
                'pyrestic back --at "yesterday 14:00" --in-place --yes ~/notes.txt',
            ),
        ),
        variables=("XDG_CACHE_HOME",),
    ),
    "doctor": Manual(
        (
            ("Try all operations at a place, and measure its speed:", "pyrestic --repo s3:HOST/BUCKET/backup doctor"),
            ("Measure nothing:", "pyrestic doctor --size 0"),
        ),
        details=("The place needs no repository. The files that are stored for this are removed again.",),
        exits={1: "An operation failed."},
        opens_repository=False,
    ),
    "drill": Manual(
        (("Test a sample of 200 MiB, as from a timer:", "pyrestic drill --budget 200M"),),
        details=("Files are restored in memory. Nothing is written except the record of the result.",),
        exits={1: "A file is damaged or missing, or differs from the original, or the drill failed."},
        variables=("XDG_STATE_HOME",),
    ),
    "dump": Manual(
        (
            ("Print a file:", "pyrestic dump latest /home/me/notes.txt"),
            (
                "Write a directory as a zip archive:",
                "pyrestic dump --archive zip --target docs.zip latest /home/me/Documents",
            ),
        ),
    ),
    "features": Manual(
        (("List the feature flags:", "pyrestic features"),), variables=("RESTIC_FEATURES",), opens_repository=False
    ),
    "find": Manual(
        (
            ("Find files by name in all snapshots:", "pyrestic find '*.odt'"),
            ("Find the files that need a pack:", "pyrestic find --pack 5e9c1d2a"),
        ),
    ),
    "forget": Manual(
        (
            (
                "Keep a snapshot for each of 7 days, 5 weeks and 10 years, and remove unused data:",
                "pyrestic forget --keep-daily 7 --keep-weekly 5 --keep-yearly 10 --prune",
            ),
            ("Show what a policy would remove:", "pyrestic forget --dry-run --keep-last 10"),
            ("Remove one snapshot:", "pyrestic forget 4bba301e"),
        ),
        details=(
            "A policy is applied to each group of snapshots with the same host and paths, unless --group-by says"
            " otherwise. The data of removed snapshots stays until `prune` runs.",
        ),
        exits={3: "Some snapshots could not be removed."},
    ),
    "generate": Manual(
        (
            ("Write the man pages into a directory:", "pyrestic generate --man ~/.local/share/man/man1"),
            ("Load completion into the current bash:", "source <(pyrestic generate --bash-completion -)"),
        ),
        details=("A wheel contains the man pages and the completion files already.",),
        opens_repository=False,
    ),
    "history": Manual(
        (
            ("Show all versions of a file:", "pyrestic history ~/notes.txt"),
            ("Show what changed last:", "pyrestic history --diff ~/notes.txt"),
            ("Follow a file across renames:", "pyrestic history --follow ~/papers/thesis.tex"),
            ("Show what was deleted from a folder:", "pyrestic history --deleted ~/Documents"),
        ),
        variables=("XDG_CACHE_HOME",),
    ),
    "import": Manual(
        (
            ("List what would be imported from a disk of Back In Time:", "pyrestic import --dry-run /media/me/disk"),
            ("Import it; run it again to add newer dates:", "pyrestic import /media/me/disk"),
            (
                "Import the copies of a home directory in folders such as 2026-03-01:",
                "pyrestic import --path /home/me /mnt/disk/copies",
            ),
        ),
        details=(
            "Each date becomes a snapshot with its time, host and paths, so that `history` shows all versions and the"
            " next `backup` finds the newest snapshot. Files that are hard links to those of the date before are not"
            " read again. Nothing is changed in the directory.",
        ),
        exits={3: "Some files could not be read. The snapshots were made without them."},
    ),
    "init": Manual(
        (
            ("Create a repository in a local directory:", "pyrestic init --repo /mnt/disk/backup"),
            (
                "Create one that cuts files at the same places as another, to copy snapshots into it:",
                "pyrestic init --copy-chunker-params --from-repo /mnt/disk/backup",
            ),
        ),
        variables=_SOURCE,
    ),
    "key": Manual((("Change the password:", "pyrestic key passwd"), ("List the keys:", "pyrestic key list"))),
    "key add": Manual(
        (
            ("Add a password:", "pyrestic key add"),
            ("Take it from a file:", "pyrestic key add --new-password-file ~/.second-password"),
        ),
    ),
    "key list": Manual((("List the keys:", "pyrestic key list"),)),
    "key passwd": Manual((("Change the password:", "pyrestic key passwd"),)),
    "key remove": Manual((("Remove a key:", "pyrestic key remove 7a3f09c1"),)),
    "list": Manual((("List the IDs of all packs:", "pyrestic list packs"),)),
    "ls": Manual(
        (
            ("List all files of the newest snapshot:", "pyrestic ls latest"),
            ("List one directory, with details:", "pyrestic ls --long latest /home/me/Documents"),
            ("Browse sizes:", "pyrestic ls --ncdu latest | ncdu -f -"),
        ),
    ),
    "migrate": Manual(
        (
            ("List the migrations that can be applied:", "pyrestic migrate"),
            ("Upgrade the repository to version 2, which compresses:", "pyrestic migrate upgrade_repo_v2"),
        ),
    ),
    "mount": Manual(
        (("Mount all snapshots as directories, until Ctrl-C:", "pyrestic mount /tmp/snapshots"),),
        details=("Mounting needs the extra `mount` and the system's libfuse.",),
        exits={0: "The mount ended, also by Ctrl-C."},
    ),
    "options": Manual((("List the extended options:", "pyrestic options"),), opens_repository=False),
    "prune": Manual(
        (
            ("Remove data that no snapshot uses:", "pyrestic prune"),
            ("Repack at most 10 GiB in this run:", "pyrestic prune --max-repack-size 10G"),
            ("Show what would be removed:", "pyrestic prune --dry-run"),
        ),
        details=("A prune that was killed leaves an intact repository; the next one finishes the work.",),
    ),
    "recover": Manual((("Create a snapshot of all directories that no snapshot refers to:", "pyrestic recover"),)),
    "repair": Manual((("Rebuild the index:", "pyrestic repair index"),)),
    "repair index": Manual(
        (
            ("Rebuild the index:", "pyrestic repair index"),
            ("Do not trust the existing index:", "pyrestic repair index --read-all-packs"),
        ),
        exits={3: "Packs are missing or damaged; standard error names them."},
    ),
    "repair packs": Manual(
        (("Salvage what is intact in a damaged pack:", "pyrestic repair packs 5e9c1d2a"),), exits={3: _LOSSES}
    ),
    "repair snapshots": Manual(
        (
            ("Show which snapshots would change:", "pyrestic repair snapshots --dry-run"),
            ("Replace damaged snapshots by repaired ones:", "pyrestic repair snapshots --forget"),
        ),
        exits={3: _LOSSES},
    ),
    "restore": Manual(
        (
            ("Restore the newest snapshot:", "pyrestic restore latest --target /tmp/restored"),
            (
                "Restore one file as it was yesterday:",
                "pyrestic restore @yesterday:/home/me/notes.txt --target old-notes.txt",
            ),
            ("Restore one directory:", "pyrestic restore latest --target /tmp/restored --include /home/me/Documents"),
            (
                "Show what it takes, and whether everything is there:",
                "pyrestic restore latest --target /tmp/restored --dry-run",
            ),
        ),
        details=(
            "Before it writes anything, a restore checks that every pack it needs exists and that the target has enough"
            " free space. A restore that was interrupted continues when it is run again.",
        ),
        exits={1: "The restore failed, or some files could not be restored."},
        variables=("XDG_STATE_HOME",),
    ),
    "rewrite": Manual(
        (
            (
                "Remove a file from all snapshots, and the old snapshots:",
                "pyrestic rewrite --forget --exclude secret.txt",
            ),
            ("Correct the host name of a snapshot:", "pyrestic rewrite --new-host laptop 4bba301e"),
        ),
    ),
    "serve": Manual(
        (
            ("Show the repository in a browser, until Ctrl-C:", "pyrestic serve"),
            ("Allow restores below a directory:", "pyrestic serve --restore-below /srv/restored"),
        ),
        details=("Serving needs the extra `web`. The pages are for this machine only; the link works once.",),
    ),
    "snapshots": Manual(
        (
            ("List all snapshots:", "pyrestic snapshots"),
            ("List the newest one of each host:", "pyrestic snapshots --latest 1 --group-by host"),
        ),
    ),
    "stats": Manual(
        (
            ("Count what a restore of the newest snapshot needs:", "pyrestic stats latest"),
            ("Count what the repository stores:", "pyrestic stats --mode raw-data"),
        ),
    ),
    "tag": Manual((("Tag the newest snapshot:", "pyrestic tag --add before-upgrade latest"),)),
    "unlock": Manual((("Remove locks of dead processes:", "pyrestic unlock"),)),
    "version": Manual((("Print the version:", "pyrestic version"),), opens_repository=False),
    **PROFILE_MANUALS,
}


def find_manual(path: list[str]) -> Manual:
    """Return the manual of a command, given the words after the program's name; empty for a new one."""
    return MANUALS.get(" ".join(path), Manual()) if path else PROGRAM

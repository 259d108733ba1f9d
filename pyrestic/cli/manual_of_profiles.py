"""The manuals of the commands around profiles."""

from pyrestic.cli.manual_entry import Manual

_PROFILES = ("XDG_CONFIG_HOME",)
_STATE = ("XDG_STATE_HOME",)

PROFILE_MANUALS: dict[str, Manual] = {
    "profile": Manual((("Show the profiles:", "pyrestic profile list"),), variables=_PROFILES, opens_repository=False),
    "profile check": Manual(
        (("Check the profiles after a change:", "pyrestic profile check"),),
        exits={1: "A profile has a problem, which is printed."},
        variables=_PROFILES,
        opens_repository=False,
    ),
    "profile list": Manual(
        (("Show the profiles:", "pyrestic profile list"),), variables=_PROFILES, opens_repository=False
    ),
    "profile show": Manual(
        (("Show where the values of a profile come from:", "pyrestic profile show home"),),
        details=(
            "Each value is shown with the file and the table that set it. The command lines of restic that follow do"
            " the same as the tasks of the profile. Secrets are replaced by `***`.",
        ),
        variables=_PROFILES,
        opens_repository=False,
    ),
    "pause": Manual(
        (("Let nothing run by itself for a day:", "pyrestic pause 1d"), ("End the pause:", "pyrestic resume")),
        details=("`run` without `--due` is not affected.",),
        variables=_STATE,
        opens_repository=False,
    ),
    "resume": Manual((("End a pause:", "pyrestic resume"),), variables=_STATE, opens_repository=False),
    "run": Manual(
        (
            ("Back up by all profiles, and run their other tasks that are due:", "pyrestic run"),
            ("Show what a timer would run now, and why:", "pyrestic run --due --dry-run"),
            ("Run two tasks of one profile:", "pyrestic run home --task backup,check"),
            ("What a timer runs every ten minutes:", "pyrestic run --due"),
        ),
        details=(
            "Each task is the command of this name with the repository and the flags of the profile. The worst exit"
            " status counts, in the order 130, 12, 10, 11, 1, 3.",
        ),
        exits={
            0: "The tasks succeeded, nothing was due, or what is due waits.",
            3: "A snapshot was made, but is partial or lacks unreadable files; or a hook or message failed.",
        },
        variables=(*_PROFILES, *_STATE),
        opens_repository=False,
    ),
    "schedule": Manual(
        (
            ("Install the timer:", "pyrestic schedule"),
            ("Show when it starts next:", "pyrestic schedule --show"),
            ("Show what would be installed for cron:", "pyrestic schedule --print --with cron"),
        ),
        details=(
            "One timer serves all profiles: every ten minutes it starts `pyrestic run --due`, which runs the tasks that"
            " are due. It is a timer of systemd's user manager (for root: of the system) or a line of the crontab."
            " Files and lines that this command did not write are never changed.",
        ),
        exits={1: "The timer could not be installed or removed, or there is none to show."},
        variables=("XDG_CONFIG_HOME",),
        opens_repository=False,
    ),
    "setup": Manual(
        (
            ("Answer a few questions:", "pyrestic setup"),
            ("Ask nothing:", "pyrestic setup --yes --repo /mnt/disk/backup --source /home/me"),
            ("Undo it; the backups and their password stay:", "pyrestic setup --remove"),
        ),
        details=(
            "The command tries the place, creates the repository or opens an existing one, stores the password in a"
            " file that only you can read (or in the key ring), writes the profile, installs the timer, backs up a few"
            " small files, restores one and compares it, and starts the timer. It writes a recovery sheet: a page with"
            " everything that a restore on another computer needs.",
            "A new repository gets a random password unless you pass one. A step that is done already is not repeated,"
            " so a second run changes nothing, and a run that was interrupted can be repeated.",
        ),
        variables=("XDG_CONFIG_HOME", "B2_ACCOUNT_ID", "B2_ACCOUNT_KEY"),
    ),
    "status": Manual(
        (
            ("Show how things stand:", "pyrestic status"),
            ("Ask the repositories, too:", "pyrestic status --online"),
        ),
        exits={
            1: "A repository did not answer, or the command failed.",
            4: "A profile is overdue, or one of its tasks failed last time.",
        },
        variables=(*_PROFILES, *_STATE),
        opens_repository=False,
    ),
}

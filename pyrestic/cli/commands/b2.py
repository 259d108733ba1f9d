"""pyrestic b2: Backblaze B2 tools."""

import click

from pyrestic.backend.b2.backend import B2Backend
from pyrestic.backend.b2.doctor import examine
from pyrestic.cli.command import App, Group, define
from pyrestic.cli.session import find_location, opened_place
from pyrestic.errors import UsageError


@define("doctor", "Check the bucket settings and suggest fixes.", prints=True)
def doctor(app: App) -> None:
    """Print findings; the exit code is 1 if one of them is a problem."""
    with opened_place(app.settings, app.terminal) as place:
        backend = place.backend
        if not isinstance(backend, B2Backend):
            raise UsageError(
                f"{find_location(app.settings)} is not in B2, or is a past state",
                hint="Use a repository such as b2:BUCKET:PATH.",
            )
        findings = place.retry.run("examining the bucket", lambda: examine(backend))
    if app.settings.json:
        app.terminal.print_json(
            {
                "message_type": "b2_doctor",
                "findings": [
                    {
                        "code": finding.code,
                        "problem": finding.problem,
                        "text": finding.text,
                        "remedy": finding.remedy,
                    }
                    for finding in findings
                ],
            }
        )
    else:
        for finding in findings:
            app.terminal.print(f"{'Problem' if finding.problem else 'Advice'}: {finding.text}.")
            app.terminal.print(f"  {finding.remedy}")
        if not findings:
            app.terminal.print("No problems found.")
    if any(finding.problem for finding in findings):
        raise click.exceptions.Exit(1)


command = Group("b2", "Backblaze B2 tools.", doctor)

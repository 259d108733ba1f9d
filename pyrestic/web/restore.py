"""The pages of restores: the target, the plan, the progress, the result."""

from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from pyrestic.errors import NotFoundError, PyresticError
from pyrestic.operations.existing import Overwrite
from pyrestic.operations.restore_options import RestoreOptions
from pyrestic.web.browse import crumbs
from pyrestic.web.jobs import JobState, RestoreJob, Restores
from pyrestic.web.site import site_of
from pyrestic.web.texts import show_bytes

_CHOICES = {
    Overwrite.NEVER: "keep it; a single file or folder is then restored with its date in its name",
    Overwrite.IF_NEWER: "replace it if it is older",
    Overwrite.ALWAYS: "replace it if it differs",
}


def restores_of(request: Request) -> Restores:
    """Return the restores of the server that a request is for."""
    restores: Restores = request.app.state.restores
    return restores


async def show_form(request: Request) -> Response:
    """Answer with the form of a restore, or start to plan it."""
    fields: dict[str, str] = {}
    if request.method == "POST":
        fields = await _read_form(request)
    return await run_in_threadpool(_answer_form, request, fields)


async def _read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, the last of each name; the guard has limited the body."""
    body = await request.body()
    pairs = parse_qs(body.decode("latin-1"), keep_blank_values=True, max_num_fields=20, errors="surrogateescape")
    return {name: values[-1] for name, values in pairs.items()}


def _answer_form(request: Request, fields: dict[str, str]) -> Response:
    site, restores = site_of(request), restores_of(request)
    spot = site.requested(request)
    message = hint = ""
    if request.method == "POST":
        try:
            overwrite = next((each for each in _CHOICES if each.value == fields.get("overwrite")), Overwrite.NEVER)
            options = RestoreOptions(
                overwrite=overwrite, verify="verify" in fields, privileged="no_privileged" not in fields
            )
            job = restores.prepare(spot, fields.get("target", "").strip(), options)
            return RedirectResponse(f"/restores/{job.number}", 303)
        except PyresticError as error:
            message, hint = str(error), error.hint
    return site.renderer.page(
        "restore.html",
        400 if message else 200,
        active="restores",
        spot=spot,
        crumbs=crumbs(spot.location),
        message=message,
        hint=hint,
        target=fields.get("target", restores.rules.suggestion),
        verify="verify" in fields or not fields,
        no_privileged="no_privileged" in fields,
        overwrite=fields.get("overwrite", Overwrite.NEVER.value),
        choices=_CHOICES,
        rules=restores.rules,
    )


def show_restores(request: Request) -> Response:
    """Answer with the restores of this run."""
    return site_of(request).renderer.page("restores.html", active="restores", jobs=restores_of(request).all())


def show_restore(request: Request) -> Response:
    """Answer with the current state of one restore."""
    job = _find(request)
    return site_of(request).renderer.page(
        "job.html", active="restores", job=job, state=job.state.value, words=_words(job), choices=_CHOICES
    )


def send_state(request: Request) -> Response:
    """Answer with the progress of a restore, for the script of its page."""
    job = _find(request)
    return JSONResponse(
        {"state": job.state.value, "done": job.progress.done, "total": job.total_bytes, "words": _words(job)}
    )


def start_restore(request: Request) -> Response:
    """Start to write, and redirect to the page with the progress."""
    job = restores_of(request).start(_find(request).number)
    return RedirectResponse(f"/restores/{job.number}", 303)


def drop_restore(request: Request) -> Response:
    """Cancel a restore that was not started, and redirect to the location of its form."""
    job = restores_of(request).drop(_find(request).number)
    return RedirectResponse(f"/restores/{job.number}", 303)


def _find(request: Request) -> RestoreJob:
    text = request.path_params["number"]
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise NotFoundError("There is no such restore.")
    return restores_of(request).find(int(text))


def _words(job: RestoreJob) -> str:
    """Return the progress of a restore in one line."""
    if job.state is JobState.LOOKING:
        return "Planning…"
    if job.state is JobState.RUNNING and job.progress.done >= job.total_bytes:
        return "Finishing…"
    return f"{show_bytes(job.progress.done)} of {show_bytes(job.total_bytes)}"

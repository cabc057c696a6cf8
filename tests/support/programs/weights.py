"""A page like that of a closed service: login, contenteditable prompt, picker with a virtual list."""

import asyncio
import io
import uuid
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Cookie, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from tests.support.programs.rendering import STEPS, render_image

PAGE = Path(__file__).parent / "weights.html"
COOKIE = "session"
SIGNED_IN = "a-valid-session"
STEP_S = 0.2
LOGIN = """<!doctype html><html lang="en"><title>Sign in</title><form id="login-form"><h1>Sign in to continue</h1>
<input name="email" aria-label="Email"><button>Continue</button></form></html>"""

Session = Annotated[str, Cookie()]

router = APIRouter()
images: dict[str, bytes] = {}
runs: dict[str, tuple[str, int]] = {}


@router.get("/")
def page(session: Session = "") -> HTMLResponse:
    """Return the page, or the login page without a valid session."""
    return HTMLResponse(PAGE.read_text() if session == SIGNED_IN else LOGIN)


@router.post("/generate")
async def generate(request: Request, session: Session = "") -> JSONResponse:
    """Start a run."""
    if session != SIGNED_IN:
        return JSONResponse({"message": "Sign in first."}, 401)
    body = await request.json()
    if "forbidden" in body["prompt"]:
        return JSONResponse({"message": "This prompt breaks the rules of the house."}, 422)
    run = uuid.uuid4().hex
    runs[run] = (f"{body['prompt']}|{body.get('lora') or ''}", 0)
    return JSONResponse({"run": run})


@router.get("/runs/{run}")
async def state(run: str) -> JSONResponse:
    """Advance the run by one step; return the step and the URL of its image."""
    await asyncio.sleep(STEP_S)
    text, step = runs[run]
    runs[run] = (text, step + 1)
    out = io.BytesIO()
    render_image(text, brightness=(step + 1) / STEPS).save(out, "PNG")
    images[f"{run}-{step + 1}"] = out.getvalue()
    return JSONResponse({"step": step + 1, "done": step + 1 == STEPS, "url": f"pictures/{run}-{step + 1}.png"})


@router.get("/pictures/{name}.png")
def image(name: str) -> Response:
    """Return an image of a run."""
    return Response(images[name], media_type="image/png")

"""Raw calls of the API over HTTP."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from ..site import SETTINGS

META = {"_type": "gradio.FileData"}
VALUES = [*SETTINGS.values()]
FAST = {"preset": "anime-fast"}
_DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
_ROWS = re.findall(r"^\| (`/\w+`.*?) \|", _DOCUMENT, re.MULTILINE)
ENDPOINTS = {*re.findall(r"/\w+", " ".join(_ROWS))}
"""The endpoints in docs/api.md."""
REMOTE = {"x-forwarded-for": "203.0.113.7"}
"""The header of a trusted proxy for a client on another computer."""
_READERS = ThreadPoolExecutor(40)


def upload(site, name, side=16):
    """Upload a small photo; return it as an input of an endpoint."""
    return upload_file(site.url, name, site.photo(name, side, side).read_bytes())


def upload_file(url, name, content, **headers):
    """Upload a file to the server at `url`; return it as an input of an endpoint."""
    answer = httpx.post(
        f"{url}gradio_api/upload", files={"files": (name, content)}, headers=headers
    )
    return {"path": answer.json()[0], "meta": META}


def values_for(endpoint, image, **given):
    """Return the values of an endpoint's parameters: an image, its central 16 px and fast settings,
    or those given."""
    region = {"x": None, "y": None, "size": 16} if endpoint in ("preview", "compare") else {}
    settings = {} if endpoint == "compare" else SETTINGS | FAST
    return [[image] if endpoint == "batch" else image, *(region | settings | given).values()]


def part(field, content=b"x", name=None):
    """Return a part of a form with the boundary x. It is a file if it has a name."""
    file = b"" if name is None else b'; filename="' + name + b'"'
    return (
        b'--x\r\nContent-Disposition: form-data; name="'
        + field
        + b'"'
        + file
        + b"\r\n\r\n"
        + content
        + b"\r\n"
    )


def post_form(
    http,
    route,
    parts,
    options="; boundary=x",
    end=b"--x--\r\n",
):
    """Send the parts of a form. `options` of its media type follow the name."""
    return http.post(
        route, content=parts + end, headers={"content-type": f"multipart/form-data{options}"}
    )


def begin(site, endpoint, data, headers=None, **more):
    """Call an endpoint; return the id of the event with its response."""
    url = f"{site.url}gradio_api/call/{endpoint}"
    answer = httpx.post(url, json={"data": data, **more}, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["event_id"]


def listen(site, endpoint, event, headers=None):
    """Return the events of a call as text, to its end."""
    return httpx.get(
        f"{site.url}gradio_api/call/{endpoint}/{event}", headers=headers, timeout=60
    ).text


def submit(site, endpoint, data, headers=None, **more):
    """Call an endpoint and read its events in a thread, whose result are the events as text."""
    event = begin(site, endpoint, data, headers, **more)
    return _READERS.submit(listen, site, endpoint, event, headers)


def answer_to(site, endpoint, data, headers=None):
    """Return the events of a call as text, or the error of the request."""
    called = httpx.post(
        f"{site.url}gradio_api/call/{endpoint}", json={"data": data}, headers=headers, timeout=60
    )
    if called.status_code != 200:
        return called.text
    return listen(site, endpoint, called.json()["event_id"], headers)


def status(site):
    return json.loads(answer_to(site, "status", []).partition("data: ")[2].splitlines()[0])[0]


def fill_in(value, **words):
    """Replace `{name}` in all strings of a JSON value."""
    text = json.dumps(value)
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return json.loads(text)

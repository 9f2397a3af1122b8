"""No request of a client is a server error, whatever its values are, and none leaves a traceback in
the log."""

import json
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from enhance.web.params import API_SETTINGS

from .calls import META, VALUES, listen, part, post_form, upload

ODD_VALUES = ["", "\0", "é", "x" * 5000, "\ud800", "..", -1, 2**70, 1.5, True, None, [], {}, [[]]]
ODD_VALUES += [{"path": "\0"}, [{"path": "x", "meta": META}]]
ODD_NAMES = [b"", b"\0", b"\xff.png", b"\xed\xa0\x80.png", b"..", b"/", b"\\", b"a/b.png", b"\r"]
ODD_NAMES += ["\u202eb.png".encode(), "é".encode() * 200 + b".png", b"x" * 3000]
ODD_PARTS = ["", "%00", "%0a", "%ff", "%ed%a0%80", "x" * 3000, "..", "%2e%2e", "http:%2f%2fx"]
PATHS = """
?deep_link= ?lang= config?page= config?deep_link= static/ assets/ svelte/ pwa_icon/ regions/
regions/x/photo/page/ api/results/ api/results/00000000000000000000000000000000/ gradio_api/
gradio_api/file= gradio_api/file/ gradio_api/call/status/ gradio_api/call/v2/status/
gradio_api/heartbeat/ gradio_api/queue/data?session_hash= gradio_api/info?page= gradio_api/queue/
gradio_api/custom_component/x/client/y/ gradio_api/stream/a/b/1/ gradio_api/mcp/
"""
HEADERS = {
    "Range": ["bytes=", "bytes=0-1-2", "bytes=5-1", "bytes=-5", f"bytes=0-{9**30}"],
    "If-Range": ["\xff"],
    "Cookie": ["\xff", ";;;", 'a="'],
    "Accept": ["\xff", "*/*;q="],
    "Accept-Language": ["\xff", ";;q=,", "x" * 5000],
    "Referer": ["\xff", "http://[::1", "?lang=\xff"],
    "Origin": ["\xff", "http://[", ""],
    "Host": ["[::1", "", "\xff", ":", "localhost:x"],
    "X-Forwarded-For": ["\xff", ","],
    "X-Forwarded-Host": ["\xff", "["],
    "Authorization": ["\xff", "Bearer"],
    "Content-Length": ["-1", "+0", "0_0", "x", "0, 0", "9" * 5000],
    "Content-Type": ["\xff", "multipart/form-data; boundary=\xff", "text/json; charset=\xff"],
}
BODIES = [b"", b"null", b"[]", b"{}", b"1", b"\xff\xfe\xfa", b"\0", b"{", b"[" * 5000]
BODIES += [b'{"data": NaN}', b'{"data": 1e400}', b'{"data": "\\ud800"}']
BODIES += ['{"data": []}'.encode("utf-16")]
CALLS = {
    "call/enhance": {"data": [None, *VALUES], "session_hash": "a"},
    "call/v2/batch": {"images": None},
    "run/status": {"data": [], "session_hash": "a", "fn_index": None, "event_id": None},
    "queue/join": {"data": [], "session_hash": "a", "fn_index": "/status", "trigger_id": None},
    "cancel": {"session_hash": "a", "fn_index": 0, "event_id": "a"},
    "reset": {"event_id": "a"},
    "component_server": {"data": []},
}


@pytest.fixture(autouse=True)
def no_errors(errors):
    """Fail if the log has an error at the end of a test."""
    yield
    assert errors() == []


def status_of(site, method, path, **headers):
    """Send a request without a body as it is; return the status of the response."""
    address = urlsplit(site.url)
    headers = {"Host": "localhost", "Content-Length": "0"} | headers
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=60)) as connection:
        connection.putrequest(method, f"/{path}", skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status


FAST = part(b"preset", b"anime-fast")


def assert_no_server_error(answer, *what):
    assert answer.status_code < 500, (*what, answer.text[:300])


@pytest.mark.parametrize("route", CALLS)
def test_odd_json(http, indexes, route):
    call = CALLS[route]
    if route == "queue/join":
        call = {**call, "fn_index": indexes[call["fn_index"]]}
    for body in BODIES:
        answer = http.post(f"gradio_api/{route}", content=body)
        assert_no_server_error(answer, body)
        assert body in (b"", b"[]", b"{}") or answer.json()["detail"], body
    for key, value in call.items():
        without = {one: given for one, given in call.items() if one != key}
        assert_no_server_error(http.post(f"gradio_api/{route}", json=without), key)
        for odd in [*ODD_VALUES, [value], [value, value]]:
            body = json.dumps({**without, key: odd}).encode()
            assert_no_server_error(http.post(f"gradio_api/{route}", content=body), key, odd)


@pytest.mark.parametrize(
    "endpoint", ["enhance", "preview", "batch", "analyse", "report", "cancel", "forget"]
)
def test_odd_parameters_get_a_sentence(site, http, endpoint):
    parameters = http.get("gradio_api/info").json()["named_endpoints"][f"/{endpoint}"]["parameters"]
    file = next(one["parameter_name"] for one in parameters)
    for one in parameters:
        for odd in ODD_VALUES:
            body = json.dumps({file: None} | {one["parameter_name"]: odd}).encode()
            answer = http.post(f"gradio_api/call/v2/{endpoint}", content=body)
            assert_no_server_error(answer, body)
            if answer.status_code == 200:
                events = listen(site, endpoint, answer.json()["event_id"])
                assert "event: error" in events
                assert "unexpected" not in events, body
                assert "null" not in events.partition("event: error")[2], body


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_odd_paths(site, method):
    for path in PATHS.split():
        for odd in ODD_PARTS:
            assert status_of(site, method, path + odd) < 500, path + odd[:30]


def test_odd_headers(site):
    file = f"gradio_api/file={quote(upload(site, 'odd-header.png')['path'])}"
    for method, path in (
        ("GET", ""),
        ("GET", file),
        ("GET", "gradio_api/info"),
        ("POST", "gradio_api/call/status"),
        ("POST", "gradio_api/upload"),
        ("POST", "api/enhance"),
    ):
        for name, values in HEADERS.items():
            for value in values:
                assert status_of(site, method, path, **{name: value}) < 500, (path, name, value)


def test_several_ranges_return_the_whole_file(site, http):
    path = upload(site, "ranges.png")["path"]
    answer = http.get(f"gradio_api/file={path}", headers={"range": "bytes=0-1,4-5"})
    assert (answer.status_code, answer.content) == (200, Path(path).read_bytes())


@pytest.mark.parametrize(
    ("route", "field"), [("gradio_api/upload", b"files"), ("api/enhance", b"image")]
)
def test_odd_forms(site, http, route, field):
    photo = site.photo("odd-form.png", 8, 8).read_bytes()
    image = part(field, photo, b"a.png")
    forms = [b"", image * 2, part(field), part(b"", photo, b"a.png"), b"--x\r\n\r\nx\r\n"]
    for name in ODD_NAMES:
        forms += [FAST + part(field, photo, name), part(name, photo, b"a.png")]
    for setting in (*API_SETTINGS, "nope"):
        forms += [image + part(setting.encode(), odd) for odd in (b"", b"\xff", b"1e400")]
    for body in forms:
        for charset in ("", "; charset=utf-16"):
            answer = post_form(http, route, body, f"; boundary=x{charset}")
            assert_no_server_error(answer, body[:200], charset)

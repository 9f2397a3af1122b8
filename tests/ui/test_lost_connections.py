"""A page that is reloaded, loses its connection, or whose server is killed: it goes on without a
press."""

import signal
from contextlib import contextmanager

import pytest
from gradio_client import Client

from ..api.programs import PAUSED, fork_server, write_photo
from ..site import wait_until
from .cable import cable

PATIENCE = 180_000


class Visit:
    """A page whose connection to a server of its own can be cut."""

    def __init__(self, page, relay, forks, folder):
        self.page = page
        self._relay = relay
        self._forks = forks
        self._folder = folder
        self._servers = []

    def start_server(self):
        server = fork_server(self._forks, self._folder / "data", PAUSED)
        self._servers.append(server.process)
        wait_until(server.is_ready)
        self._relay.connect_to(server.url)

    @contextmanager
    def paused(self):
        """Pause previews and runs of all servers."""
        go = self._folder / "go"
        go.unlink(missing_ok=True)
        yield
        go.touch()

    def end_server(self, number):
        self._servers[-1].send_signal(number)
        self.start_server()

    def kill_servers(self):
        for server in self._servers:
            server.send_signal(signal.SIGKILL)
            server.wait()

    def wait_for(self, condition):
        """Wait for a condition of the page's `state`, of the `chip`, and of the `file` in
        Single."""
        found = (
            "const { state } = enhance, { file } = state, chip = "
            "document.querySelector('#chip')?.dataset.state;"
        )
        try:
            self.page.wait_for_function(
                f"() => {{ {found} return {condition}; }}", timeout=PATIENCE
            )
        except Exception as error:
            shown = (
                "[enhance.state.problem, enhance.state.requests, document.body.dataset, "
                "enhance.state.progress?.done]"
            )
            raise AssertionError(
                f"{condition}: {self.page.evaluate(f'JSON.stringify({shown})')}"
            ) from error

    def choose(self, *names, batch=False):
        field = "#batch-input" if batch else "#upload-input"
        photos = [write_photo(self._folder / f"slow {name}.png", 48, 64) for name in names]
        self.page.locator(field).first.set_input_files(photos)

    def reload(self):
        self.page.reload()
        self.page.wait_for_function("window.enhance?.state")

    def lose_connection(self):
        self._relay.cut()
        self.wait_for("state.isOffline")
        self._relay.reconnect()

    def kill_server(self):
        self.end_server(signal.SIGKILL)

    def stop_server(self):
        self.end_server(signal.SIGTERM)

    def recent_results(self):
        key = self.page.evaluate("localStorage['enhance-key']")
        client = Client(
            self._relay.url, headers={"x-enhance-key": key}, verbose=False, analytics_enabled=False
        )
        return client.predict("", api_name="/runs")


def wait_for_components(page):
    """Wait until Gradio has loaded its own files, which it does not request again."""
    page.locator("gradio-app #panel").wait_for(state="attached", timeout=PATIENCE)
    page.wait_for_load_state("networkidle")


@pytest.fixture
def visit(forks, browser, tmp_path):
    with cable() as relay, browser.new_context(locale="en-US") as context:
        page = context.new_page()
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        visit = Visit(page, relay, forks, tmp_path)
        (tmp_path / "go").touch()
        visit.start_server()
        page.goto(f"{relay.url}?preset=anime-fast")
        wait_for_components(page)
        yield visit
        visit.kill_servers()
        assert problems == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("interruption", ["reload", "lose_connection", "kill_server"])
def test_the_page_goes_on_without_a_press(visit, interruption):
    interrupt = getattr(visit, interruption)
    if interruption == "reload":
        interrupt_upload_by_reload(visit)
    else:
        upload_without_connection(visit, interrupt)
    with visit.paused():
        visit.choose("a")
        visit.wait_for("file?.name === 'slow a.png' && state.requests.preview")
        interrupt()
    visit.wait_for("chip === 'matches'")
    interrupt_run(visit, interrupt)
    interrupt_batch(visit, interrupt)


@pytest.mark.timeout(900)
def test_jobs_that_end_with_a_stopped_server_go_on_without_a_press(visit):
    visit.choose("a")
    visit.wait_for("chip === 'matches'")
    interrupt_run(visit, visit.stop_server)
    interrupt_batch(visit, visit.stop_server)


def interrupt_upload_by_reload(visit):
    visit.page.route("**/gradio_api/upload", lambda route: None)
    visit.choose("lost")
    visit.wait_for("file?.upload")
    visit.reload()
    visit.page.unroute_all(behavior="ignoreErrors")
    visit.wait_for("file === null && state.problem")


def upload_without_connection(visit, interrupt):
    visit.page.route("**/gradio_api/upload", lambda route: route.abort(), times=1)
    visit.choose("first")
    visit.wait_for("file?.upload")
    interrupt()
    visit.wait_for("file?.path && chip === 'matches'")


def interrupt_run(visit, interrupt):
    with visit.paused():
        visit.page.locator("#enhance").click()
        visit.wait_for("state.progress?.done > 0")
        interrupt()
    visit.wait_for("chip === 'result' && state.results[file.path]")
    assert [one["state"] for one in visit.recent_results()] == ["done"]


def interrupt_batch(visit, interrupt):
    page = visit.page
    page.locator("#tab-batch").click()
    visit.choose("c", "d", batch=True)
    visit.wait_for("state.batch.files.length === 2 && state.batch.files.every((one) => one.path)")
    with visit.paused():
        page.locator("#batch-enhance").click()
        visit.wait_for("state.batch.progress?.share > 0")
        interrupt()
    visit.wait_for("!state.batch.isRunning && state.batch.archive?.count === 2")
    batch, single = sorted(visit.recent_results(), key=lambda one: "files" not in one)
    assert [file["state"] for file in batch["files"]] == ["done", "done"]
    assert single["state"] == "done"

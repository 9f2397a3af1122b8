"""The private parts of Gradio that no other test covers. If one fails after an upgrade, it names
what changed."""

import gradio as gr
import httpx
from gradio.state_holder import SessionState

from enhance.web import gradio_changes as changes

from ..site import free_port


def test_a_session_has_no_copies_of_the_components():
    changes.change_gradio()
    with gr.Blocks() as demo:
        gr.Textbox()
    session = SessionState(demo)
    assert session.blocks_config.blocks.keys() == demo.blocks.keys()
    assert not session.config_values


def test_the_time_for_a_shutdown_is_limited():
    changes.change_gradio()
    with gr.Blocks() as demo:
        gr.Textbox()
    demo.launch(server_port=free_port(), quiet=True, prevent_thread_lock=True, _frontend=False)
    changes.limit_shutdown(demo, 1)
    assert demo.server.config.timeout_graceful_shutdown == 1
    demo.close(verbose=False)


def test_the_language_script_comes_first_in_the_page(site):
    page = httpx.get(site.url).text
    assert "enhance-lang" in page[page.index("<head>") : page.index("</script>")]

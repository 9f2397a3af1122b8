"""Presets whose model is not installed."""

from __future__ import annotations

import httpx


def test_only_requests_from_this_machine_show_how_to_install_a_preset(site):
    def reasons(**headers: str) -> set[str]:
        url, accept = f"{site.url}gradio_api/run/presets", {"accept-language": "en"}
        presets = httpx.post(url, json={"data": []}, headers=accept | headers).json()["data"][0]
        return {preset["reason"] for preset in presets if not preset["available"]}

    own = reasons()
    assert own
    assert "Not installed on this server." not in own
    for header in ({"x-forwarded-for": "203.0.113.5"}, {"x-gradio-user": "mcp"}):
        assert reasons(**header) == {"Not installed on this server."}

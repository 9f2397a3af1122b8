"""Photos are dropped, pasted, picked or replaced, and files that are no photos are rejected."""

from pathlib import Path

import pillow_heif
from PIL import Image
from playwright.sync_api import expect

from ..site import photo
from .journey import choose, download, drop, enhance, load, open_batch, rows, see, wait_for


def test_photos_come_in_every_way_and_bad_files_change_nothing(site, visit, tmp_path):
    page, phone = visit("?preset=anime-fast"), site.files / "phone.heic"
    page.evaluate("window.same = true")
    problem = page.get_by_role("alert")
    choose(page, site.text("letter.png"))
    expect(problem).to_contain_text("letter.png")
    choose(page, empty_file(site))
    expect(problem).to_contain_text("empty.png")
    drop(page, "body", site.photo("pasted.png", 40, 48), how="paste")
    wait_for(page, "file?.name === 'pasted.png' && chip === 'matches'")
    expect(problem).to_have_count(0)
    for number, target in enumerate(("#stage", "html")):
        drop(page, target, site.photo(f"dropped-{number}.png", 40, 50))
        wait_for(page, "file.name === name && chip === 'matches'", name=f"dropped-{number}.png")
    pillow_heif.from_pillow(Image.fromarray(photo(64, 80))).save(phone)
    with page.expect_file_chooser() as chooser:
        page.locator("#replace").click()
    chooser.value.set_files(phone)
    wait_for(page, "file.name === 'phone.heic' && chip === 'matches'")
    enhance(page)
    with Image.open(download(page, tmp_path)) as result:
        assert result.size == (320, 256)

    # A bad file leaves the photo and its result.
    for file, reason in ((site.text("letter.png"), "letter.png"), (large_file(site), "200 MB")):
        choose(page, file)
        expect(problem).to_contain_text(reason)
        assert see(page, "[file.name, stage.mode]") == ["phone.heic", "result"]

    many = [site.files / f"many-{number}.png" for number in range(201)]
    for file in many:
        file.write_bytes(b"")
    page.locator("#tab-batch").click()
    page.locator("#batch-input").set_input_files(many)
    expect(problem).to_contain_text("200")
    assert page.evaluate("window.same"), "the page was reloaded"


def empty_file(site):
    path = site.files / "empty.png"
    path.write_bytes(b"")
    return path


def large_file(site):
    """Write a file that is larger than the limit."""
    path = site.files / "large.png"
    with path.open("wb") as file:
        file.truncate(200_000_001)
    return path


NAMES = (
    "a<img src=x onerror=alert(1)>.png",
    "\"double\" & 'single'.png",
    "&lt;b&gt;cats&amp;dogs.png",
    "😀 smile 家 ${1}.png",
    "holiday\u202egpj.exe.png",
)


def expect_plain_text(page):
    """Check that no file name became an element or changed the direction of text."""
    expect(page.locator('img[src="x"], #facts b, [onerror]')).to_have_count(0)
    assert "\u202e" not in page.evaluate("document.body.textContent")


def unreadable(site, name):
    (site.files / "bad").mkdir(exist_ok=True)
    return site.text(f"bad/{name}")


def test_a_file_name_is_shown_as_text_only(site, visit, tmp_path, monkeypatch, problems):
    # Gradio removes some characters from the names of uploads. The page does not rely on that.
    monkeypatch.setattr(
        "gradio_client.utils.strip_invalid_filename_characters", lambda name, **_: name
    )
    page, dialogs = visit("?preset=anime-fast"), list[str]()
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    name = NAMES[0]
    choose(page, unreadable(site, name))
    expect(page.get_by_role("alert").first).to_contain_text(name)
    expect_plain_text(page)
    load(page, site.photo(name, 40, 48))
    enhance(page)
    expect(page.locator("#facts")).to_contain_text("onerror")
    expect_plain_text(page)
    saved = download(page, tmp_path).name
    assert letters(saved) == letters(f"{Path(name).stem}-4x.png")

    open_batch(page)
    files = [site.photo(name, 20, 24) for name in NAMES]
    bad = [unreadable(site, f"bad {name}") for name in NAMES]
    page.locator("#batch-input").set_input_files([*files, *bad])
    page.locator("#batch-enhance").click()
    expect(rows(page, "done")).to_have_count(len(files))
    texts = " ".join(page.locator("#list .file").all_inner_texts())
    for file in (*files, *bad):
        assert file.name.replace("\u202e", "") in texts
    expect_plain_text(page)
    assert dialogs == problems == []
    with page.expect_event("console", lambda message: "olicy" in message.text):
        page.evaluate("new Image().src = 'https://example.org/image.png'")
    assert len(problems) == 1, "a violation of the policy would be noticed"
    problems.clear()


def letters(name):
    """Return the characters of a name that a browser leaves in the name of a download."""
    return "".join(letter for letter in name if letter.isalnum() or letter in " .-()")

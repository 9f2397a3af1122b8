"""Put this folder into a Space: `make space REPO=owner/name`, or with SPACE=--dry-run say what would be sent.

What git keeps is sent, without what a Space has no use for; so no photo, no result and no password that lies beside the
program can go along. It is one commit: what the Space had and this folder has not goes.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
IGNORED = (".ci/*", ".dockerignore", "Dockerfile", "compose.yaml", "tests/*", "docs/*.py", "requirements.lock")
"""The Space is built from README's head, requirements.txt and packages.txt."""
_KEPT_THERE = {".gitattributes"}
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def tracked() -> list[str]:
    """The files that git keeps, in this folder as they lie here."""
    found = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    return [name for name in found.split("\0") if name and (ROOT / name).is_file()]


def is_ignored(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in IGNORED)


def readme_of(repo: str) -> str:
    """README with the picture that the Space is shown by, whose address has the Space's name."""
    text = (ROOT / "README.md").read_text("utf-8")
    picture = f"thumbnail: https://huggingface.co/spaces/{repo}/resolve/main/docs/page.png"
    return text.replace("\ntags:\n", f"\n{picture}\ntags:\n", 1)


def send(repo: str, names: list[str], *, private: bool) -> str:
    """Make the Space, if it is not there, and send the files as one commit; gives its address."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    api.create_repo(repo, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
    there = set(api.list_repo_files(repo, repo_type="space")) - _KEPT_THERE
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, readme_of(repo).encode() if name == "README.md" else ROOT / name) for name in names
    ]
    operations += [CommitOperationDelete(name) for name in sorted(there - set(names))]
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    api.create_commit(repo, operations, commit_message=f"Take over {commit}", repo_type="space")
    return f"https://huggingface.co/spaces/{repo}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Put this folder into a Space.")
    parser.add_argument(
        "repo", help="owner/name; a token with the right to write is taken from `hf auth login` or HF_TOKEN"
    )
    parser.add_argument("--private", action="store_true", help="for you alone, if the Space is made now")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent; asks nobody, changes nothing")
    options = parser.parse_args()
    if not _NAME.fullmatch(options.repo):
        parser.error(f"a Space is called owner/name, which {options.repo!r} is not")
    every = tracked()
    names = [name for name in every if not is_ignored(name)]
    if options.dry_run:
        for name in names:
            print(f"{(ROOT / name).stat().st_size:>9,}  {name}")
        size = sum((ROOT / name).stat().st_size for name in names)
        print(f"{size:>9,} bytes in {len(names)} files would go to https://huggingface.co/spaces/{options.repo}")
        print(f"{len(every) - len(names)} files stay here: {', '.join(IGNORED)}")
        return
    print(send(options.repo, names, private=options.private))


if __name__ == "__main__":
    main()

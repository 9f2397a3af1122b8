"""Upload the project to a Hugging Face Space: `make space REPO=owner/name`. SPACE=--dry-run only
lists the files.

The Space builds the image of the Dockerfile, because requirements.txt alone would install PyTorch
with CUDA on free hardware. Only files that git tracks are uploaded, so that photos, results and
passwords in the folder stay private, and of those only what a Space needs. The upload is one
commit. Other files in the Space are deleted. A dry run needs no packages.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
IGNORED = (
    ".ci/*",
    "compose.yaml",
    "packages.txt",
    "tests/*",
    "docs/*.py",
)
"""Files that a Space does not need. It is built from the head of README.md and the Dockerfile."""
_GRADIO_KEYS = ("sdk", "sdk_version", "python_version", "app_file", "preload_from_hub")
"""What the head of README.md states for a Space that is built without the Dockerfile."""
_KEPT_THERE = {".gitattributes"}
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def tracked() -> list[str]:
    """Return the files that git tracks and that exist in this folder."""
    found = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    return [name for name in found.split("\0") if name and (ROOT / name).is_file()]


def is_ignored(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in IGNORED)


def readme_of(repo: str) -> str:
    """Return README.md whose head configures a Docker Space with a thumbnail."""
    _, head, text = (ROOT / "README.md").read_text("utf-8").split("---\n", 2)
    entries = re.findall(r"^\w+:.*\n(?:  .*\n)*", head, re.MULTILINE)
    kept = [entry for entry in entries if entry.split(":")[0] not in _GRADIO_KEYS]
    thumbnail = f"https://huggingface.co/spaces/{repo}/resolve/main/docs/page.png"
    added = f"sdk: docker\napp_port: 7860\nthumbnail: {thumbnail}\n"
    return f"---\n{''.join(kept)}{added}---\n{text}"


def send(repo: str, names: list[str], *, private: bool) -> str:
    """Create the Space if necessary, upload the files as one commit, and return its address."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    api.create_repo(repo, repo_type="space", space_sdk="docker", private=private, exist_ok=True)
    there = set(api.list_repo_files(repo, repo_type="space")) - _KEPT_THERE
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, readme_of(repo).encode() if name == "README.md" else ROOT / name)
        for name in names
    ]
    operations += [CommitOperationDelete(name) for name in sorted(there - set(names))]
    commit = subprocess.check_output(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True
    ).strip()
    api.create_commit(repo, operations, commit_message=f"Update to {commit}", repo_type="space")
    return f"https://huggingface.co/spaces/{repo}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Upload the project to a Hugging Face Space.")
    repo_help = (
        "owner/name; needs a write token from `hf auth login` or HF_TOKEN. A dry run needs no name"
    )
    parser.add_argument("repo", nargs="?", help=repo_help)
    parser.add_argument("--private", action="store_true", help="create the Space as private")
    parser.add_argument(
        "--dry-run", action="store_true", help="only list the files that would be uploaded"
    )
    options = parser.parse_args()
    if not options.repo and not options.dry_run:
        parser.error("Give the name of the Space: owner/name.")
    if options.repo and not _NAME.fullmatch(options.repo):
        parser.error(f"The name of a Space has the form owner/name, not {options.repo!r}.")
    files = tracked()
    names = [name for name in files if not is_ignored(name)]
    if options.dry_run:
        for name in names:
            print(f"{(ROOT / name).stat().st_size:>9,}  {name}")
        size = sum((ROOT / name).stat().st_size for name in names)
        space = f"https://huggingface.co/spaces/{options.repo or 'owner/name'}"
        print(f"{size:>9,} bytes in {len(names)} files would be uploaded to {space}")
        print(f"{len(files) - len(names)} files would not be uploaded: {', '.join(IGNORED)}")
        return
    print(send(options.repo, names, private=options.private))


if __name__ == "__main__":
    main()

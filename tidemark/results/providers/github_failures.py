"""What GitHub answers, as a StoreError that says what to do."""

from __future__ import annotations

from typing import Final

from tidemark.errors import StoreAway, StoreBusy, StoreError
from tidemark.results.failures import of_status
from tidemark.results.providers.github_client import GithubRefusal

__all__ = ["github_refusal"]

_TOKEN: Final = "Give a token as github_token, or by GITHUB_TOKEN or GH_TOKEN"
_RIGHTS: Final = (
    "Give the token the right to read and write contents of the repository (in a workflow of "
    "GitHub Actions: permissions: contents: write), or use another"
)
_LIMIT: Final = "Wait until then; GitHub takes some 80 new files a minute and 500 an hour"

_INVALID: Final[tuple[tuple[str, type[StoreError], str, str], ...]] = (
    ("file_count", StoreAway, "the release is full: it has 1,000 assets, as many as it may",
     "Compact the store, or name another release: github://owner/repository@tag"),
    ("immutable release", StoreAway, "the release can no longer be changed",
     "Name one that is not immutable, or turn immutable releases off in the repository"),
    ("size must", StoreError, "the file is larger than an asset of a release may be (2 GiB)",
     "Use another store for it"),
    ("repository is empty", StoreAway, "the repository is empty, and a release needs a commit",
     "Push a first commit"),
    ("rule violations", StoreAway, "a rule of the repository forbids the tag",
     "Create the release by hand, or name another tag: github://owner/repository@tag"),
)  # fmt: skip


def github_refusal(error: GithubRefusal, where: str, said: str) -> StoreError:
    """Why GitHub did not do it, and what helps. `said` is the error's text without secrets."""
    if error.wait_s is not None:
        what = f"GitHub asks to wait {error.wait_s:.0f} s: its limit of requests is reached"
        return StoreBusy(what, where, _LIMIT)
    if error.status == 401:
        return StoreAway("the token is wrong or has expired", where, _TOKEN)
    if error.status == 403:
        return _forbidden(error, where, said)
    if error.status == 404:
        return _not_found(error, where)
    if error.status == 422:
        for words, kind, what, remedy in _INVALID:
            if error.names(words):
                return kind(what, where, remedy)
    return of_status(error.status, said, where, _RIGHTS)


def _forbidden(error: GithubRefusal, where: str, said: str) -> StoreError:
    if error.needs_sso:
        remedy = "Open the token's settings on GitHub and authorize it (Configure SSO)"
        return StoreAway("the organization wants the token authorized for it", where, remedy)
    if error.names("archived"):
        return StoreAway("the repository is archived", where, "Unarchive it, or use another store")
    if not error.had_token:
        return StoreAway("writing needs a token", where, _TOKEN)
    return StoreAway(f"the token has no right to this: {said}", where, _RIGHTS)


def _not_found(error: GithubRefusal, where: str) -> StoreError:
    if error.names("release is gone"):
        remedy = "It is created again with the next file; what it held is lost"
        return StoreAway("the release was removed while it was in use", where, remedy)
    if error.had_token:
        what = "there is no such repository, or the token has no right to see it"
        return StoreAway(what, where, "Check owner and repository. " + _RIGHTS)
    what = "there is no such repository, or it is private and no token was given"
    return StoreAway(what, where, "Check owner and repository. " + _TOKEN)

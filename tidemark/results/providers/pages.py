"""The pages of one listing, and that they come to an end."""

from __future__ import annotations

from tidemark.errors import StoreError

__all__ = ["Pages"]


class Pages:
    """Remembers by what each page of a listing was asked for: no page is asked for twice.

    A service, or a proxy before it, that names an earlier page as the next would be asked for
    ever. `where` names what is listed.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._asked: set[str] = set()

    def ask(self, following: str) -> None:
        """Take note of the token, name or address of the page that is asked for next.

        Raises StoreError if it was asked for before.
        """
        if following in self._asked:
            raise StoreError(
                "the listing does not end: a page that was given already is named as the next",
                self._where,
                "Check the option endpoint_url, and a proxy on the way to the service",
            )
        self._asked.add(following)

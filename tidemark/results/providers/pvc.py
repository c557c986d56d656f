"""A path in a Kubernetes persistent volume claim, as files of a store: by its mount.

Inside the pod that mounts the claim, or wherever its file system is mounted, it is a folder.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tidemark.errors import StoreAway, StoreError
from tidemark.results.files import LocalFiles
from tidemark.results.locations import FileLocation, PvcLocation
from tidemark.results.options import check_credentials, check_options
from tidemark.results.patience import Patience

__all__ = ["PvcFiles"]

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class PvcFiles(LocalFiles):
    """A folder in a mounted claim.

    The claim is looked for where the option mount_path says, else at /mnt/<claim>: a folder that
    has to be there, since one made in its place would be lost with the pod.
    """

    def __init__(
        self,
        location: PvcLocation,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,  # noqa: ARG002  (a folder answers at once)
        *,
        pod_namespace: Callable[[], str | None] = lambda: _pod_namespace(),
    ) -> None:
        check_options(options, "pvc")
        check_credentials(credentials or {}, options, "pvc")
        here = pod_namespace()
        if location.namespace and here and location.namespace != here:
            raise StoreError(
                f"the claim is in the namespace {location.namespace}, this pod in {here}",
                str(location),
                "A pod mounts claims of its own namespace only: run it there, or use another store",
            )
        self._mount = Path(options.get("mount_path", f"/mnt/{location.claim}"))
        if not self._mount.is_absolute():
            raise StoreError("mount_path is no absolute path", "pvc", "Write /where/it/is/mounted")
        self._location = location
        self._seen: tuple[int, int] | None = None  # the device and the folder of the mount
        self.options = dict(options)
        super().__init__(FileLocation(str(self._mount / location.path)))

    def create(self, path: str, data: bytes) -> None:
        self._demand_mount()
        super().create(path, data)

    def replace(self, path: str, data: bytes) -> None:
        self._demand_mount()
        super().replace(path, data)

    def list(self, folder: str) -> list[str]:
        self._demand_mount()
        return super().list(folder)

    def sizes(self, folder: str = "") -> dict[str, int]:
        self._demand_mount()
        return super().sizes(folder)

    def read(self, path: str) -> bytes:
        self._demand_mount()
        return super().read(path)

    def remove(self, path: str) -> None:
        self._demand_mount()
        super().remove(path)

    def _demand_mount(self) -> None:
        remedy = "Mount it there in the pod, or name its place by the option mount_path"
        try:
            found = self._mount.stat()
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(self._mount)
        except OSError:
            what = f"the claim {self._location.claim} is not mounted at {self._mount}"
            raise StoreAway(what, str(self._location), remedy) from None
        mount = found.st_dev, found.st_ino
        # Below a mount that has gone lies an empty folder of the machine, which goes with the pod.
        if self._seen is not None and self._seen != mount:
            what = f"what was mounted at {self._mount} has gone"
            raise StoreAway(what, str(self._location), remedy)
        self._seen = mount


def _pod_namespace() -> str | None:
    """The namespace of the pod that this process is in; None outside of one."""
    try:
        return _POD_NAMESPACE.read_text("utf-8").strip() or None
    except OSError:
        return None

"""Which file system a path lies on. Network file systems do not keep the promises that locks and WAL need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["filesystem_type", "is_network", "parse_bsd_mounts", "parse_mountinfo", "read_mounts"]

_NETWORK: Final = frozenset({
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "orangefs", "prl_fs", "smb3", "smbfs", "sshfs", "vboxsf", "vmhgfs", "webdav",
})  # fmt: skip


def is_network(kind: str) -> bool:
    """Say whether locks and shared memory cannot be trusted on this kind of file system."""
    return kind in _NETWORK or kind.startswith("fuse.")


def filesystem_type(path: str, mounts: list[tuple[str, str]]) -> str | None:
    """Return the type of the mount with the longest prefix of an absolute path; of two at one place, the later."""
    best = ""
    kind = None
    for mount_point, mount_kind in mounts:
        prefix = mount_point.rstrip("/") + "/"
        if (path + "/").startswith(prefix) and len(prefix) >= len(best):
            best, kind = prefix, mount_kind
    return kind


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Read `/proc/self/mountinfo`: mount points with their types, in order."""
    mounts: list[tuple[str, str]] = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if separator and len(fields) > 4:  # noqa: PLR2004 - the mount point is the fifth field
            mounts.append((_unescape(fields[4]), right.split(" ")[0]))
    return mounts


def parse_bsd_mounts(text: str) -> list[tuple[str, str]]:
    """Read the output of `mount` on macOS: `what on /where (type, options)`."""
    found = re.findall(r"^.* on (/.*) \((\w+)[,)]", text, flags=re.MULTILINE)
    return [(str(point), str(kind)) for point, kind in found]


def read_mounts() -> list[tuple[str, str]]:
    """Ask the system for its mounts; empty if it does not tell."""
    try:
        if sys.platform == "darwin":
            done = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=True, timeout=5)
            return parse_bsd_mounts(done.stdout)
        return parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, subprocess.SubprocessError):
        return []


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)

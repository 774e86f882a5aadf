"""What a file is called, and of which media type it is. Names come from strangers; no path is made of them."""

import mimetypes
import re
import unicodedata
from typing import Final

NAME_MAX: Final = 255
NAMELESS: Final = "file"
UNKNOWN_TYPE: Final = "application/octet-stream"
MEDIA_TYPE_MAX: Final = 127
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,16}$")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*(; ?charset=[A-Za-z0-9._-]+)?")
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}
)
"""Names that mean a device on Windows, with any suffix."""
_TYPES: Final = mimetypes.MimeTypes(filenames=())
"""Python's own table: that of the machine would make replicas disagree."""
for _suffix, _type in ((".log", "text/plain"), (".jsonl", "application/jsonl"), (".parquet", "application/x-parquet")):
    _TYPES.add_type(_type, _suffix)


def safe_name(text: str) -> str:
    """*text* reduced to one segment of `[A-Za-z0-9._-]`, 1 to 255 characters, that hides and escapes nothing.

    >>> safe_name("../../etc/pass wd"), safe_name("résumé.pdf"), safe_name("..")
    ('pass_wd', 'resume.pdf', 'file')
    """
    segment = text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = unicodedata.normalize("NFKD", segment).encode("ascii", "ignore").decode()
    name = _UNSAFE.sub("_", plain).strip(".")
    if not name.strip("_"):
        return NAMELESS
    if name.partition(".")[0].lower() in _RESERVED:
        name = f"_{name}"
    return _shortened(name)


def media_type_of(name: str, declared: str | None = None) -> str:
    """What the sender says, where that is a media type, else what the name's suffix says."""
    if declared is not None and len(declared) <= MEDIA_TYPE_MAX:
        kind, semicolon, rest = declared.partition(";")
        lower = kind.strip().lower() + semicolon + rest
        if _MEDIA_TYPE.fullmatch(lower) is not None:
            return lower
    return _TYPES.guess_type(name)[0] or UNKNOWN_TYPE


def _shortened(name: str) -> str:
    if len(name) <= NAME_MAX:
        return name
    suffix = _SUFFIX.search(name)
    tail = suffix[0] if suffix is not None else ""
    return name[: NAME_MAX - len(tail)] + tail

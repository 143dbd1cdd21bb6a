"""Images in `data:` URLs, for models that run at home: nothing is fetched because a client asked for it."""

import base64
import binascii

from chatvault.core.chat import ImagePart
from chatvault.errors import RequestError

# Sixteen characters are twelve bytes: enough for every signature below, and no megabyte is decoded for it.
_HEAD_CHARS = 16


def image_base64(part: ImagePart, param: str) -> str:
    """Return the base64 text of an image that lies in its own URL.

    Only what local models read is let through: PNG, JPEG and WebP, told by their first bytes and not by what
    the URL claims. Raises RequestError, which names the message as `param`, for anything else.
    """
    if part.is_remote:
        raise _refuse("a model at home fetches no remote image: send it as a data: URL", param)
    head, comma, data = part.url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise _refuse("an image's data: URL must be base64: data:image/png;base64,…", param)
    try:
        start = base64.b64decode(data[:_HEAD_CHARS], validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _refuse("an image's data: URL doesn't hold base64", param) from exc
    if not _is_known(start):
        raise _refuse("an image must be PNG, JPEG or WebP", param)
    return data


def _is_known(start: bytes) -> bool:
    if start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return True
    return start[:4] == b"RIFF" and start[8:12] == b"WEBP"


def _refuse(message: str, param: str) -> RequestError:
    return RequestError(message, code="invalid_image", param=param)

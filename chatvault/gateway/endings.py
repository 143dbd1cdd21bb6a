"""What a client is told whose request did not come to its own end."""

from chatvault.errors import RequestError
from chatvault.gateway.call import Ending

ENDINGS = {
    Ending.CLIENT_LEFT: RequestError("The client left.", status=499, code="client_left"),
    Ending.TOKEN_REVOKED: RequestError(
        "This access token has been revoked.", status=401, code="invalid_api_key"
    ),
    Ending.STOPPING: RequestError(
        "The gateway is stopping.", status=503, type="api_error", code="stopping", retry_after=5
    ),
    Ending.TUNNEL_CLOSES: RequestError(
        "The tunnel that the request came through closes.",
        status=503,
        type="api_error",
        code="stopping",
        retry_after=5,
    ),
}


def defect() -> RequestError:
    """Return the error for a mistake of our own."""
    return RequestError(
        "The gateway made a mistake: its log tells more.", status=500, type="api_error", code="internal_error"
    )

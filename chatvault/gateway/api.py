"""FastAPI's part: every route but the hot one, and the description of them all."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from chatvault.core.access import AccessToken
from chatvault.errors import RequestError
from chatvault.gateway import openapi
from chatvault.gateway.answers import error_body, error_headers
from chatvault.gateway.app import CHAT_PATH, AsgiApp, ChatRoute
from chatvault.gateway.auth import Doorkeeper
from chatvault.gateway.catalog import Catalog, Listed
from chatvault.gateway.request_ids import new_request_id
from chatvault.gateway.throttle import LoginThrottle

if TYPE_CHECKING:
    from fastapi import FastAPI

_ROUTES = f"POST {CHAT_PATH}, GET /v1/models, GET /v1/models/{{id}}, GET /health, GET /openapi.json"
_encode = msgspec.json.Encoder().encode
# A client that lists models waits no longer than this for a provider that is silent.
_LISTS_SECONDS = 3.0


def build_api(
    *,
    chat: ChatRoute,
    doorkeeper: Doorkeeper,
    catalog: Catalog,
    now_ms: Callable[[], int],
    version: str,
    logins: LoginThrottle,
) -> AsgiApp:
    """Return the FastAPI app."""
    from fastapi import FastAPI, Request, Response
    from starlette.exceptions import HTTPException

    api = FastAPI(title="ChatVault", version=version, openapi_url=None, docs_url=None, redoc_url=None)

    def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        request_id = new_request_id(now_ms())
        return Response(
            body, status, {"x-request-id": request_id, **(headers or {})}, media_type="application/json"
        )

    def refusal(error: RequestError) -> Response:
        headers = {name.decode(): value.decode() for name, value in error_headers(error)}
        return json_response(error_body(error), error.status, headers)

    def caller(request: Request) -> AccessToken:
        token = doorkeeper.identify(request.scope["headers"])
        if token is None:
            raise logins.refuse(request.client.host if request.client else "")
        return token

    class _Handed(Response):
        """A response that is not rendered: the chat route answers on the connection itself."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await chat(scope, receive, send)

    @api.exception_handler(RequestError)
    async def _refused(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestError)
        return refusal(exc)

    @api.exception_handler(HTTPException)
    async def _no_route(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        path = request.scope["path"]
        if exc.status_code == 405:
            message, code = f"{request.method} is not how {path} is asked", "method_not_allowed"
        else:
            message, code = f"There is nothing at {path}", "not_found"
        error = RequestError(f"{message}. The routes: {_ROUTES}.", status=exc.status_code, code=code)
        response = refusal(error)
        if exc.headers:
            response.headers.update(exc.headers)
        return response

    @api.post(
        CHAT_PATH,
        summary="Answer a chat, whole or streamed",
        operation_id="createChatCompletion",
        responses=openapi.chat_answers(),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": openapi.CHAT_REQUEST}},
            }
        },
    )
    async def _chat() -> Response:
        return _Handed()

    @api.get(
        "/v1/models",
        summary="List the models that the access token may use",
        operation_id="listModels",
        responses={200: openapi.json_answer(openapi.MODEL_LIST, "The models."), **openapi.error_answers(401)},
    )
    async def _models(request: Request) -> Response:
        token = caller(request)
        await catalog.refresh(wait_seconds=_LISTS_SECONDS)
        data = [_model_object(listed) for listed in catalog.listed(token)]
        return json_response(_encode({"object": "list", "data": data}))

    @api.get(
        "/v1/models/{model_id:path}",
        summary="Describe one model",
        operation_id="retrieveModel",
        responses={
            200: openapi.json_answer(openapi.MODEL, "The model."),
            **openapi.error_answers(401, 403, 404),
        },
    )
    async def _model(model_id: str, request: Request) -> Response:
        token = caller(request)
        routes = await catalog.routes(model_id, token)
        return json_response(_encode(_model_object(Listed(model_id, routes[0], catalog.info(routes[0])))))

    @api.get(
        "/health",
        summary="Say that the gateway is up, and nothing else",
        operation_id="health",
        responses={
            200: openapi.json_answer(
                {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]},
                "It is.",
            )
        },
    )
    async def _health() -> Response:
        return json_response(b'{"status":"ok"}')

    @api.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def _root() -> Response:
        return json_response(b'{"status":"ok"}')

    @api.get("/openapi.json", include_in_schema=False)
    async def _openapi(request: Request) -> Response:
        caller(request)
        return json_response(_encode(_description(api)))

    return api


def _description(api: "FastAPI") -> dict[str, Any]:
    """Return the OpenAPI page, with the login that every route but /health asks for."""
    page = api.openapi()
    page["components"] = {
        "securitySchemes": {
            "accessToken": {"type": "http", "scheme": "bearer", "description": "cvk_…"},
            "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        }
    }
    for path, operations in page["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            if path != "/health":
                operation["security"] = [{"accessToken": []}, {"apiKey": []}]
    return page


def _model_object(listed: Listed) -> dict[str, Any]:
    info = listed.info
    return {
        "id": listed.name,
        "object": "model",
        "created": (info.created if info is not None else None) or 0,
        "owned_by": listed.route.provider,
        "context_window": info.context_tokens if info is not None else None,
        "max_output_tokens": info.max_output_tokens if info is not None else None,
        "capabilities": list(info.capabilities) if info is not None else [],
    }

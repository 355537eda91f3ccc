"""The API put together: one file per part of the product, errors as problems, OpenAPI 3.1."""

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from forestall import __version__
from forestall.web.api import (
    alerts,
    backups,
    billing,
    collectors,
    configs,
    configurations,
    credentials,
    desk,
    economics,
    estate,
    findings,
    heartbeats,
    installation,
    intake,
    keeping,
    networks,
    people,
    problem_routes,
    telemetry,
)
from forestall.web.api import tickets as ticket_routes
from forestall.web.api.auth import May
from forestall.web.api.problems import CONTENT_TYPE, install

ABOUT = (
    "Everything that Forestall's console does, for programs. Send a token as `Authorization: Bearer …`."
    " Identifiers are opaque strings that sort by time; times are RFC 3339. What another client owns does not"
    " exist (404)."
)

api = NinjaAPI(
    title="Forestall",
    version=__version__,
    description=ABOUT,
    urls_namespace="api",
    docs_url=None,
    openapi_url=None,
    auth=May(),
)
install(api)
for router in (
    estate.router,
    collectors.router,
    credentials.router,
    heartbeats.router,
    telemetry.router,
    configs.router,
    configurations.router,
    findings.router,
    alerts.router,
    ticket_routes.router,
    desk.router,
    people.router,
    intake.router,
    installation.router,
    keeping.router,
    networks.router,
    backups.router,
    problem_routes.router,
    billing.router,
    economics.router,
):
    api.add_router("", router)


def openapi(request: HttpRequest) -> HttpResponse:
    """The description of the API (OpenAPI 3.1); it says nothing of a client."""
    return HttpResponse(description().encode(), content_type="application/json")


def description() -> str:
    """The description as JSON, with the form of errors."""
    import json

    schema: OpenAPISchema = api.get_openapi_schema(path_prefix="/api/v1/")
    text: dict[str, object] = json.loads(json.dumps(schema, default=str))
    components = text.setdefault("components", {})
    assert isinstance(components, dict)
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    refused = {"description": "RFC 9457", "content": {CONTENT_TYPE: {"schema": PROBLEM_AT}}}
    paths = text["paths"]
    assert isinstance(paths, dict)
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"]["default"] = refused
    return json.dumps(text)


PROBLEM_AT = {"$ref": "#/components/schemas/Problem"}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do."},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}

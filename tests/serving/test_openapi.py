"""The OpenAPI document is true: valid, complete, with the server's own limits, and no answer contradicts it."""

import pytest
import schemathesis
from starlette.routing import Route

from serving.app import create_app
from serving.errors import RequestError
from serving.openapi_paths import PATHS
from serving.service import Service
from tests.serving.conftest import CLASSES, Client


@pytest.fixture(scope="module")
def document(client) -> dict:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    return response.json()


def test_every_route_is_documented(client, document):
    routes = {
        (route.path, method)
        for route in client.app.routes
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }
    documented = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert routes == documented
    assert set(PATHS) == set(document["paths"])


def test_every_error_is_documented(document):
    statuses = {str(error.status) for error in RequestError.__subclasses__()}
    assert set(document["components"]["responses"]) == statuses
    used = {
        status
        for methods in document["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }
    assert used == statuses - {"401"} | {"200", "202"}  # the client's server asks for no token


def test_every_example_is_answered(make_client, tmp_path):
    client = make_client(record_folder=str(tmp_path), record_share=1.0)
    answers = {}
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if "example" in content:
                    url = path.format(name="fashion", version="12")
                    answers[path] = client.request(method, url, json=content["example"]).status_code
    client.service.close()
    assert answers == {path: 202 if path == "/feedback" else 200 for path in PATHS if "post" in PATHS[path]}


def test_it_has_the_servers_own_limits_and_classes(make_client):
    schemas = make_client(max_images=9, max_pixels=1234).get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Predicted"]["properties"]["label"] == {"enum": list(CLASSES)}
    assert schemas["Predictions"]["properties"]["version"] == {"const": "12"}
    assert schemas["Predictions"]["properties"]["predictions"]["maxItems"] == 9
    assert schemas["InferenceInput"]["properties"]["shape"]["prefixItems"][:2] == [
        {"type": "integer", "minimum": 1, "maximum": 9},
        {"type": "integer", "minimum": 1, "maximum": 1234},
    ]


def test_a_token_is_asked_for_where_the_document_says_so(make_client):
    client = make_client(token="secret")
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    secured = {
        (path, method)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "security" in operation
    }
    refused = {
        (path, method)
        for path, methods in document["paths"].items()
        for method in methods
        if client.request(method, path.format(name="fashion", version="12")).status_code == 401
    }
    assert refused == secured
    assert ("/predict", "post") in refused


def test_it_is_not_there_before_the_classes_are(settings):
    client = Client(create_app(Service(settings)))
    assert client.get("/openapi.json").status_code == 503


def test_it_is_valid_openapi(document):
    loaded = schemathesis.openapi.from_dict(document)
    loaded.validate()

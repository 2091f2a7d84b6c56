"""Workflows: drafts, versions, publishing, import and export."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from networks.models import ApiKey
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import paginate
from web.problems import Invalid, NotFound, Problem
from web.views import MeshView, created, empty, read_body
from workflows import selectors, services
from workflows.diffing import diff
from workflows.interchange import BadDocument, export_document, import_document, read_document, write_yaml
from workflows.models import Workflow
from workflows.parsing import parse_graph
from workflows.validation import validate

from .serializers import (
    DiffAnswer,
    DocumentAnswer,
    ImportBody,
    PublishBody,
    ValidateBody,
    ValidationAnswer,
    VersionAnswer,
    VersionDetailAnswer,
    VersionQuery,
    WorkflowAnswer,
    WorkflowBody,
    WorkflowQuery,
)
from .shapes import shape_version, shape_version_detail, shape_workflow


class WorkflowsView(MeshView):
    tags = ["Workflows"]

    @document(answer=WorkflowAnswer(many=True), query=WorkflowQuery, summary="List workflows")
    def get(self, request: Request) -> Response:
        return paginate(
            selectors.workflows_for(caller(request)),
            request=request._request,
            params=WorkflowQuery.read(request._request.GET),
            shape=lambda workflows: [shape_workflow(workflow) for workflow in workflows],
        )

    @document(answer=WorkflowAnswer, status=201, body=WorkflowBody, summary="Create a workflow")
    @idempotent
    def post(self, request: Request) -> Response:
        key = unrestricted(caller(request))
        values = read_body(WorkflowBody, request)
        check_project(key, values.pop("project_id", None))
        assert key.project is not None
        workflow = services.create_workflow(project=key.project, author=key.name, **values)
        return _with_etag(created(shape_workflow(workflow), f"/api/workflows/{workflow.pk}"), workflow)


class WorkflowView(MeshView):
    tags = ["Workflows"]

    @document(answer=WorkflowAnswer, summary="Get a workflow with its latest graph")
    def get(self, request: Request, workflow_id: str) -> Response:
        workflow = selectors.access_workflow_for(caller(request), workflow_id)
        return _with_etag(Response(shape_workflow(workflow)), workflow)

    @document(
        answer=WorkflowAnswer,
        body=WorkflowBody,
        conflict=True,
        also=(412, 428),
        summary="Replace a workflow; needs If-Match",
    )
    def put(self, request: Request, workflow_id: str) -> Response:
        return self._update(request, workflow_id, partial=False)

    @document(answer=WorkflowAnswer, body=WorkflowBody, conflict=True, summary="Change parts of a workflow")
    def patch(self, request: Request, workflow_id: str) -> Response:
        return self._update(request, workflow_id, partial=True)

    @document(status=204, summary="Archive a workflow; its runs stay")
    def delete(self, request: Request, workflow_id: str) -> HttpResponse:
        services.archive(workflow=selectors.access_workflow_for(caller(request), workflow_id))
        return empty()

    def _update(self, request: Request, workflow_id: str, *, partial: bool) -> Response:
        key = caller(request)
        workflow = selectors.access_workflow_for(key, workflow_id)
        changes = read_body(WorkflowBody, request, partial=partial)
        revision = _if_match(request)
        if revision is None and not partial:
            raise Problem("precondition_required")
        check_project(key, changes.pop("project_id", None))
        workflow = services.update_workflow(
            workflow=workflow, changes=changes, revision=revision, author=key.name
        )
        return _with_etag(Response(shape_workflow(workflow)), workflow)


class ValidateView(MeshView):
    tags = ["Workflows"]

    @document(answer=ValidationAnswer, body=ValidateBody, summary="Find what keeps a graph from being run")
    def post(self, request: Request, workflow_id: str) -> Response:
        workflow = selectors.access_workflow_for(caller(request), workflow_id)
        body = read_body(ValidateBody, request)
        graph = body.get("graph", selectors.latest_version(workflow).graph)
        _, findings = validate(graph, selectors.world_of(workflow.project, graph))
        return Response({"valid": not findings, "findings": [finding.as_json() for finding in findings]})


class PublishView(MeshView):
    tags = ["Workflows"]

    @document(answer=VersionAnswer, body=PublishBody, summary="Make a version the one that runs")
    @idempotent
    def post(self, request: Request, workflow_id: str) -> Response:
        workflow = selectors.access_workflow_for(caller(request), workflow_id)
        body = read_body(PublishBody, request)
        version = services.publish(workflow=workflow, number=body.get("version"), note=body.get("note", ""))
        return Response(shape_version(version, published=version.number))


class VersionsView(MeshView):
    tags = ["Workflows"]

    @document(answer=VersionAnswer(many=True), query=VersionQuery, summary="List versions, the newest first")
    def get(self, request: Request, workflow_id: str) -> Response:
        workflow = selectors.access_workflow_for(caller(request), workflow_id)
        return paginate(
            selectors.versions_of(workflow),
            request=request._request,
            params=VersionQuery.read(request._request.GET),
            shape=lambda versions: [
                shape_version(version, published=workflow.published) for version in versions
            ],
        )


class VersionView(MeshView):
    tags = ["Workflows"]

    @document(answer=VersionDetailAnswer, summary="Get a version with its graph")
    def get(self, request: Request, workflow_id: str, number: str) -> Response:
        workflow = selectors.access_workflow_for(caller(request), workflow_id)
        version = selectors.access_version_for(workflow, _number(number))
        return Response(shape_version_detail(version, published=workflow.published))


class DiffView(MeshView):
    tags = ["Workflows"]

    @document(answer=DiffAnswer, summary="Compare two versions")
    def get(self, request: Request, workflow_id: str, number: str, other: str) -> Response:
        workflow = selectors.access_workflow_for(caller(request), workflow_id)
        before, after = (
            parse_graph(selectors.access_version_for(workflow, _number(given)).graph)[0]
            for given in (number, other)
        )
        return Response(diff(before, after))


class ExportView(MeshView):
    tags = ["Workflows"]

    @document(
        answer=DocumentAnswer, summary="Export a workflow as JSON, or as YAML with Accept: application/yaml"
    )
    def get(self, request: Request, workflow_id: str) -> HttpResponse | Response:
        workflow = selectors.access_workflow_for(caller(request), workflow_id)
        exported = export_document(
            name=workflow.name,
            description=workflow.description,
            graph=selectors.latest_version(workflow).graph,
            layout=workflow.layout,
            names=selectors.names_by_id(workflow.project),
        )
        if "yaml" in request.headers.get("Accept", ""):
            return HttpResponse(write_yaml(exported), content_type="application/yaml; charset=utf-8")
        return Response(exported)


class ImportView(MeshView):
    tags = ["Workflows"]

    @document(
        answer=WorkflowAnswer, status=201, body=ImportBody, summary="Create a workflow from an exported one"
    )
    @idempotent
    def post(self, request: Request) -> Response:
        key = unrestricted(caller(request))
        body = read_body(ImportBody, request)
        if ("document" in body) == ("yaml" in body):
            raise Invalid("/document", "Give either `document` or `yaml`.", "required")
        field = "/yaml" if "yaml" in body else "/document"
        assert key.project is not None
        try:
            given = read_document(body["yaml"]) if "yaml" in body else body["document"]
            values, _ = import_document(given, selectors.ids_by_name(key.project))
        except BadDocument as error:
            raise Invalid(field, str(error), "bad_document") from None
        name = body.get("name") or values["name"]
        if (
            not isinstance(name, str)
            or not 1 <= len(name) <= 100
            or not isinstance(values["description"], str)
        ):
            raise Invalid("/name", "A workflow has a name of 1 to 100 characters.", "required")
        workflow = services.create_workflow(
            project=key.project,
            name=name,
            description=values["description"][:1000],
            graph=values["graph"],
            author=key.name,
        )
        return _with_etag(created(shape_workflow(workflow), f"/api/workflows/{workflow.pk}"), workflow)


def unrestricted(key: ApiKey) -> ApiKey:
    """Let a key pass that reaches its whole project; workflows are not of one network."""
    if key.network_ids:
        raise Problem("forbidden", "The key is restricted to networks; workflows belong to the project.")
    return key


def check_project(key: ApiKey, project_id: str | None) -> None:
    """A project that is named must be the key's own."""
    if project_id is not None and project_id != key.project_id:
        raise NotFound("There is no such project.")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise NotFound("There is no such version.")
    return int(text)


def _if_match(request: Request) -> int | None:
    given = request.headers.get("If-Match")
    if given is None:
        return None
    text = given.strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Problem("revision_mismatch", "If-Match names no revision of this workflow.")
    return int(text)


def _with_etag(response: Any, workflow: Workflow) -> Response:
    response["ETag"] = f'"{workflow.revision}"'
    return response

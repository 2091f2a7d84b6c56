"""Projects and their members."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from networks import services
from networks.authentication import ApiKeyAuthentication, caller
from networks.models import ApiKey, Member, Project, Scope
from networks.staff import MayManageProjects, StaffSession, is_staff
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import page_query, paginate
from web.problems import NotFound, Problem
from web.serializers import Body, Choice, JsonObject, Text
from web.views import MeshView, created, empty, read_body

from .serializers import NewKeyAnswer
from .views import shape_key


class ProjectBody(Body):
    accept_camel_case = True

    name = Text(min_length=1, max_length=100)
    description = Text(required=False, allow_blank=True, max_length=1000)
    metadata = JsonObject(required=False)


class ProjectAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    metadata = serializers.DictField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class NewProjectAnswer(ProjectAnswer):
    api_key = NewKeyAnswer(help_text="The project's first key; shown this once.")


class MemberBody(Body):
    accept_camel_case = True

    project_id = Text(required=False, max_length=40, help_text="The key's own project, if given.")
    email = serializers.EmailField(max_length=254)
    role = Choice(choices=Member.Role.choices, required=False)


class MemberAnswer(serializers.Serializer[Any]):
    id = serializers.CharField()
    project_id = serializers.CharField()
    email = serializers.CharField()
    role = serializers.ChoiceField(choices=Member.Role.choices)
    created_at = serializers.DateTimeField()


ProjectQuery = page_query()
MemberQuery = page_query(default=50)


class _ProjectView(MeshView):
    tags = ["Projects"]
    authentication_classes = [ApiKeyAuthentication, StaffSession]
    permission_classes = [MayManageProjects]

    def visible(self, request: Request) -> "QuerySet[Project]":
        """All projects for staff and installation keys, its own for a project's key; none for one that is
        restricted to networks."""
        found = Project.objects.order_by("-id")
        if is_staff(request):
            return found
        key: ApiKey = caller(request)
        if key.network_ids:
            return found.none()
        return found if key.project_id is None else found.filter(pk=key.project_id)

    def access(self, request: Request, project_id: str) -> Project:
        project = self.visible(request).filter(pk=project_id).first()
        if project is None:
            raise NotFound("There is no such project.")
        return project


class ProjectsView(_ProjectView):
    @document(answer=ProjectAnswer(many=True), query=ProjectQuery, summary="List the projects you can see")
    def get(self, request: Request) -> Response:
        return paginate(
            self.visible(request),
            request=request._request,
            params=ProjectQuery.read(request._request.GET),
            shape=lambda projects: [shape_project(project) for project in projects],
        )

    @document(
        answer=NewProjectAnswer,
        status=201,
        body=ProjectBody,
        summary="Create a project (staff or installation key)",
    )
    def post(self, request: Request) -> Response:
        values = read_body(ProjectBody, request)
        project, key, secret = services.create_project_with_key(**values)
        answer = shape_project(project) | {"api_key": shape_key(key) | {"key": secret}}
        return created(answer, f"/api/projects/{project.pk}")


class ProjectView(_ProjectView):
    @document(answer=ProjectAnswer, summary="Get a project")
    def get(self, request: Request, project_id: str) -> Response:
        return Response(shape_project(self.access(request, project_id)))

    @document(answer=ProjectAnswer, body=ProjectBody, summary="Change a project")
    def patch(self, request: Request, project_id: str) -> Response:
        project = self.access(request, project_id)
        changes = read_body(ProjectBody, request, partial=True)
        return Response(shape_project(services.update_project(project=project, changes=changes)))

    @document(
        status=204, conflict=True, summary="Remove a project without networks (staff or installation key)"
    )
    def delete(self, request: Request, project_id: str) -> HttpResponse:
        services.delete_project(project=self.access(request, project_id))
        return empty()


class MembersView(MeshView):
    tags = ["Projects"]
    required_scope = Scope.ADMIN

    @document(answer=MemberAnswer(many=True), query=MemberQuery, summary="List members")
    def get(self, request: Request) -> Response:
        return paginate(
            _members(request),
            request=request._request,
            params=MemberQuery.read(request._request.GET),
            shape=lambda members: [shape_member(member) for member in members],
        )

    @document(answer=MemberAnswer, status=201, body=MemberBody, conflict=True, summary="Add a member")
    @idempotent
    def post(self, request: Request) -> Response:
        values = _member_values(request, read_body(MemberBody, request))
        if caller(request).network_ids:
            raise Problem("forbidden", "The key is restricted to networks; members belong to the project.")
        project = caller(request).project
        assert project is not None
        member = services.add_member(project=project, **values)
        return created(shape_member(member), f"/api/members/{member.pk}")


class MemberView(MeshView):
    tags = ["Projects"]
    required_scope = Scope.ADMIN

    @document(answer=MemberAnswer, summary="Get a member")
    def get(self, request: Request, member_id: str) -> Response:
        return Response(shape_member(_member(request, member_id)))

    @document(answer=MemberAnswer, body=MemberBody, conflict=True, summary="Change a member")
    def patch(self, request: Request, member_id: str) -> Response:
        member = _member(request, member_id)
        changes = _member_values(request, read_body(MemberBody, request, partial=True))
        return Response(shape_member(services.update_member(member=member, changes=changes)))

    @document(status=204, summary="Remove a member")
    def delete(self, request: Request, member_id: str) -> HttpResponse:
        services.remove_member(member=_member(request, member_id))
        return empty()


def shape_project(project: Project) -> dict[str, Any]:
    """What the API shows of a project."""
    return {name: getattr(project, name) for name in ProjectAnswer._declared_fields}


def shape_member(member: Member) -> dict[str, Any]:
    """What the API shows of a member."""
    return {name: getattr(member, name) for name in MemberAnswer._declared_fields}


def _members(request: Request) -> "QuerySet[Member]":
    """The members of the caller's project; a key restricted to networks sees none."""
    key = caller(request)
    found = Member.objects.filter(project_id=key.project_id).order_by("-id")
    return found.none() if key.network_ids else found


def _member(request: Request, member_id: str) -> Member:
    member = _members(request).filter(pk=member_id).first()
    if member is None:
        raise NotFound("There is no such member.")
    return member


def _member_values(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    values = dict(body)
    project_id = values.pop("project_id", None)
    if project_id is not None and project_id != caller(request).project_id:
        raise NotFound("There is no such project.")
    return values

"""Projects are made by staff and installation keys; their members are the project's own affair."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from networks.models import ApiKey, Member, Network, Project
from networks.services import create_api_key

from .conftest import Caller, make_caller


@pytest.fixture
def installation(db: None) -> Caller:
    """A key of no project."""
    return Caller(*create_api_key(project=None, name="installation", scopes=["admin"]))


def test_an_installation_key_makes_a_project_with_its_first_key(installation: Caller) -> None:
    answer = installation.post("/api/projects", {"name": "Acme", "metadata": {"plan": "pro"}})
    assert answer.status_code == 201, answer.content
    made = answer.json()
    key = made["api_key"]["key"]
    assert ApiKey.objects.get(pk=made["api_key"]["id"]).project_id == made["id"]
    inside = Client().get("/api/projects", headers={"Authorization": f"Bearer {key}"})
    assert [item["id"] for item in inside.json()] == [made["id"]]
    assert "api_key" not in installation.get(f"/api/projects/{made['id']}").json()


def test_staff_make_projects_with_their_session_and_its_csrf_token(db: None) -> None:
    User.objects.create_superuser("staff", "staff@example.com", "pw")
    http = Client(enforce_csrf_checks=True)
    http.login(username="staff", password="pw")
    http.get("/admin/")
    token = http.cookies["csrftoken"].value if "csrftoken" in http.cookies else ""
    assert http.post("/api/projects", {"name": "A"}, content_type="application/json").status_code == 403
    headers: dict[str, Any] = {"X-CSRFToken": token}
    answer = http.post("/api/projects", {"name": "A"}, content_type="application/json", headers=headers)
    assert answer.status_code == 201, answer.content


def test_a_projects_key_neither_makes_nor_removes_projects(owner: Caller) -> None:
    assert owner.post("/api/projects", {"name": "Mine"}).json()["code"] == "forbidden"
    assert owner.delete(f"/api/projects/{owner.project.pk}").status_code == 403


def test_somebody_who_is_no_staff_is_nobody(db: None) -> None:
    User.objects.create_user("guest", "guest@example.com", "pw")
    http = Client()
    http.login(username="guest", password="pw")
    assert http.get("/api/projects").status_code == 401


def test_a_project_in_use_is_not_removed(installation: Caller, network: Network) -> None:
    address = f"/api/projects/{network.project_id}"
    assert installation.delete(address).json()["code"] == "project_in_use"
    network.delete()
    assert installation.delete(address).status_code == 204
    assert not Project.objects.filter(pk=network.project_id).exists()


def test_members_are_known_by_address_and_by_login(owner: Caller) -> None:
    user = User.objects.create_user("ann", "Ann@Example.com", "pw")
    made = owner.post("/api/members", {"email": "ANN@example.com", "role": "approver"})
    assert made.status_code == 201, made.content
    assert made.json()["email"] == "ann@example.com"
    assert Member.objects.get(pk=made.json()["id"]).user == user
    assert owner.post("/api/members", {"email": "ann@example.com"}).status_code == 409


@pytest.mark.parametrize("body", [{}, {"email": "x"}, {"email": "a@b.co", "role": "king"}, {"email": 5}])
def test_it_names_what_is_wrong_with_a_member(owner: Caller, body: Any) -> None:
    answer = owner.post("/api/members", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] in ("/email", "/role")


def test_members_need_the_admin_scope(owner: Caller) -> None:
    assert make_caller(owner.project, "write").get("/api/members").status_code == 403

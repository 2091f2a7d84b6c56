"""API keys: shown once, rotated, revoked, expired, counted."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from networks.models import ApiKey, Network
from networks.services import create_api_key

from .conftest import Caller, make_caller

NETWORKS = "/api/mesh/networks"


def status_with(secret: str) -> int:
    return Client().get(NETWORKS, headers={"X-API-Key": secret}).status_code


def test_it_shows_a_new_key_once(owner: Caller) -> None:
    response = owner.post("/api/keys", {"name": "App", "scopes": ["read"]})
    assert response.status_code == 201
    made = response.json()
    assert made["key"].startswith(made["prefix"])
    assert status_with(made["key"]) == 200
    shown = owner.get(response.headers["Location"]).json()
    assert "key" not in shown
    assert shown.items() >= {"name": "App", "scopes": ["read"], "network_ids": []}.items()
    assert made["key"] not in str(ApiKey.objects.filter(pk=made["id"]).values())


def test_it_accepts_the_key_in_either_header(owner: Caller) -> None:
    assert status_with(owner.secret) == 200
    assert Client().get(NETWORKS, headers={"Authorization": f"bearer {owner.secret}"}).status_code == 200


@pytest.mark.parametrize("secret", ["", "x", "mesh_short", "mesh_" + "0" * 38, "é" * 30, "k" * 500])
def test_it_answers_401_to_what_is_no_key(db: None, secret: str) -> None:
    response = Client().get(NETWORKS, headers={"X-API-Key": secret})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_it_imports_a_known_key(owner: Caller) -> None:
    secret = "a-known-key-of-24-characters"
    key, _ = create_api_key(project=owner.project, name="known", scopes=["read"], secret=secret)
    again, _ = create_api_key(project=owner.project, name="known", scopes=["read"], secret=secret)
    assert key == again
    assert status_with(secret) == 200
    with pytest.raises(ValueError, match="24 or more"):
        create_api_key(project=owner.project, name="short", scopes=["read"], secret="short")


def test_it_ends_a_key_at_once(owner: Caller) -> None:
    made = owner.post("/api/keys", {"name": "App"}).json()
    assert owner.delete(f"/api/keys/{made['id']}").status_code == 204
    assert status_with(made["key"]) == 401
    response = owner.post(f"/api/keys/{made['id']}/rotate")
    assert (response.status_code, response.json()["code"]) == (409, "key_revoked")


@pytest.mark.parametrize(("overlap", "old_status"), [(0, 401), (3600, 200)])
def test_it_rotates_a_key_with_an_overlap(owner: Caller, overlap: int, old_status: int) -> None:
    old = owner.post("/api/keys", {"name": "App", "scopes": ["read"]}).json()
    response = owner.post(f"/api/keys/{old['id']}/rotate", {"overlap_seconds": overlap})
    assert response.status_code == 201
    new = response.json()
    assert (new["name"], new["scopes"]) == ("App", ["read"])
    assert status_with(new["key"]) == 200
    assert status_with(old["key"]) == old_status


def test_it_expires_a_key(owner: Caller) -> None:
    caller = make_caller(owner.project, "read", expires_at=timezone.now() + timedelta(hours=1))
    assert caller.get(NETWORKS).status_code == 200
    ApiKey.objects.filter(pk=caller.key.pk).update(expires_at=timezone.now())
    assert caller.get(NETWORKS).status_code == 401


def test_it_notes_the_last_use_at_most_once_a_minute(owner: Caller) -> None:
    owner.get(NETWORKS)
    first = ApiKey.objects.get(pk=owner.key.pk).last_used_at
    assert first is not None
    owner.get(NETWORKS)
    assert ApiKey.objects.get(pk=owner.key.pk).last_used_at == first


def test_it_accepts_the_camel_case_of_the_design(owner: Caller, network: Network) -> None:
    made = owner.post("/api/keys", {"name": "App", "networkIds": [network.pk]}).json()
    assert made["network_ids"] == [network.pk]


def test_it_gives_out_no_more_than_the_maker_has(owner: Caller, network: Network) -> None:
    other = owner.post(NETWORKS, {"name": "Other"}).json()["id"]
    restricted = make_caller(owner.project, "admin", network_ids=[network.pk])
    bodies: list[Any] = [{"name": "wide"}, {"name": "wide", "network_ids": [other]}]
    for body in bodies:
        response = restricted.post("/api/keys", body)
        assert response.json()["errors"][0]["pointer"] == "/network_ids"
    assert restricted.post("/api/keys", {"name": "narrow", "network_ids": [network.pk]}).status_code == 201
    assert restricted.get(f"/api/keys/{owner.key.pk}").status_code == 404


def test_it_repeats_a_new_key_to_who_repeats_the_request(owner: Caller) -> None:
    first, second = (owner.post("/api/keys", {"name": "App"}, Idempotency_Key="one") for _ in range(2))
    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.json()["key"] == second.json()["key"]
    from web.models import IdempotencyRecord

    assert first.json()["key"] not in IdempotencyRecord.objects.get().body, "encrypted at rest"

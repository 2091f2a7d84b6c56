"""docker-compose.yml, Prometheus and Grafana: valid, and about things that exist in the code."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

import agents.metrics  # noqa: F401 (their import registers the metrics)
import tasks.metrics  # noqa: F401
import voice.metrics  # noqa: F401
from meshsite.metrics import _FAMILIES

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
VOICE = {"voice-1", "voice-2"}
STAGES = {"stage-stt", "stage-llm", "stage-tts"}
OURS = {"migrate", "web", "worker", "flower"} | VOICE | STAGES
# Packages that stages outside and the other transports need.
EXTRAS = {"nats-py", "aiortc", "livekit", "livekit-api", "daily-python"}
# Read by the voice code, and none that compose passes on; why.
NOT_PASSED = {
    "MESH_DATA_DIR": "the image has it",
    "HOST": "the image and the commands have it",
    "PORT": "of the proxy in compose; the image has the web's",
    "VALKEY_URL": "another name for REDIS_URL",
    "MESH_VOICE_NAME": "in the command: one a service",
    "MESH_VOICE_PORT": "the default: the proxy asks there",
    "DAILY_DOMAIN": "nothing comes of it",
}
# Read by the programs in the images, not by our settings.
THEIRS = re.compile(r"POSTGRES_(USER|DB)|GF_\w+|FORWARDED_ALLOW_IPS")
KEYWORDS = {
    "sum", "max", "min", "rate", "increase", "count", "by", "on", "or", "and", "vector", "absent", "le",
    "histogram_quantile",
}  # fmt: skip


@cache
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def test_it_is_valid_by_the_compose_specification() -> None:
    schema = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(compose())


def test_it_has_all_services_and_each_refers_to_what_is_there() -> None:
    assert set(services()) == {
        "postgres", "valkey", "migrate", "web", "worker", "proxy", "flower", "prometheus", "grafana", "nats",
        *VOICE, *STAGES,
    }  # fmt: skip
    for name, service in services().items():
        assert "image" in service, name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in compose()["volumes"]
        assert set(service.get("depends_on", [])) <= set(services()), name
        for secret in service.get("secrets", []):
            assert secret in compose()["secrets"]


def test_it_waits_for_health_only_where_there_is_a_check() -> None:
    for service in services().values():
        depends = service.get("depends_on", {})
        for other, how in depends.items() if isinstance(depends, dict) else ():
            if how["condition"] == "service_healthy":
                own = "healthcheck" in services()[other]
                assert own or services()[other]["image"].startswith("ai-mesh-network"), other


def test_it_publishes_to_the_network_nothing_but_the_proxy() -> None:
    for name, service in services().items():
        for port in service.get("ports", []):
            assert name == "proxy" or port.startswith("127.0.0.1:"), (name, port)


def test_it_has_no_secret_written_in_it() -> None:
    for service in services().values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|_KEY$|TOKEN|AUTH$", name):
                assert str(value).startswith("${"), name


def test_it_gives_a_worker_longer_to_stop_than_it_takes_to_drain() -> None:
    from tasks.worker.runtime import DRAIN_SECONDS

    assert float(services()["worker"]["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS + 10


def test_it_gives_voice_longer_to_stop_than_its_calls_may_last() -> None:
    for name in VOICE:
        minutes = float(services()[name]["stop_grace_period"].removesuffix("m"))
        default = services()[name]["environment"]["MESH_VOICE_DRAIN_SECONDS"].split(":-")[1].rstrip("}")
        assert minutes * 60 > float(default) + 30


def test_it_starts_stages_only_when_asked_and_only_such_as_there_are() -> None:
    from voice.bus.subjects import KINDS

    done: list[str] = []
    for name in STAGES:
        command = services()[name]["command"]
        assert command[:3] == ["python", "manage.py", "voice_stage"]
        done += command[3:]
        assert "nats" in services()[name]["depends_on"]
    assert sorted(done) == sorted(KINDS)
    assert {name for name, service in services().items() if "profiles" in service} == STAGES | {"nats"}


def test_it_sends_a_stream_to_the_process_that_its_path_names() -> None:
    caddyfile = (OPS / "proxy/Caddyfile").read_text()
    pattern = re.search(r"path_regexp worker (\S+)", caddyfile)
    assert pattern
    for name in VOICE:
        command = services()[name]["command"]
        assert command[command.index("--name") + 1] == name
        assert "8090" in services()[name]["expose"]
        for way in ("/ws/voice/twilio", "/voice/enter"):
            assert re.search(pattern[1], f"{way}/{name}/token")
        assert f"{name}:8090" in caddyfile  # browsers may go to any
    for path in (
        "/ws/voice/twilio/postgres/x",
        "/ws/voice/twilio/voice-1@evil/x",
        "/x/ws/voice/twilio/voice-1/x",
    ):
        assert not re.search(pattern[1], path)


def test_it_names_only_variables_that_the_example_explains() -> None:
    example = ROOT / ".env.example"
    explained = set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", example.read_text(), re.MULTILINE))
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text()))
    for name in OURS:
        used |= {key for key in services()[name]["environment"] if not THEIRS.fullmatch(key)}
    assert used <= explained, sorted(used - explained)


def variables() -> dict[str, dict[str, str]]:
    """Of each setting the variables that it is made from, with how each is read: str, int, json …"""
    found: dict[str, dict[str, str]] = {}
    for line in ast.parse((ROOT / "meshsite/settings.py").read_text()).body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, {}).update(_reads(line))
    return found


def _reads(line: ast.stmt) -> Iterator[tuple[str, str]]:
    for call in ast.walk(line):
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="env"), attr=kind),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name, kind


def read_by_voice() -> dict[str, str]:
    """The variables that the voice code reads by way of the settings, with how."""
    files = [*(ROOT / "voice").rglob("*.py"), *(ROOT / "meshsite/management/commands").glob("voice*.py")]
    named = {name for file in files for name in re.findall(r"\bsettings\.([A-Z_]+)\b", file.read_text())}
    return {
        variable: kind
        for setting, read in variables().items()
        if setting in named
        for variable, kind in read.items()
    }


def test_it_passes_on_what_the_voice_code_reads() -> None:
    explained = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    read = read_by_voice()
    assert {"NATS_PREFIX", "LIVEKIT_SIP_URI", "MESH_VOICE_REALTIME", "DEEPGRAM_BASE_URL"} <= set(read)
    assert set(NOT_PASSED) <= set(read)
    for name in ("web", *VOICE, *STAGES):
        passed = set(services()[name]["environment"])
        assert not (set(read) & explained) - passed - set(NOT_PASSED), name
        assert not passed & set(NOT_PASSED), name


def test_it_never_passes_on_an_empty_text_where_another_value_is_read() -> None:
    """An empty text is "not set" for a text and for a list; of a number or of JSON it is an error."""
    kinds = {variable: kind for read in variables().values() for variable, kind in read.items()}
    for name in OURS:
        for variable, value in services()[name]["environment"].items():
            if kinds.get(variable) not in (None, "str", "list"):
                assert not re.search(r":?-\}$", str(value)), (name, variable)
    assert json.loads(_default("WEBRTC_ICE_SERVERS")) == []
    assert _default("NATS_PREFIX")  # a subject cannot begin with nothing


def _default(variable: str) -> str:
    found = re.fullmatch(r"\$\{" + variable + r":-(.*)\}", services()["voice-1"]["environment"][variable])
    assert found
    return found[1]


@cache
def metric_labels() -> dict[str, set[str]]:
    """Every sample name of ours and of django-prometheus, with its labels."""
    import django_prometheus.middleware as django

    django.Metrics.get_instance()
    found: dict[str, set[str]] = {"up": {"job", "instance"}}
    for collector in list(REGISTRY._collector_to_names):
        labels = set(getattr(collector, "_labelnames", ()))
        for name in REGISTRY._collector_to_names[collector]:
            found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    found |= {name: {"state"} for name, _, _ in _FAMILIES.values()}
    found |= {"mesh_database_up": set(), "mesh_oldest_ready_seconds": set()}
    return found


def expressions() -> dict[str, str]:
    dashboard = json.loads((OPS / "grafana/dashboards/mesh.json").read_text())
    rules = yaml.safe_load((OPS / "prometheus/alerts.yml").read_text())
    shown = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }
    return shown | {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


@pytest.mark.parametrize(("name", "expression"), expressions().items())
def test_it_asks_for_metrics_and_labels_that_exist(name: str, expression: str) -> None:
    known = metric_labels()
    text = re.sub(r'"[^"]*"', "", expression.replace("$__rate_interval", ""))
    names = set(re.findall(r"\b(?:mesh|django)_\w+|\bup\b", text))
    assert names, expression
    assert names <= set(known), sorted(names - set(known))
    labels = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)(?!=)", text))
    for group in re.findall(r"\bby\s*\(([^)]*)\)", text):
        labels |= {label.strip() for label in group.split(",")}
    allowed = {"instance", "job"}.union(*(known[metric] for metric in names))
    assert labels <= allowed, sorted(labels - allowed)
    left = set(re.findall(r"[a-z]\w*", re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", text))) - names - labels - KEYWORDS
    assert not left, left


@pytest.mark.parametrize(("name", "expression"), expressions().items())
def test_it_asks_in_good_promql(name: str, expression: str) -> None:
    promql_parser.parse(expression.replace("$__rate_interval", "1m"))


def test_it_lays_out_a_dashboard_without_overlaps() -> None:
    dashboard = json.loads((OPS / "grafana/dashboards/mesh.json").read_text())
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    sources = yaml.safe_load((OPS / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert sources["datasources"][0]["uid"] == "mesh-prometheus"


def test_it_scrapes_the_services_that_compose_starts() -> None:
    config = yaml.safe_load((OPS / "prometheus/prometheus.yml").read_text())
    asked = set()
    for job in config["scrape_configs"]:
        for source in job["dns_sd_configs"]:
            for service in source["names"]:
                asked.add(service)
                assert str(source["port"]) in services()[service]["expose"]
    assert asked == {"web", "worker", *VOICE, *STAGES}
    for name in asked:
        assert services()[name]["environment"]["MESH_METRICS_PORT"] in services()[name]["expose"]


def test_it_links_every_alert_to_a_section_of_the_runbook() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    rules = yaml.safe_load((OPS / "prometheus/alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            path, _, anchor = rule["annotations"]["runbook"].partition("#")
            assert path == "docs/runbook.md"
            assert anchor in anchors, rule["alert"]


def test_it_copies_into_the_image_what_the_ignore_file_lets_through() -> None:
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = set(re.findall(r"^COPY (?!--)(\S+)", (OPS / "Dockerfile").read_text(), re.MULTILINE))
    assert copied == allowed
    assert all((ROOT / path).exists() for path in copied)


def installed(name: str) -> set[str]:
    """The packages that a file of requirements names, and the files that it includes."""
    found: set[str] = set()
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= installed(line[3:].strip())
        elif package := re.match(r"[A-Za-z0-9._-]+(?===)", line):
            found.add(package[0])
    return found


def test_it_installs_what_stages_and_other_transports_need() -> None:
    """`stage-*` end without nats-py; a session by WebRTC, LiveKit or Daily is refused without its package."""
    dockerfile = (OPS / "Dockerfile").read_text()
    files = set(re.findall(r"pip install -r /build/(\S+)", dockerfile))
    packages = set[str]().union(*(installed(name) for name in files))
    assert packages >= EXTRAS, sorted(EXTRAS - packages)
    assert packages >= {"django", "channels"}
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    built = set(re.findall(r"^COPY (\S+) /build/$", dockerfile, re.MULTILINE))
    included = {
        line[3:].strip()
        for name in files
        for line in (ROOT / name).read_text().splitlines()
        if line.startswith("-r ")
    }
    assert files | included <= built & allowed


def test_it_shows_every_metric_of_ours_somewhere() -> None:
    """A metric that nobody looks at is a cost; one that was forgotten here is a blind spot."""
    used = " ".join(expressions().values())
    ours = {
        re.sub(r"_(total|bucket|count|sum|created)$", "", name)
        for name in metric_labels()
        if name.startswith("mesh_")
    }
    assert not {name for name in ours if name not in used} - {"mesh_steps"}

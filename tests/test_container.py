"""What runs ccproxy elsewhere: the image's recipe, compose, Kubernetes and the dashboard.

The recipe is carried out, and what it makes is run, by `make image-check` (check_image.py).
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from engine import __version__
from engine.commands.serving import GRACE
from engine.gateway import config
from engine.gateway.metrics import Metrics
from engine.gateway.prometheus import exposition
from tests.containers import Step, context, steps
from tests.running import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
ROOMS = [KUBERNETES / "base", *(KUBERNETES / "overlays").iterdir()]
HOME = "/home/ccproxy/.ccproxy"
VERSIONS = ("1.34", kubernetes_validate.latest_version())
ENVIRONMENT = {"CCPROXY_API_KEY": "k", "OPENAI_API_KEY": "k", "DEEPSEEK_API_KEY": "k", "OFFICE_API_KEY": "k"}

Manifest = dict[str, Any]


def of_dockerfile(word: str) -> list[Step]:
    return [step for step in steps((ROOT / "Dockerfile").read_text()) if step.word == word]


def told_port() -> int:
    return int(of_dockerfile("EXPOSE")[0].rest)


class TestDockerfile:
    def test_hadolint_is_quiet(self) -> None:
        hadolint = Path(sys.executable).with_name("hadolint")
        linted = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
        assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")

    def test_what_comes_from_elsewhere_is_pinned_by_hash(self) -> None:
        argument = of_dockerfile("ARG")[0].rest
        assert re.fullmatch(r"PYTHON=python:\d+\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", argument)
        assert all(step.rest.startswith("${PYTHON}") for step in of_dockerfile("FROM"))
        assert {flag for step in of_dockerfile("COPY") for flag in step.flags.items()} == {("from", "build")}
        parts = [part for step in of_dockerfile("RUN") for part in step.rest.split("&&")]
        installs = [part for part in parts if "pip" in part and " install " in part]
        assert len(installs) == 3
        assert all("--require-hashes" in part or "--no-index" in part for part in installs)
        images = [service["image"] for service in compose()["services"].values() if "build" not in service]
        assert all(re.search(r":v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$", image) for image in images)

    def test_it_runs_as_somebody_whose_number_kubernetes_knows(self) -> None:
        uid, gid = of_dockerfile("USER")[-1].rest.split(":")
        assert int(uid) > 0
        wanted = pod(render(KUBERNETES / "base"))["securityContext"]
        assert (wanted["runAsUser"], wanted["runAsGroup"], wanted["fsGroup"]) == (int(uid), int(gid), int(gid))
        assert f"uid={uid},gid={gid}" in compose()["services"]["ccproxy"]["tmpfs"][0]

    def test_nothing_reaches_the_builder_but_what_the_image_is_made_of(self, tmp_path: Path) -> None:
        source, taken = tmp_path / "source", tmp_path / "taken"
        names = ["engine/cli.py", "mappings/openai.yaml", "server.py", "requirements/run.txt", "deploy/config.yaml"]
        others = [".env", ".git/config", "tests/x.py", "keys.env", "deploy/compose.yaml", "engine/__pycache__/cli.pyc"]
        for name in (*names, *others):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).touch()
        shutil.copy(ROOT / ".dockerignore", source)
        context(source, taken)
        assert sorted(str(path.relative_to(taken)) for path in taken.rglob("*") if path.is_file()) == sorted(names)


def compose() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return told


class TestCompose:
    def test_the_proxy_has_no_more_than_it_needs(self) -> None:
        service = compose()["services"]["ccproxy"]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert [place.partition(":")[0] for place in service["tmpfs"]] == [HOME]
        assert int(service["stop_grace_period"].removesuffix("s")) > GRACE

    def test_nothing_listens_beyond_this_machine(self) -> None:
        ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
        assert len(ports) == 2
        assert all(port.startswith("127.0.0.1:") for port in ports)
        assert compose()["services"]["ccproxy"]["ports"] == [f"127.0.0.1:{told_port()}:{told_port()}"]

    def test_what_is_mounted_is_there(self) -> None:
        mounts = [mount for service in compose()["services"].values() for mount in service.get("volumes", [])]
        files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
        assert len(files) == 3
        assert [name for name in files if not (ROOT / name).exists()] == []

    def test_prometheus_finds_the_proxy_with_its_key(self) -> None:
        job = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())["scrape_configs"][0]
        found = job["dns_sd_configs"][0]
        assert (found["names"], found["port"]) == (["ccproxy"], told_port())
        secret = compose()["services"]["prometheus"]["secrets"][0]["source"]
        assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
        assert compose()["secrets"][secret] == {"environment": "CCPROXY_API_KEY"}

    def test_without_the_profile_there_is_the_proxy_alone(self) -> None:
        assert [name for name, service in compose()["services"].items() if "profiles" not in service] == ["ccproxy"]


def render(room: Path) -> list[Manifest]:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl, which has kustomize in it, is not installed")
    told = subprocess.run(["kubectl", "kustomize", str(room)], capture_output=True, text=True, check=True)
    assert told.stderr == ""
    return list(yaml.safe_load_all(told.stdout))


def one(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def pod(manifests: list[Manifest]) -> Manifest:
    spec: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.fixture(params=ROOMS, ids=lambda room: room.name)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


class TestKubernetes:
    def test_all_is_as_its_schema_has_it(self, manifests: list[Manifest]) -> None:
        for manifest, version in product(manifests, VERSIONS):
            kubernetes_validate.validate(manifest, version, strict=True)
        kinds = {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"}
        assert {manifest["kind"] for manifest in manifests} - {"Namespace"} == kinds

    def test_the_schemas_are_heeded(self) -> None:
        wrong = one(render(KUBERNETES / "base"), "Service") | {"spec": {"port": 80}}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)

    def test_pods_have_no_more_rights_than_they_need(self, manifests: list[Manifest]) -> None:
        """The profile `restricted` and more. https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
        spec = pod(manifests)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        rights = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == rights
        writable = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
        mounted = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in writable]
        assert mounted == [HOME]

    def test_all_that_is_named_is_there(self, manifests: list[Manifest]) -> None:
        spec = pod(manifests)
        (container,) = spec["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
        maps = {volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume}
        assert maps == {manifest["metadata"]["name"] for manifest in manifests if manifest["kind"] == "ConfigMap"}
        assert [port["containerPort"] for port in container["ports"]] == [told_port()]
        (port,) = [port["name"] for port in container["ports"]]
        probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert {probe["port"] for probe in probes.values()} == {port}
        assert [probe["path"] for probe in probes.values()] == ["/health", "/health", "/ready"]
        assert one(manifests, "Service")["spec"]["ports"][0]["targetPort"] == port
        network = one(manifests, "NetworkPolicy")["spec"]
        assert network["ingress"][0]["ports"] == [{"port": port}]
        target = one(manifests, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": one(manifests, "Deployment")["metadata"]["name"]}

    def test_each_selector_finds_the_pods(self, manifests: list[Manifest]) -> None:
        deployment = one(manifests, "Deployment")["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        selectors = [
            deployment["selector"]["matchLabels"],
            one(manifests, "Service")["spec"]["selector"],
            one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            one(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
            *(spread["labelSelector"]["matchLabels"] for spread in pod(manifests)["topologySpreadConstraints"]),
        ]
        assert len(selectors) == 6
        assert all(selector and selector.items() <= labels.items() for selector in selectors)

    def test_running_answers_have_their_time(self, manifests: list[Manifest]) -> None:
        spec = pod(manifests)
        before = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > before + GRACE

    def test_the_image_is_this_version(self, manifests: list[Manifest]) -> None:
        assert pod(manifests)["containers"][0]["image"].split("/")[-1] == f"ccproxy:{__version__}"

    def test_a_pod_can_start_with_its_configuration(self, manifests: list[Manifest], tmp_path: Path) -> None:
        """As the file lies in the pod, with the mappings beside it."""
        files: Mapping[str, str] = {
            name: text for one in manifests if one["kind"] == "ConfigMap" for name, text in one["data"].items()
        }
        mappings = tmp_path / "mappings"
        mappings.mkdir()
        for name, text in files.items():
            place = tmp_path if name == "config.yaml" else mappings
            (place / name).write_text(text + (f"\nmappings: {mappings}\n" if name == "config.yaml" else ""))
        settings = config.load(tmp_path / "config.yaml", ENVIRONMENT)
        assert (settings.host, settings.port, settings.api_key) == ("0.0.0.0", told_port(), "k")


def test_the_images_own_configuration_asks_for_a_key() -> None:
    settings = config.load(DEPLOY / "config.yaml", ENVIRONMENT)
    assert (settings.host, settings.port, settings.api_key) == ("0.0.0.0", told_port(), "k")
    assert of_dockerfile("COPY")[-1].words == ["deploy/config.yaml", "/etc/ccproxy/config.yaml"]


class TestDashboard:
    def test_it_asks_for_what_there_is(self) -> None:
        told = exposition(Metrics(), [], "0", 1.0).decode()
        kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", told, re.MULTILINE))
        known = {f"{name}_bucket" if kind == "histogram" else name for name, kind in kinds.items()}
        asked = {name for query in queries() for name in re.findall(r"\bccproxy_\w+", query)}
        assert len(asked) > 10
        assert asked <= known

    def test_what_is_counted_up_is_asked_for_as_a_rate(self) -> None:
        counted = re.compile(r"(\w+)\((ccproxy_\w+(?:_total|_bucket))\b")
        for query in queries():
            assert {function for function, _ in counted.findall(query)} <= {"rate", "increase"}, query

    def test_panels_do_not_lie_on_each_other(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in dashboard()["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells

    def test_the_source_is_the_one_that_is_provisioned(self) -> None:
        source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
        variable = dashboard()["templating"]["list"][0]
        assert (variable["type"], variable["query"]) == ("datasource", source["type"])
        folder = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/ccproxy.yaml").read_text())["providers"][0]
        assert f"./deploy/grafana/dashboards:{folder['options']['path']}:ro" in compose()["services"]["grafana"]["volumes"]


def dashboard() -> dict[str, Any]:
    told: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/ccproxy.json").read_text())
    return told


def queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]

"""The examples of several machines, as the programs read them that they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bandersnatch.app import load
from bandersnatch.cli.parser import parse

yaml = pytest.importorskip("yaml")
kubernetes_validate = pytest.importorskip("kubernetes_validate")
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "cluster"
RELEASE = "1.30"
"""Of Kubernetes; what is used of it is older."""


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((EXAMPLES / name).read_text(encoding="utf-8")))


def containers() -> list[Any]:
    return [
        container
        for document in documents("kubernetes.yaml")
        for container in document["spec"]["template"]["spec"]["containers"]
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_kubernetes_accepts_the_example(number: int) -> None:
    document = documents("kubernetes.yaml")[number]
    kubernetes_validate.validate(document, RELEASE, strict=True)


def test_the_commands_are_ours() -> None:
    (compose,) = documents("compose.yaml")
    services = compose["services"]
    commands = [services["coordinator"]["command"], services["worker"]["command"]]
    commands += [container["args"] for container in containers()]
    names = []
    for program, *arguments in commands:
        assert program == "bandersnatch"
        parsed = parse(arguments)
        names.append(parsed.command)
        assert parsed.config == Path("/conf/bandersnatch.conf")

    assert names == ["run", "work", "run", "work"]


def test_compose_has_a_database_and_two_workers() -> None:
    (compose,) = documents("compose.yaml")
    services = compose["services"]

    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["database"]["environment"]["POSTGRES_DB"] == "mirrors"
    volumes = {each for one in services.values() for each in one["volumes"]}
    assert {each.partition(":")[0] for each in volumes} == {".", *compose["volumes"]}
    assert (EXAMPLES / services["worker"]["build"]["dockerfile"]).is_file()


def test_the_configuration_is_valid() -> None:
    settings = load(EXAMPLES / "bandersnatch.conf").settings

    assert settings.cluster.enabled
    assert settings.catalogue is not None
    assert settings.catalogue.shown == "postgresql://***@database/mirrors"

"""Components that users have and should not, or must: behind our proxies, with a retry policy, encrypted, running twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

KEY = "8f3c1d5a7b9e2046c8a1f0d3b5e79162" * 2
"""A key to encrypt with: a test's, and no secret."""

_SECRETS = "chaos-secrets"
_API = {"apiVersion": "dapr.io/v1alpha1"}


def write_components(directory: Path, secrets: Path, places: Mapping[str, Mapping[str, str]]) -> None:
    """Write the components of each store in *places* (metadata that says where it is) into the rig's *directory*."""
    secrets.write_text(f'{{"key": "{KEY}"}}')
    for document in _documents(secrets, places):
        (directory / f"chaos-{document['metadata']['name']}.yaml").write_text(yaml.safe_dump(document))


def _documents(secrets: Path, places: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    yield _component(_SECRETS, "secretstores.local.file", "v1", {"secretsFile": str(secrets)})
    for store, place in places.items():
        type_, version = f"state.{store}", "v1" if store == "redis" else "v2"
        found = {**place, "keyPrefix": "appid"}
        yield _component(f"{store}-plain", type_, version, found)
        yield _component(f"{store}-retried", type_, version, found)
        encrypted = _component(f"{store}-encrypted", type_, version, found)
        key = {"name": "primaryEncryptionKey", "secretKeyRef": {"name": "key", "key": "key"}}
        encrypted["spec"]["metadata"].append(key)
        yield {**encrypted, "auth": {"secretStore": _SECRETS}}
        if store == "redis":
            yield _component("redis-twice", type_, version, {**found, "writeTimeout": "3s"})
    yield _policy([f"{store}-retried" for store in places])


def _component(name: str, type_: str, version: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    entries = [{"name": key, "value": value} for key, value in metadata.items()]
    spec = {"type": type_, "version": version, "metadata": entries}
    return {**_API, "kind": "Component", "metadata": {"name": name}, "spec": spec}


def _policy(components: list[str]) -> dict[str, Any]:
    """Return a policy that repeats what failed, and gives up on an attempt that goes on behind the answer."""
    policies = {
        "retries": {"again": {"policy": "constant", "duration": "50ms", "maxRetries": 3}},
        "timeouts": {"soon": "300ms"},  # shorter than some of the proxies' delays
    }
    targets = {"components": {name: {"outbound": {"retry": "again", "timeout": "soon"}} for name in components}}
    return {**_API, "kind": "Resiliency", "metadata": {"name": "policy"}, "spec": {"policies": policies, "targets": targets}}

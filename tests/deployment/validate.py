"""Validates the Kubernetes resources on standard input against their schemas, and prints them as a JSON array.

A property that a schema does not have is an error.
"""

import json
import sys

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator

# Versions of Kubernetes: the oldest with all that is used, and the newest that the package has.
VERSIONS = ["1.27", "1.37"]

resources = list(yaml.safe_load_all(sys.stdin))
for resource in resources:
    try:
        if resource["apiVersion"] == "monitoring.coreos.com/v1":
            getattr(prometheus_operator, resource["kind"]).model_validate(resource, extra="forbid")
        else:
            for version in VERSIONS:
                kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        sys.exit(error.message)
    except Exception as error:
        sys.exit(f"{resource['kind']} {resource['metadata']['name']}: {error}")
json.dump(resources, sys.stdout)

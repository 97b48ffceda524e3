#!/usr/bin/env bash
# docs/deploy/kubernetes.yaml: the rules of Kubernetes' API that can be tried without a cluster.
. "$(dirname "$0")/serve.sh" kubernetes "$1"

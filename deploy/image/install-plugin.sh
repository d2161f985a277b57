#!/bin/sh
# Installs the CNI plugin into the node's directory of plugins.
exec axoneme node prepare --plugins "${HOST_PREFIX:-/host}/opt/cni/bin"

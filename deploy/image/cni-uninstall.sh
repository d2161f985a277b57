#!/bin/sh
# Removes the CNI configuration of this node when the agent's configuration says so (cni-uninstall).
exec axoneme node remove-conf --conf-dir "${HOST_PREFIX:-/host}/etc/cni/net.d"

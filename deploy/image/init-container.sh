#!/bin/sh
# Removes the state of earlier agents from this node when the configuration asks for it: clean-cilium-state all of it,
# clean-cilium-bpf-state what lies in the kernel.
set -eu
if [ "${CILIUM_ALL_STATE:-false}" = true ]; then
    exec cilium-dbg post-uninstall-cleanup --force --all-state
elif [ "${CILIUM_BPF_STATE:-false}" = true ]; then
    exec cilium-dbg post-uninstall-cleanup --force
fi

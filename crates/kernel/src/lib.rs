//! eBPF in the kernel: load, attach, pin, maps as targets, events.

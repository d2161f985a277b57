//! The path of a packet: stages, wire formats, and the ABI of all maps and events.

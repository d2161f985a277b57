//! The CNI plugin: parse, make the interface, ask the agent.

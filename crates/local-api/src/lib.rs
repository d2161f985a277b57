//! The agent's REST types, and a small client over its unix socket.

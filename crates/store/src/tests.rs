//! What the store promises, on scripted servers; where hours pass, the clock is paused.

mod connections;
mod fake;
mod lists;
mod rates;
mod script;
mod sockets;
mod tables;
mod watches;

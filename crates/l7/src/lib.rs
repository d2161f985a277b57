//! What connections say: requests, answers and handshakes out of samples of their payload.
//!
//! The way of a sample: [`track`] finds its connection → [`conversation`] puts both directions in order ([`stream`]) →
//! [`classify`] says which protocol it is → that protocol's parser makes [`record`]s of it. Everything is pure: no I/O, no
//! clock (times come with the samples, in nanoseconds), no panic on any input, and memory per connection that a named
//! constant bounds. What cannot be proven is [`Seen::Unknown`](record::Seen), never a guess.
//!
//! Whoever takes the samples owes: the SYN (without it a connection counts as joined midway); of every segment at least its
//! sequence number and length, for what is left out altogether is a loss for which a second is waited; samples of both directions
//! in the order in which they cause each other; and at the end the last sequence numbers, without which nobody can say that
//! an answer did not come.

pub mod conversation;
pub mod stream;

pub mod classify;
pub mod patience;
pub mod record;
pub mod redact;
pub mod template;
pub mod track;

pub mod dns;
pub mod hpack;
pub mod http1;
pub mod http2;
pub mod kafka;
pub mod tls;

mod octets;
#[cfg(test)]
mod tests;

//! What connections say: requests, answers and handshakes out of samples of their payload.
//!
//! The way of a sample: [`track`] finds its connection → [`conversation`] puts both directions in order ([`stream`]) →
//! [`classify`] says which protocol it is → that protocol's parser makes [`record`]s of it. Everything is pure: no I/O, no
//! clock (times come with the samples, in nanoseconds), no panic on any input, and memory per connection that a named
//! constant bounds. What cannot be proven is [`Seen::Unknown`](record::Seen), never a guess.

pub mod conversation;
pub mod stream;

pub mod classify;
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

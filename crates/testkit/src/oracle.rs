//! The policy oracle: a slow, obvious evaluator of policies over the raw objects, and a generator of random cases.
//!
//! It judges the policy engine and therefore shares nothing with it: selectors, namespaces, addresses and ports are
//! read here a second time, straight from the JSON and from the written semantics, one question at a time. It does not
//! validate: what it is given is valid.

mod judge;
mod matching;
mod ordered;
mod random;
mod schema;
mod selectors;
mod worlds;

pub use judge::{Answer, Question, Way, judge};
pub use ordered::{Effect, Ordered, Rung};
pub use random::Dice;
pub use schema::Schemas;
pub use worlds::{Mode, Party, Pod, World, random_question, random_world};

//! Slow, obvious reference implementations that share no code with what they judge.

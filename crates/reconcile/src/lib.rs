//! Tables, targets, and the loop that brings the world to what the tables say.

//! One suite, every executor.

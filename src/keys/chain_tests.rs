//! The chain of keys: its steps by name, and its invariants under random histories.

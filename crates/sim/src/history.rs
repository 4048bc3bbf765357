//! Checkers for what clients have seen.

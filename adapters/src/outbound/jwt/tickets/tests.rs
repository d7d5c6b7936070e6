//! Tests of the tickets, and of tokens in their place.

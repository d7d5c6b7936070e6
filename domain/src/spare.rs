//! When a collection gives back the memory that a crowd or a burst took.

/// So few elements have room whatever happens: to shrink for them would cost more than it gives.
const KEPT: usize = 4;

/// The capacity that is enough for a collection of `len` elements, when its `capacity` is several times as much. None when it is not.
pub(crate) fn shrunk(capacity: usize, len: usize) -> Option<usize> {
    (capacity > 4 * (len + KEPT)).then_some(2 * len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_several_times_too_large_is_shrunk_to_twice_its_elements() {
        let check = |capacity: usize, len: usize, expected: Option<usize>| {
            assert_eq!(shrunk(capacity, len), expected, "{len} of {capacity}");
        };
        check(0, 0, None);
        check(16, 0, None);
        check(17, 0, Some(0));
        check(20, 10, None);
        check(56, 10, None);
        check(57, 10, Some(20));
        check(100_000, 10, Some(20));
    }
}

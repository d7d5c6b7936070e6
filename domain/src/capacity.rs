//! When a collection gives back the memory that a crowd of clients or a burst of events took.

/// The number of elements for which memory is always kept. Shrinking below that costs more than it saves.
const MIN_CAPACITY: usize = 4;

/// Returns the capacity to which a collection of `len` elements shrinks. None if its `capacity` is not several times as large as needed.
pub(crate) fn reduced_capacity(capacity: usize, len: usize) -> Option<usize> {
    (capacity > 4 * (len + MIN_CAPACITY)).then_some(2 * len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_collection_shrinks_to_twice_its_length() {
        let check = |capacity: usize, len: usize, expected: Option<usize>| {
            assert_eq!(reduced_capacity(capacity, len), expected, "{len} of {capacity}");
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

/// What is heard of a store that instances share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUpdate<T> {
    /// An entry of the store.
    Entry(T),
    /// The store that was heard of before is gone, and what was in it. The entries of the new one follow.
    Recreated,
    /// Everything that is in the store has been heard.
    UpToDate,
    /// The store has been out of reach for five seconds: nothing is to wait for it. When it is back, its entries are heard again, and
    /// then `UpToDate`.
    Unavailable,
}

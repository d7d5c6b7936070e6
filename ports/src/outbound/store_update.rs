/// An update of a store that instances share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUpdate<T> {
    /// An entry of the store.
    Entry(T),
    /// The store was lost with all its entries and was recreated. The entries of the new store follow.
    Recreated,
    /// All entries of the store have been returned.
    UpToDate,
    /// The store could not be reached for five seconds, so nothing should wait for it. When it is back, its entries are returned again, and
    /// then `UpToDate`.
    Unavailable,
}

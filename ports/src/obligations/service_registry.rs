use crate::outbound::ServiceRegistry;

/// Tests a [`ServiceRegistry`] without entries. `instance` creates the registry of another instance, and `entries` returns the number of
/// entries.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn service_registry<R: ServiceRegistry>(
    instance: impl Fn() -> R,
    entries: impl AsyncFn() -> usize,
) {
    let (one, other) = (instance(), instance());
    one.announce().await.expect("announced");
    assert_eq!(entries().await, 1);
    one.announce().await.expect("renewed");
    assert_eq!(entries().await, 1, "the entry is renewed, not duplicated");
    other.announce().await.expect("announced");
    assert_eq!(entries().await, 2, "each instance has its own entry");

    one.withdraw().await.expect("withdrawn");
    assert_eq!(entries().await, 1, "an instance removes its own entry");
    one.withdraw().await.expect("nothing to withdraw");
    one.announce().await.expect("announced again");
    assert_eq!(entries().await, 2);
}

/// Tests a [`ServiceRegistry`] that has announced its instance and has lost its connection since. `restore` restores the connection.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub async fn service_registry_out_of_reach(registry: &impl ServiceRegistry, restore: impl AsyncFn()) {
    registry.changed().await;
    for failed in [registry.announce().await.map(drop), registry.withdraw().await] {
        let error = failed.expect_err("out of reach");
        assert!(!error.reason.is_empty(), "the cause for an administrator");
    }
    restore().await;
    registry.changed().await;
    while registry.announce().await.is_err() {}
    registry.withdraw().await.expect("within reach");
}

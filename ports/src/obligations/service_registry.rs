use crate::outbound::ServiceRegistry;

/// Tests a [`ServiceRegistry`]. `instance` makes the registry of one more instance, and `entries` counts those that others find. Nobody was
/// announced yet.
///
/// # Panics
///
/// An obligation is not met.
pub async fn service_registry<R: ServiceRegistry>(
    instance: impl Fn() -> R,
    entries: impl AsyncFn() -> usize,
) {
    let (one, other) = (instance(), instance());
    one.announce().await.expect("announced");
    assert_eq!(entries().await, 1);
    one.announce().await.expect("renewed");
    assert_eq!(entries().await, 1, "an entry is renewed, not doubled");
    other.announce().await.expect("announced");
    assert_eq!(entries().await, 2, "each instance has an entry of its own");

    one.withdraw().await.expect("withdrawn");
    assert_eq!(entries().await, 1, "an instance takes its own entry away");
    one.withdraw().await.expect("nothing to withdraw");
    one.announce().await.expect("announced again");
    assert_eq!(entries().await, 2);
}

/// Tests a [`ServiceRegistry`] that has announced its instance and was then kept from where its entries are, until `restore` ends that.
///
/// # Panics
///
/// An obligation is not met.
pub async fn service_registry_out_of_reach(registry: &impl ServiceRegistry, restore: impl AsyncFn()) {
    registry.changed().await;
    for failed in [registry.announce().await.map(drop), registry.withdraw().await] {
        let error = failed.expect_err("nobody can be reached");
        assert!(!error.reason.is_empty(), "an administrator is told why");
    }
    restore().await;
    registry.changed().await;
    while registry.announce().await.is_err() {}
    registry.withdraw().await.expect("within reach");
}

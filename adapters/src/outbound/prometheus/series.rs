//! Creation of metrics. Each metric is registered when it is created, so it is exported from the start, at zero.

use prometheus_client::{
    metrics::{TypedMetric, counter::Counter, family::Family, histogram::Histogram},
    registry::{Metric, Registry},
};

/// Registers a metric without labels.
pub(super) fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Registers a histogram with these upper bounds of buckets.
pub(super) fn histogram(
    registry: &mut Registry,
    name: &str,
    help: &str,
    bounds: impl IntoIterator<Item = f64>,
) -> Histogram {
    let histogram = Histogram::new(bounds);
    registry.register(name, help, histogram.clone());
    histogram
}

/// A metric for each value of one label. A metric is found by its value, without hashing labels.
pub(super) struct Labelled<K, M>(Vec<(K, M)>);

impl<K: Copy + PartialEq, M> Labelled<K, M> {
    /// Registers one metric for each of `values`, pairs of a value and its text in `label`.
    pub(super) fn register<const N: usize>(
        registry: &mut Registry,
        (name, help): (&str, &str),
        label: &'static str,
        values: &[(K, &'static str); N],
    ) -> Self
    where
        M: Metric + TypedMetric + Clone + Default,
    {
        let family = Family::<[(&'static str, &'static str); 1], M>::default();
        registry.register(name, help, family.clone());
        Self(
            values
                .iter()
                .map(|(value, text)| (*value, family.get_or_create_owned(&[(label, *text)])))
                .collect(),
        )
    }

    /// Returns the metric of a value.
    pub(super) fn get(&self, value: K) -> Option<&M> {
        self.iter().find(|(known, _)| *known == value).map(|(_, metric)| metric)
    }

    /// Iterates over the values and their metrics.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, M)> {
        self.0.iter()
    }
}

impl<K: Copy + PartialEq> Labelled<K, Counter> {
    /// Increments the counter of a value.
    pub(super) fn count(&self, value: K) {
        if let Some(counter) = self.get(value) {
            counter.inc();
        }
    }
}

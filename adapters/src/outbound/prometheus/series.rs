//! How metrics are made: each is registered as it is made, and is there from then on, at zero.

use prometheus_client::{
    metrics::{TypedMetric, counter::Counter, family::Family, histogram::Histogram},
    registry::{Metric, Registry},
};

/// A metric without labels.
pub(super) fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// A histogram with buckets up to these bounds.
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

/// A metric for each value of one label, found again without a look-up by name.
pub(super) struct Labelled<K, M>(Vec<(K, M)>);

impl<K: Copy + PartialEq, M> Labelled<K, M> {
    /// One metric for each of `values`, which stand with their texts, under the name of the `label`.
    pub(super) fn add<const N: usize>(
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

    /// The metric of a value.
    pub(super) fn of(&self, value: K) -> Option<&M> {
        self.iter().find(|(of, _)| *of == value).map(|(_, metric)| metric)
    }

    /// Each value with its metric.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, M)> {
        self.0.iter()
    }
}

impl<K: Copy + PartialEq> Labelled<K, Counter> {
    /// Counts one more for a value.
    pub(super) fn count(&self, value: K) {
        if let Some(counter) = self.of(value) {
            counter.inc();
        }
    }
}

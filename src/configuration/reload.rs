//! What changes when the configuration is read again.

use std::fmt;

use super::{Configuration, settings::Setting};

/// A configuration in effect, and what a newer one changes.
#[derive(Debug)]
pub struct Reloaded {
    /// What is in effect from now on: the newer values of the settings that can change without a restart, and the older ones of the others.
    pub configuration: Configuration,
    /// The settings that have changed.
    pub changed: Vec<Change>,
    /// Those that count after a restart only.
    pub pending: Vec<Change>,
}

/// A setting that has another value than before. Its `Display` shows both, unless they are secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    key: &'static str,
    before: String,
    after: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, after } = self;
        // What is secret looks the same before and after.
        if before == after { f.write_str(key) } else { write!(f, "{key}: {before:?} -> {after:?}") }
    }
}

impl Configuration {
    /// What comes of this configuration, which is in effect, when `new` is read.
    #[must_use]
    pub fn reloaded(&self, new: Self) -> Reloaded {
        let mut configuration = self.clone();
        let mut settings = Vec::new();
        let shown = new.effective.clone();
        configuration.reload(new, &mut settings);
        let change = |setting: &'static Setting| Change {
            key: setting.key,
            before: self.effective.value(setting).into(),
            after: shown.value(setting).into(),
        };
        let (now, later): (Vec<_>, Vec<_>) = settings.into_iter().partition(|setting| setting.reloadable);
        Reloaded {
            configuration,
            changed: now.into_iter().map(change).collect(),
            pending: later.into_iter().map(change).collect(),
        }
    }

    /// Each group is named, that none can be forgotten.
    fn reload(&mut self, new: Self, changed: &mut Vec<&'static Setting>) {
        let Self {
            file,
            log,
            tracing,
            debug,
            keepalive,
            events,
            registry,
            http,
            cors,
            tls,
            token_manager,
            history,
            streams,
            languages,
            limits,
            effective,
        } = new;
        // Where it was found once it is read from then on: one that has vanished is a mistake.
        self.file = file;
        self.log.reload(log, changed);
        self.tracing.reload(tracing, changed);
        self.debug.reload(debug, changed);
        self.keepalive.reload(keepalive, changed);
        self.events.reload(events, changed);
        self.registry.reload(registry, changed);
        self.http.reload(http, changed);
        self.cors.reload(cors, changed);
        self.tls.reload(tls, changed);
        self.token_manager.reload(token_manager, changed);
        self.history.reload(history, changed);
        self.streams.reload(streams, changed);
        self.languages.reload(languages, changed);
        self.limits.reload(limits, changed);
        self.effective.reload(effective);
    }
}

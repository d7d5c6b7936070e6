//! The changes when the configuration is reloaded.

use std::fmt;

use super::{Configuration, settings::Setting};

/// The result of reloading the configuration.
#[derive(Debug)]
pub struct Reloaded {
    /// The configuration that is now in effect: the new values of the settings that can change without a restart, and the old values of all
    /// others.
    pub configuration: Configuration,
    /// The settings whose new values are in effect.
    pub changed: Vec<Change>,
    /// The settings whose new values take effect after a restart.
    pub pending: Vec<Change>,
}

/// A changed setting. `Display` shows the old and the new value, unless they are secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    key: &'static str,
    before: String,
    after: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, after } = self;
        // Masked values are equal.
        if before == after { f.write_str(key) } else { write!(f, "{key}: {before:?} -> {after:?}") }
    }
}

impl Configuration {
    /// Applies `new` to this configuration, which is in effect.
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

    /// Reloads each group. The pattern names every field, so that a new group cannot be forgotten.
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
            handover,
            languages,
            limits,
            effective,
        } = new;
        // A file that was found once is required from then on: removing it is an error, not a return to the defaults.
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
        self.handover.reload(handover, changed);
        self.languages.reload(languages, changed);
        self.limits.reload(limits, changed);
        self.effective.reload(effective);
    }
}

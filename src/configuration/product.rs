//! Which product the service runs beside, Infinite Scale or OpenCloud: some defaults differ.

use std::path::{Path, PathBuf};

use figment::{Figment, Source};

use super::{SETTINGS, environment::Environment, layer::Layer};

/// What the names of OpenCloud's variables begin with.
const VARIABLES: &str = "OC_";
/// Where OpenCloud's files are, in its container and as it is packaged …
const DIRECTORY: &str = "/etc/opencloud";
/// … and below the home of the user who runs it.
const DIRECTORY_AT_HOME: &str = ".opencloud/config";
/// The same for Infinite Scale.
const INFINITE_SCALE_DIRECTORY: &str = "/etc/ocis";
const INFINITE_SCALE_DIRECTORY_AT_HOME: &str = ".ocis/config";

/// The defaults that are others beside OpenCloud. Those in the list of settings are Infinite Scale's.
const DEFAULTS: [(&str, &str); 2] =
    [("events.cluster", "opencloud-cluster"), ("registry.service_name", "eu.opencloud.sse.sse")];

/// The directories that may have the file, the product's own first.
pub(super) fn directories(environment: &Environment) -> Vec<PathBuf> {
    let home = |below: &str| environment.path("HOME").map(|home| home.join(below));
    let infinite_scale =
        home(INFINITE_SCALE_DIRECTORY_AT_HOME).into_iter().chain([INFINITE_SCALE_DIRECTORY.into()]);
    let open_cloud = home(DIRECTORY_AT_HOME).into_iter().chain([DIRECTORY.into()]);
    match variable(environment) {
        Some(_) => open_cloud.chain(infinite_scale).collect(),
        None => infinite_scale.chain(open_cloud).collect(),
    }
}

/// Puts OpenCloud's defaults upon `defaults` if a variable or the place of `file` says that it is OpenCloud.
pub(super) fn add_to(defaults: Figment, environment: &Environment, file: Option<&Path>) -> Figment {
    let by_variable = variable(environment).map(|name| format!("{name} is set"));
    let by_place = || {
        let directory = file?.parent()?;
        let is_open_clouds = directory == Path::new(DIRECTORY) || directory.ends_with(DIRECTORY_AT_HOME);
        is_open_clouds.then(|| format!("the file is in {}", directory.display()))
    };
    let Some(reason) = by_variable.or_else(by_place) else { return defaults };
    let source = Source::Custom(format!("default for OpenCloud: {reason}"));
    DEFAULTS.into_iter().fold(defaults, |layers, (key, default)| {
        match SETTINGS.iter().find(|setting| setting.key == key) {
            Some(setting) => {
                layers.merge(Layer { setting, value: default.into(), source: Some(source.clone()) })
            }
            None => layers,
        }
    })
}

fn variable(environment: &Environment) -> Option<&str> {
    environment.names().find(|name| name.starts_with(VARIABLES))
}
